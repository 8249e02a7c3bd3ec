"""A worker gets SIGTERM in mid-load.

Invariant: it finishes the calls it has sent and the writes they feed, commits what is resolved, and exits 0 within
``drain_timeout_s``; the next worker embeds nothing that was paid for before.
Fault: SIGTERM while calls are on their way and hundreds of documents wait.
"""

import time

from compose.fake_provider.behaviour import Behaviour, Fixed
from tests.scenarios.harness import Harness, document

DOCUMENTS = 600
DRAIN_S = 12


async def test_a_stop_in_mid_load_pays_for_nothing_twice(harness: Harness) -> None:
    await harness.provider.set(Behaviour(latency=Fixed(ms=500)))
    await harness.publish(map(document, range(DOCUMENTS)))
    worker = harness.worker(kafka__drain_timeout_s=DRAIN_S, kafka__commit_interval_s=3600)

    async def in_mid_load() -> bool:
        return (await harness.provider.stats()).in_flight > 0 and await harness.index.count() > 30

    await harness.wait_until(in_mid_load, "calls are in flight and something is stored")
    began = time.monotonic()
    assert await worker.stop(within=DRAIN_S) == 0
    assert time.monotonic() - began < DRAIN_S

    stored, paid = await harness.index.count(), (await harness.provider.stats()).paid
    assert stored == paid, "what was paid for was not stored"
    assert stored < DOCUMENTS, "the load ended before the stop"
    assert await harness.commits_are_complete()

    await harness.provider.set(Behaviour())
    harness.mended()
    await harness.catch_up()
    await harness.assert_nothing_lost()
    assert await harness.embedded_again() == set()
