"""The embedding API fails 60 % of its calls, under load.

Invariant: nothing is dead-lettered, however often a document was in a call that failed; what is stored meanwhile is
paid once, and everything is stored when the API is well again. So it is with settings that give up soon.
Fault: 500 for three calls of five, at random, for twenty seconds.
"""

import asyncio
import time
from collections.abc import Mapping

import pytest

from compose.fake_provider.behaviour import Behaviour, Fault, Fixed
from tests.scenarios.harness import Harness, document

BAD_S = 20.0
MANY = 100


@pytest.mark.parametrize(
    "settings", [{}, {"provider__max_attempts": 2, "provider__min_blame_s": 1}], ids=["default", "harsh"]
)
async def test_a_provider_that_fails_most_calls_dead_letters_nothing(
    harness: Harness, settings: Mapping[str, int]
) -> None:
    worker = harness.worker(**settings)
    failing = Fault(kind="server-error", probability=0.6, seconds=BAD_S)
    await harness.provider.set(Behaviour(latency=Fixed(ms=50), faults=(failing,)))
    began, published = time.monotonic(), 0
    while time.monotonic() < began + BAD_S:
        await harness.publish(document(n) for n in range(published, published + MANY))
        published += MANY
        await asyncio.sleep(1)
    harness.mended()
    assert (await harness.provider.stats()).faults["server-error"] > 10
    await harness.assert_nothing_lost()
    assert await harness.embedded_again() == set()
    assert worker.returncode is None
    assert await worker.stop() == 0
