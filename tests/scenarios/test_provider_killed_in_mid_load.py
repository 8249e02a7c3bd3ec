"""The embedding API is killed with -9 in mid-load and started again.

Invariant: calls that were cut are made again, intake waits meanwhile, and the worker goes on by itself; nothing is
lost and nothing is dead-lettered.
Fault: kill -9 of the provider's process while calls are on their way; connections are refused for seconds.
"""

import asyncio

from compose.fake_provider.behaviour import Behaviour, Fixed
from schemas.status import State
from tests.scenarios.harness import Harness, document

AWAY_S = 3.0


async def test_documents_wait_for_the_provider_to_come_back(harness: Harness) -> None:
    await harness.provider.set(Behaviour(latency=Fixed(ms=150)))
    await harness.publish(map(document, range(300)))
    worker = harness.worker()
    async with harness.watch():
        await harness.wait_until(harness.log.committed, "the worker has committed")
        await harness.provider.kill()
        await harness.wait_for_status(worker, "it is throttled", lambda status: status.state is State.THROTTLED)
        await asyncio.sleep(1)  # a poll that had begun is over
        before = await harness.polled(worker)
        await harness.publish(document(n, "while the provider is away") for n in range(20))
        await asyncio.sleep(AWAY_S)
        assert await harness.polled(worker) == before, "it went on taking in"
        await harness.provider.start()
        harness.mended()
        await harness.wait_until(harness.caught_up, "lag is 0", within=60)
    await harness.assert_nothing_lost()
    assert worker.returncode is None
    assert await worker.stop() == 0
