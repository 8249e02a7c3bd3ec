"""A worker is frozen until its group has given its partitions to another, and then goes on as if nothing had happened.

Invariant: what it still had in hand replaces nothing newer, and its late commits move nothing: neither what its
successor has committed, nor what an operator has set in a group that is empty by then.
Fault: SIGSTOP while calls are on their way, SIGCONT after newer versions are stored and committed.
"""

import asyncio

from compose.fake_provider.behaviour import Behaviour, Fixed
from tests.scenarios.harness import PARTITIONS, Harness, document
from tests.scenarios.worker import Worker

DOCUMENTS = 40


async def _freeze_with_calls_in_flight(harness: Harness) -> Worker:
    """Return a worker that stands still; the replies it waits for come meanwhile."""
    await harness.publish(document(n, "old") for n in range(DOCUMENTS))
    zombie = harness.worker(provider__timeout_s=120, provider__max_items=64)
    await harness.wait_until(harness.caught_up, "the first versions are committed")
    await harness.provider.set(Behaviour(latency=Fixed(ms=3000)))
    await harness.publish(document(n, "held in hand") for n in range(DOCUMENTS))

    async def all_are_on_their_way() -> bool:
        return (await harness.provider.stats()).paid == 2 * DOCUMENTS

    await harness.wait_until(all_are_on_their_way, "all calls are in flight")
    zombie.freeze()
    await harness.provider.set(Behaviour())
    await harness.publish(document(n, "new") for n in range(DOCUMENTS))
    return zombie


async def test_a_worker_that_was_thought_dead_takes_nothing_back(harness: Harness) -> None:
    zombie = await _freeze_with_calls_in_flight(harness)
    successor = harness.worker()
    await harness.wait_until(harness.caught_up, "the successor has committed")
    await harness.assert_nothing_lost()
    committed, rows = await harness.log.committed(), await harness.index.chunk_places()

    async with harness.watch():
        zombie.thaw()
        half = PARTITIONS // 2
        await harness.wait_for_status(zombie, "it is a member again", lambda status: len(status.partitions) == half)
        await asyncio.sleep(2)  # some commit intervals
        await harness.assert_nothing_lost()
    assert await harness.log.committed() == committed
    assert await harness.index.chunk_places() == rows

    await harness.publish(document(n, "last") for n in range(DOCUMENTS))
    await harness.wait_until(harness.caught_up, "lag is 0")
    await harness.assert_nothing_lost()
    assert [await zombie.stop(), await successor.stop()] == [0, 0]


async def test_what_an_operator_has_set_outlives_its_late_commit(harness: Harness) -> None:
    zombie = await _freeze_with_calls_in_flight(harness)
    await harness.catch_up()
    await harness.assert_nothing_lost()
    paid, rows = (await harness.provider.stats()).paid, await harness.index.chunk_places()
    await harness.log.commit(dict.fromkeys(range(PARTITIONS), 0))
    zombie.thaw()

    # All is read again by the one member there is, from where the operator wanted it.
    everything = 3 * DOCUMENTS
    await harness.wait_for_status(
        zombie, "all was read again", lambda status: status.totals.polled >= 2 * DOCUMENTS + everything
    )
    await harness.assert_nothing_lost()
    assert (await harness.provider.stats()).paid == paid
    assert await harness.index.chunk_places() == rows
    assert await zombie.stop() == 0
