"""An operator pauses a group of two workers in mid-load.

Invariant: every worker takes nothing in, finishes and commits what it had, keeps its partitions and stays ready; the
pause outlasts a restart; resumed, nothing is lost.
Fault: the order `pause`, a worker started anew while it stands, and the order `resume`.
"""

import asyncio

from consumers.stores.pgvector import PgVectorStore
from schemas.orders import NO, YES, pause_of, resume_of
from schemas.status import State
from tests.scenarios.harness import Harness, document

POLL_S = 1.0


async def _order(harness: Harness, **orders: str) -> None:
    group = harness.settings().group
    names = {"pause": pause_of(group), "resume": resume_of(group)}
    async with PgVectorStore(harness.settings().store) as store:
        await store.give_orders({names[name]: value for name, value in orders.items()}, "a scenario")


async def test_a_pause_reaches_every_worker_and_lasts_until_it_is_taken_back(harness: Harness) -> None:
    await harness.publish(document(n) for n in range(100))
    first, second = harness.worker(), harness.worker()
    await harness.wait_until(harness.caught_up, "lag is 0")
    await _order(harness, pause=YES)
    for worker in (first, second):
        await harness.wait_for_status(worker, "it is paused", lambda status: status.state is State.PAUSED)
    await asyncio.sleep(POLL_S)  # a poll that had begun may bring what is published while it waits
    await harness.publish(document(n) for n in range(100, 150))
    assert await second.stop() == 0
    third = harness.worker()
    await harness.wait_for_status(
        third,
        "it is paused and has partitions",
        lambda status: status.state is State.PAUSED and bool(status.partitions),
    )
    assert len(await harness.index.chunks()) == 100
    await _order(harness, pause=NO, resume=YES)
    await harness.assert_nothing_lost()
    assert [await worker.stop() for worker in (first, third)] == [0, 0]
