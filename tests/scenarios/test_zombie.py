"""A worker is frozen until its group has given its partitions to another, and then goes on as if nothing had happened.

Invariant: what it still had in hand replaces nothing newer, and its late commits move nothing, neither under the
worker that took over nor in a group that is empty by then.
Fault: SIGSTOP while calls are on their way and commits are due, SIGCONT after newer versions are stored and committed.
"""

import asyncio

import pytest

from compose.fake_provider.behaviour import Behaviour, Fixed
from tests.scenarios.harness import PARTITIONS, Harness, document

DOCUMENTS = 40


@pytest.mark.parametrize("successor_stays", [True, False])
async def test_a_worker_that_was_thought_dead_takes_nothing_back(harness: Harness, *, successor_stays: bool) -> None:
    await harness.publish(document(n, "old") for n in range(DOCUMENTS))
    zombie = harness.worker(provider__concurrency=1)
    await harness.wait_until(harness.caught_up, "the first half is committed")
    await harness.provider.set(Behaviour(latency=Fixed(ms=1000)))
    await harness.publish(document(n, "held in hand") for n in range(DOCUMENTS))

    async def has_calls_in_flight() -> bool:
        return (await harness.provider.stats()).in_flight > 0

    await harness.wait_until(has_calls_in_flight, "calls are in flight")
    zombie.freeze()
    await harness.provider.set(Behaviour())
    await harness.publish(document(n, "new") for n in range(DOCUMENTS))
    if successor_stays:
        harness.worker()
        await harness.wait_until(harness.caught_up, "the successor has committed")
    else:
        await harness.catch_up()
    await harness.assert_nothing_lost()
    committed, rows = await harness.log.committed(), await harness.index.chunk_places()

    async with harness.watch():
        zombie.thaw()
        owned = PARTITIONS // 2 if successor_stays else PARTITIONS
        await harness.wait_for_status(zombie, "it is a member again", lambda status: len(status.partitions) == owned)
        await asyncio.sleep(2)  # some commit intervals
        await harness.assert_nothing_lost()
    assert await harness.log.committed() == committed
    assert await harness.index.chunk_places() == rows

    await harness.publish(document(n, "last") for n in range(DOCUMENTS))
    await harness.wait_until(harness.caught_up, "lag is 0")
    await harness.assert_nothing_lost()
    assert await zombie.stop() == 0
