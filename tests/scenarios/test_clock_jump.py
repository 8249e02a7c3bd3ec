"""A producer's clock is far ahead, on a topic that takes timestamps from producers.

Invariant: a document from the future is stored, and does not hold its row against later versions, be they in the same
backlog or published when it is stored, in its own partition or in another one.
Fault: CreateTime, and timestamps ten years ahead of all other ones.
"""

import time
from collections.abc import Iterable

from producers.documents import record_of
from schemas.documents import Document
from tests.scenarios.harness import Harness, document
from tests.scenarios.operations import change_topic

TEN_YEARS_MS = 10 * 365 * 24 * 3600 * 1000
FAR_AHEAD = {"message.timestamp.type": "CreateTime", "message.timestamp.after.max.ms": str(2**62)}
HERE, ELSEWHERE = 1, 2


async def _publish_from_the_future(harness: Harness, documents: Iterable[Document]) -> None:
    timestamp = int(time.time() * 1000) + TEN_YEARS_MS
    async with harness.log.producer() as producer:
        for one in documents:
            record = record_of(one)
            harness.expect(one)
            await producer.send_and_wait(
                harness.log.topic, record.value, record.key, HERE, timestamp, list(record.headers)
            )


async def test_a_document_from_the_future_does_not_hold_its_row(harness: Harness) -> None:
    await change_topic(harness, harness.log.topic, FAR_AHEAD)
    await _publish_from_the_future(harness, [document(n, "from the future") for n in range(30)])
    await harness.publish([document(n, "in the same backlog") for n in range(10)], partition=HERE)
    worker = harness.worker()
    await harness.assert_nothing_lost()

    await harness.publish([document(n, "later") for n in range(20)], partition=HERE)
    await harness.publish([document(n, "elsewhere") for n in range(20, 30)], partition=ELSEWHERE)
    await harness.assert_nothing_lost()
    assert await worker.stop() == 0
