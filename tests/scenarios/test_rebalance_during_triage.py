"""A second worker joins while the first one looks for the poisons in its calls by halving them.

Invariant: no commit passes a document that is neither stored nor a dead letter; the poisons alone are dead letters,
whichever worker finds them; their neighbours are stored.
Fault: 400 for each call that holds a poison; a rebalance as soon as the first one was refused.
"""

from compose.fake_provider.behaviour import Behaviour, Fault, Fixed
from tests.scenarios.harness import PARTITIONS, Harness, document
from tests.scenarios.operations import poison, verdict

DOCUMENTS = 400
POISONS = frozenset(range(7, DOCUMENTS, 25))
SETTINGS = {"provider__concurrency": 1, "provider__max_items": 64, "flood__ratio": 1.0, "flood__run": DOCUMENTS}


async def test_poisons_are_found_across_a_rebalance(harness: Harness) -> None:
    refused = Fault(kind="bad-request", containing="poison")
    await harness.provider.set(Behaviour(latency=Fixed(ms=150), faults=(refused,)))
    await harness.publish(poison(n) if n in POISONS else document(n) for n in range(DOCUMENTS))

    async def refusals() -> int:
        return (await harness.provider.stats()).statuses.get("400", 0)

    async with harness.watch():
        first = harness.worker(**SETTINGS)
        await harness.wait_until(refusals, "a call was refused")
        second = harness.worker(**SETTINGS)
        for worker in (first, second):
            await harness.wait_for_status(
                worker, "it has its half", lambda status: len(status.partitions) == PARTITIONS // 2
            )
        before = await refusals()
        await harness.wait_until(harness.caught_up, "lag is 0")
    assert await refusals() > before, "the rebalance came after the triage"
    # One that was written while its partition was given up is written again by the next worker.
    died = {verdict(letter) for letter in await harness.log.dead_letters()}
    assert died == {(f"doc-{n}".encode(), b"embed", b"input-rejected") for n in POISONS}
    assert await harness.index.chunks() == harness.expected
    assert [await worker.stop() for worker in (first, second)] == [0, 0]
