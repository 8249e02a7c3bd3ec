"""The embedding API takes the key no longer, or the account has no money left, until somebody sees to it.

Invariant: the worker stops taking in, says `blocked` and why, and dead-letters nothing; told to resume, it goes on at
once and does not wait for its own next try.
Fault: 401 for every call; 429 with `insufficient_quota` for every call.
"""

import asyncio

import pytest

from compose.fake_provider.behaviour import Behaviour, Fault, RefusalKind
from schemas.status import State
from tests.scenarios.harness import Harness, document
from tests.scenarios.operations import resume

AT_ONCE_S = 8.0
"""Orders are looked for every 2 s; the worker's own next try comes after 15 s at the earliest."""


@pytest.mark.parametrize("kind", ["unauthorized", "insufficient-quota"])
async def test_the_worker_goes_on_when_it_is_told_that_the_key_works(harness: Harness, kind: RefusalKind) -> None:
    await harness.provider.set(Behaviour(faults=(Fault(kind=kind),)))
    await harness.publish(document(n) for n in range(60))
    worker = harness.worker()
    await harness.wait_for_status(worker, "it is blocked", lambda status: status.state is State.BLOCKED)
    await asyncio.sleep(1)  # a poll that had begun is over
    polled = await harness.polled(worker)
    await harness.publish(document(n) for n in range(60, 80))
    await asyncio.sleep(2)
    assert await harness.polled(worker) == polled, "it went on taking in"
    assert not any((await harness.log.committed()).values())

    await harness.provider.set(Behaviour())
    harness.mended()
    await resume(harness)
    await harness.wait_until(harness.everything_is_stored, "everything is stored", within=AT_ONCE_S)
    await harness.assert_nothing_lost()
    assert await worker.stop() == 0
