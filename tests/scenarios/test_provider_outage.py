"""The embedding API is away in several ways, one after the other, and then refuses the key.

Invariant: an outage dead-letters nothing; intake waits meanwhile and says why, few calls are made, and the worker goes
on by itself when the API is back.
Fault: 503, calls that hang until they time out, 500, refused connections; then 401 for every call.
"""

import asyncio

import pytest

from compose.fake_provider.behaviour import Behaviour, Fault
from schemas.status import State
from tests.scenarios.harness import Harness, document

EACH_S = 5.0
OUTAGES = (
    Behaviour(faults=(Fault(kind="unavailable"),)),
    Behaviour(faults=(Fault(kind="hang"),)),
    Behaviour(faults=(Fault(kind="server-error"),)),
    Behaviour(refuse_connections_s=EACH_S),
)


async def test_an_outage_of_many_faces_dead_letters_nothing(harness: Harness) -> None:
    await harness.publish(map(document, range(50)))
    worker = harness.worker(provider__timeout_s=1, provider__min_blame_s=1, provider__max_attempts=2)
    await harness.wait_until(harness.caught_up, "lag is 0")
    calls = (await harness.provider.stats()).calls
    await harness.provider.set(OUTAGES[0])
    await harness.publish(document(n, "in the outage") for n in range(100))
    await harness.wait_for_status(worker, "it is throttled", lambda status: status.state is State.THROTTLED)
    await asyncio.sleep(1)  # a poll that had begun is over
    polled = await harness.polled(worker)
    await harness.publish(document(n, "in the outage") for n in range(100, 120))
    for outage in OUTAGES:
        await harness.provider.set(outage)
        await asyncio.sleep(EACH_S)
        status = await worker.status()
        assert status is not None
        assert (status.state, status.totals.polled) == (State.THROTTLED, polled)
    assert await harness.index.count() == 50
    # Some 14 batches, each tried about every 10 seconds in the end.
    assert (await harness.provider.stats()).calls - calls < 100

    await harness.provider.set(Behaviour())
    harness.mended()
    await harness.wait_until(harness.caught_up, "lag is 0")
    await harness.assert_nothing_lost()
    assert await worker.stop() == 0


@pytest.mark.timeout(150)
async def test_a_refused_key_blocks_until_it_is_accepted(harness: Harness) -> None:
    await harness.provider.set(Behaviour(api_key="another"))
    await harness.publish(map(document, range(8)), partition=0)
    worker = harness.worker(provider__api_key="mine")
    await harness.wait_for_status(worker, "it is blocked", lambda status: status.state is State.BLOCKED)
    await harness.publish(map(document, range(8, 16)), partition=0)
    await asyncio.sleep(2)
    status = await worker.status()
    assert status is not None
    assert status.state is State.BLOCKED
    assert "mine" not in status.reason
    assert await harness.index.count() == 0

    await harness.provider.set(Behaviour(api_key="mine"))
    harness.mended()
    await harness.wait_until(harness.caught_up, "lag is 0", within=90)
    await harness.assert_nothing_lost()
    assert await worker.stop() == 0
