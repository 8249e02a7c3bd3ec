"""A group that has never committed is assigned anew while PostgreSQL is away.

Invariant: where to begin is decided when the database can be asked again, and not before; the worker lives until then,
loses nothing, and pays for nothing twice.
Fault: kill -9 of PostgreSQL, then another member that joins the group and leaves it.
"""

import asyncio

from schemas.status import State
from tests.scenarios.harness import PARTITIONS, Harness, document
from tests.stack.parts import AnyStack


async def test_a_new_assignment_waits_for_the_database(private_stack: AnyStack, private_harness: Harness) -> None:
    harness = private_harness
    worker = harness.worker(kafka__commit_interval_s=3600)
    await harness.wait_for_status(worker, "it has its partitions", lambda status: len(status.partitions) == PARTITIONS)
    await harness.publish(map(document, range(40)))
    await harness.wait_until(harness.everything_is_stored, "everything is stored")
    await private_stack.postgres.kill()
    await harness.log.join_and_leave()
    await harness.publish(map(document, range(40, 80)))
    await asyncio.sleep(3)
    status = await worker.status()
    assert status is not None, worker.told
    assert status.state in (State.THROTTLED, State.REBALANCING)
    assert await harness.log.committed() == {}

    await private_stack.postgres.start()
    harness.mended()
    await harness.wait_until(harness.everything_is_stored, "everything is stored")
    assert await worker.stop() == 0
    await harness.assert_nothing_lost()
    assert await harness.embedded_again() == set()
