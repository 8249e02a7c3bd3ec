"""PostgreSQL is killed with -9 in mid-load and started again.

Invariant: the worker holds its intake, lives, and goes on by itself; nothing is lost, nothing is dead-lettered, and no
commit passes a document that is not stored.
Fault: kill -9 of the server and all its processes while documents are being written; seconds later it is back.
"""

import asyncio

from compose.fake_provider.behaviour import Behaviour, Fixed
from schemas.status import State
from tests.scenarios.harness import Harness, document
from tests.stack.parts import AnyStack

AWAY_S = 3.0


async def test_documents_wait_for_the_database_to_come_back(private_stack: AnyStack, private_harness: Harness) -> None:
    harness = private_harness
    await harness.provider.set(Behaviour(latency=Fixed(ms=100)))
    await harness.publish(map(document, range(600)))
    worker = harness.worker()
    async with harness.watch():
        await harness.wait_until(harness.log.committed, "the worker has committed")
        await private_stack.postgres.kill()
        await harness.wait_for_status(worker, "it is throttled", lambda status: status.state is State.THROTTLED)
        await asyncio.sleep(1)  # a poll that had begun is over
        before = await harness.polled(worker)
        await harness.publish(document(n, "while the database is away") for n in range(20))
        await asyncio.sleep(AWAY_S)
        assert await harness.polled(worker) == before, "it went on taking in"
        await private_stack.postgres.start()
        harness.mended()
        await harness.wait_until(harness.caught_up, "lag is 0", within=60)
    await harness.assert_nothing_lost()
    assert await harness.embedded_again() == set()
    assert await worker.stop() == 0
