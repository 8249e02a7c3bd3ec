"""The provider answers 429 to everything for ten seconds.

Invariant: nothing is dead-lettered, no text is paid twice, few calls are made meanwhile, and the worker is at work
again within seconds; the state says `throttled`.
Fault: 429 without Retry-After for ten seconds, under load; then 429 with a Retry-After of four seconds, once.
"""

import asyncio
import time

from compose.fake_provider.behaviour import Behaviour, Fault
from schemas.status import State
from tests.scenarios.harness import Harness, document

STORM_S = 10.0
WAIT_S = 4.0


async def test_a_storm_costs_few_calls_and_no_document(harness: Harness) -> None:
    await harness.provider.set(Behaviour(faults=(Fault(kind="rate-limited", seconds=STORM_S),)))
    began = time.monotonic()
    await harness.publish(document(n) for n in range(400))
    worker = harness.worker()
    await harness.wait_for_status(worker, "it is throttled", lambda status: status.state is State.THROTTLED)
    await asyncio.sleep(began + STORM_S - time.monotonic())
    harness.mended()
    await harness.assert_nothing_lost()
    refused = (await harness.provider.stats()).statuses["429"]
    assert refused <= 4 * STORM_S, f"{refused} calls in a storm of {STORM_S} s"
    assert time.monotonic() - began < STORM_S + 15.0
    assert await harness.provider.paid_more_than(1) == {}
    assert await worker.stop() == 0


async def test_a_wait_that_the_provider_asks_for_is_kept_by_every_call(harness: Harness) -> None:
    await harness.provider.set(Behaviour(faults=(Fault(kind="rate-limited", calls=1, retry_after=WAIT_S),)))
    await harness.publish(document(n) for n in range(100))
    worker = harness.worker()
    await harness.wait_for_status(worker, "it is throttled", lambda status: status.state is State.THROTTLED)
    before = (await harness.provider.stats()).calls
    await asyncio.sleep(WAIT_S / 2)
    assert (await harness.provider.stats()).calls == before
    await harness.assert_nothing_lost()
    assert await worker.stop() == 0
