"""A second worker joins the group in mid-load, and leaves it again.

Invariant: no commit passes a document that is not stored, whoever made it; both workers commit their own partitions;
a hand-over waits for the calls that were sent, so that no text is embedded twice.
Fault: two rebalances while calls are on their way.
"""

from collections.abc import Mapping

from compose.fake_provider.behaviour import Behaviour, Fixed
from schemas.status import Status
from tests.scenarios.harness import PARTITIONS, Harness, document
from tests.scenarios.worker import Worker

DOCUMENTS = 1200


async def _partitions(worker: Worker) -> frozenset[int]:
    status: Status | None = await worker.status()
    return frozenset() if status is None else frozenset(one.partition for one in status.partitions)


async def test_two_workers_share_the_load_and_lose_nothing_when_one_comes_and_goes(harness: Harness) -> None:
    await harness.provider.set(Behaviour(latency=Fixed(ms=150)))
    await harness.publish(map(document, range(DOCUMENTS)))
    async with harness.watch():
        first = harness.worker(provider__concurrency=2)
        await harness.wait_until(harness.log.committed, "the first worker has committed")
        second = harness.worker(provider__concurrency=2)

        async def shared() -> tuple[frozenset[int], frozenset[int]] | None:
            theirs = await _partitions(first), await _partitions(second)
            return theirs if all(len(one) == PARTITIONS // 2 for one in theirs) else None

        owned = await harness.wait_until(shared, "each worker has its half of the partitions")
        assert owned[0].isdisjoint(owned[1])
        then = await harness.log.committed()

        async def both_have_committed() -> bool:
            now: Mapping[int, int] = await harness.log.committed()
            return all(any(now.get(p, 0) > then.get(p, 0) for p in partitions) for partitions in owned)

        await harness.wait_until(both_have_committed, "both workers have committed")
        assert await harness.index.count() < DOCUMENTS, "the load ended before the second worker left"
        assert await second.stop() == 0
        await harness.provider.set(Behaviour())
        await harness.wait_until(harness.caught_up, "lag is 0")
    await harness.assert_nothing_lost()
    assert await harness.embedded_again() == set()
    assert await first.stop() == 0
