"""Retention deletes the start of a topic while a worker stands still in front of what is left.

Invariant: unread records that are about to be lost are told of before it happens, in the status and as a metric, and no
longer once the worker reads on.
Fault: a pause, then records deleted up to where the worker stands.
"""

from consumers.stores.pgvector import PgVectorStore
from schemas.orders import NO, YES, pause_of, resume_of
from schemas.status import State
from tests.scenarios.harness import Harness, document


async def _pause(harness: Harness, word: str) -> None:
    group = harness.settings().group
    async with PgVectorStore(harness.settings().store) as store:
        await store.give_orders({pause_of(group): word, resume_of(group): YES}, "a scenario")


async def test_unread_records_that_retention_will_take_are_told_of(harness: Harness) -> None:
    await harness.publish(map(document, range(20)), partition=1)
    worker = harness.worker()
    await harness.wait_until(harness.caught_up, "lag is 0")
    await _pause(harness, YES)
    await harness.wait_for_status(worker, "it is paused", lambda status: status.state is State.PAUSED)
    await harness.publish(map(document, range(20, 200)), partition=1)
    await harness.log.delete_before({1: 10})
    await harness.wait_for_status(
        worker,
        "retention nears partition 1",
        lambda status: [one.partition for one in status.partitions if one.retention_nears] == [1],
    )
    assert await worker.metric("headrace_retention_nears", partition="1") == 1
    assert await worker.metric("headrace_retention_nears") == 1
    await _pause(harness, NO)
    await harness.wait_until(harness.caught_up, "lag is 0")
    await harness.wait_for_status(
        worker, "nothing is in danger", lambda status: not any(one.retention_nears for one in status.partitions)
    )
    await harness.assert_nothing_lost()
