"""PostgreSQL is away until everybody who waits for it waits for long.

Invariant: once it is back, all that was paid for is written at once, before the partitions begin again as they do
behind every restart: nothing is lost, and nothing is embedded twice.
Fault: kill -9 of the server in mid-load, and ten seconds without it; the worker has a second to drain.
"""

import asyncio

from compose.fake_provider.behaviour import Behaviour, Uniform
from schemas.status import State
from tests.scenarios.harness import Harness, document
from tests.stack.parts import AnyStack

AWAY_S = 10.0


async def test_what_is_paid_for_is_written_as_soon_as_the_database_is_back(
    private_stack: AnyStack, private_harness: Harness
) -> None:
    harness = private_harness
    await harness.provider.set(Behaviour(latency=Uniform(low_ms=100, high_ms=2000)))
    await harness.publish(map(document, range(160)))
    worker = harness.worker(kafka__drain_timeout_s=6)
    await harness.wait_until(harness.log.committed, "the worker has committed")
    await private_stack.postgres.kill()
    await harness.wait_for_status(worker, "it is throttled", lambda status: status.state is State.THROTTLED)
    await asyncio.sleep(AWAY_S)
    await private_stack.postgres.start()
    harness.mended()
    await harness.wait_until(harness.caught_up, "lag is 0", within=60)
    await harness.assert_nothing_lost()
    assert await harness.embedded_again() == set()
    assert await worker.stop() == 0
