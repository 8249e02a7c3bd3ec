"""A provider that refuses calls above a limit that nobody told, three workers, and then two.

Invariant: the limit is used and hardly passed, by three workers together and again by those that are left; nothing is
dead-lettered. The exact shares are asserted on a clock that jumps, in `tests/simulation/test_quotas.py`; here the
machine has its say as well, and the workers have had seconds to learn.
Fault: 429 without Retry-After above 15 calls a second; kill -9 of a worker.
"""

import asyncio
import time

import pytest

from compose.fake_provider.behaviour import Behaviour, Fault
from tests.scenarios.harness import PARTITIONS, Harness, document

LIMIT, OVER_S = 15.0, 4.0
MEASURED_S, WINDOWS = 5.0, 16
"""Of a window, and so many at the most until one is as it should be: the session of a killed worker ends in between."""
USED_AT_FIRST, USED, REFUSED = 0.6, 0.85, 0.12
"""Three workers that begin at once take over a minute to find the rest of it."""
DOCUMENTS = 4000


async def _measure(harness: Harness) -> tuple[float, float]:
    """Return the used share of the limit and the refused share of the calls, as the provider counts them."""
    before, began = (await harness.provider.stats()).statuses, time.monotonic()
    await asyncio.sleep(MEASURED_S)
    after, took = (await harness.provider.stats()).statuses, time.monotonic() - began
    taken, refused = (after.get(status, 0) - before.get(status, 0) for status in ("200", "429"))
    return taken / (LIMIT * took), refused / max(1, taken + refused)


async def _see_that_the_limit_is_used(harness: Harness, enough: float) -> None:
    seen: list[tuple[float, float]] = []
    while len(seen) < WINDOWS:
        used, refused = await _measure(harness)
        if used > enough and refused < REFUSED:
            return
        seen.append((used, refused))
    raise AssertionError(f"used and refused shares, of {MEASURED_S:g} s each: {seen}")


@pytest.mark.timeout(240)
async def test_a_fleet_finds_a_limit_and_finds_it_again_when_a_worker_is_killed(harness: Harness) -> None:
    limited = Fault(kind="rate-limited", above_rps=LIMIT, over_s=OVER_S)
    await harness.provider.set(Behaviour(faults=(limited,)))
    workers = [harness.worker(provider__max_items=2) for _ in range(3)]

    async def all_have_work() -> bool:
        told = [await worker.status() for worker in workers]
        owned = [len(one.partitions) for one in told if one is not None]
        return len(owned) == len(workers) and min(owned) > 0 and sum(owned) == PARTITIONS

    await harness.wait_until(all_have_work, "every worker has partitions")
    await harness.publish(map(document, range(DOCUMENTS)))
    await _see_that_the_limit_is_used(harness, USED_AT_FIRST)
    await workers.pop().kill()
    await _see_that_the_limit_is_used(harness, USED)
    assert await harness.log.dead_letters() == []

    await harness.provider.set(Behaviour())
    for worker in workers:
        assert await worker.stop() == 0
    await harness.catch_up()
    await harness.assert_nothing_lost()
