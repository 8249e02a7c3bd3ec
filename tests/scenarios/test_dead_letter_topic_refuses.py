"""The dead-letter topic takes no record that is as large as a dead letter, as one on a full disk takes none.

Invariant: a message that can not be dead-lettered stays unresolved: the position does not pass it, also not by a
restart, and the state says `blocked`; mended, the dead letter is written and the worker goes on.
Fault: `max.message.bytes` of the dead-letter topic is 50.
"""

import asyncio

import pytest

from schemas.dead_letters import Record
from schemas.status import State
from tests.scenarios.harness import Harness, document
from tests.scenarios.operations import assert_only_these_died, change_topic, resume

PARTITION = 1
AT_ONCE_S = 8.0
BROKEN = Record(b"broken", b"no document", ())


@pytest.mark.timeout(150)
async def test_what_can_not_be_dead_lettered_is_not_passed(harness: Harness) -> None:
    topic = harness.log.dlq_topic
    await change_topic(harness, topic, {"max.message.bytes": "50"})
    await harness.publish(map(document, range(20)), partition=PARTITION)
    [broken] = await harness.publish([BROKEN], partition=PARTITION)
    await harness.publish(map(document, range(20, 40)), partition=PARTITION)

    async def position() -> int:
        return (await harness.log.committed()).get(PARTITION, 0)

    worker = harness.worker()
    for _ in range(2):
        await harness.wait_for_status(
            worker,
            "it is blocked by the dead-letter topic",
            lambda status: status.state is State.BLOCKED and topic in status.reason,
        )
        await harness.wait_until(position, "what lies before is committed")
        await asyncio.sleep(1)  # some commit intervals
        assert await position() == broken.offset
        assert await harness.log.dead_letters() == []
        assert await worker.stop() == 0
        worker = harness.worker()

    await harness.wait_for_status(worker, "it is blocked", lambda status: status.state is State.BLOCKED)
    await change_topic(harness, topic, {"max.message.bytes": "2000000"})
    harness.mended()
    await resume(harness)
    await harness.wait_until(harness.caught_up, "lag is 0", within=AT_ONCE_S)
    await assert_only_these_died(harness, (b"broken", b"decode", b"invalid-document"))
    assert await worker.stop() == 0
