"""A worker is killed with -9 while calls are on their way, five times in a row.

Invariant: nothing is lost and nothing is dead-lettered; only texts whose vectors had not been stored are embedded
again, which are those of a few calls.
Fault: kill -9 as soon as a worker has stored something and has calls in flight. A static membership lets the next
worker begin at once, in the same place.
"""

from compose.fake_provider.behaviour import Behaviour, Fixed
from consumers.providers.deterministic import digest_of
from tests.scenarios.harness import Harness, document

KILLS = 5
CONCURRENCY, ITEMS = 2, 5
SETTINGS = {"provider__concurrency": CONCURRENCY, "provider__max_items": ITEMS, "kafka__instance_id": "one"}


async def _kill_in_mid_batch(harness: Harness) -> tuple[set[str], dict[str, int], int]:
    """Return what was stored when the worker died, how often each text was paid, and how many of its own it lost."""
    stored_before, paid_before = await harness.index.count(), await harness.provider.paid_more_than(0)
    worker = harness.worker(**SETTINGS)

    async def in_mid_batch() -> bool:
        stats = await harness.provider.stats()
        return stats.in_flight > 0 and await harness.index.count() > stored_before + ITEMS

    await harness.wait_until(in_mid_batch, "calls are in flight and something is stored")
    await worker.kill()
    stored = {digest_of(text).hex() for text in await harness.index.texts()}
    paid = await harness.provider.paid_more_than(0)
    lost = sum(paid[text] > paid_before.get(text, 0) for text in paid.keys() - stored)
    return stored, paid, lost


async def test_five_kills_in_a_row_lose_nothing_and_pay_only_for_what_was_in_flight(harness: Harness) -> None:
    await harness.provider.set(Behaviour(latency=Fixed(ms=150)))
    await harness.publish(map(document, range(400)))

    kills = [await _kill_in_mid_batch(harness) for _ in range(KILLS)]
    await harness.provider.set(Behaviour())
    harness.mended()
    await harness.catch_up(**SETTINGS)

    await harness.assert_nothing_lost()
    paid = await harness.provider.paid_more_than(0)
    assert all(paid[text] == then[text] for stored, then, _ in kills for text in stored)
    lost = [count for *_, count in kills]
    assert sum(paid.values()) - len(paid) <= sum(lost)
    assert max(lost) <= 3 * CONCURRENCY * ITEMS  # what is sent, what came back, and what is being written
