"""One document makes the embedding API fail, and nobody else calls it.

Invariant: it is told from an outage by a known-good text, and given up after as many attempts as configured, not
before; the breaker closes again, so that the next document is stored within seconds.
Fault: 500 for each call that holds the poison, which is the only document there is.
"""

import time

from compose.fake_provider.behaviour import Behaviour, Fault
from tests.scenarios.harness import Harness, document
from tests.scenarios.operations import assert_only_these_died, poison

ATTEMPTS, BLAME_S = 3, 2.0


async def test_a_poison_alone_is_given_up_and_leaves_the_way_open(harness: Harness) -> None:
    await harness.provider.set(Behaviour(faults=(Fault(kind="server-error", containing="poison"),)))
    worker = harness.worker(provider__max_attempts=ATTEMPTS, provider__min_blame_s=BLAME_S)
    await harness.publish([poison(1)])
    began = time.monotonic()
    await harness.wait_until(harness.log.dead_letters, "the poison is given up")
    assert time.monotonic() - began > BLAME_S
    assert (await harness.provider.stats()).faults["server-error"] >= ATTEMPTS

    harness.mended()
    await harness.publish([document(2)])
    await harness.wait_until(harness.everything_is_stored, "the next document is stored", within=5)
    await assert_only_these_died(harness, (b"doc-1", b"embed", b"attempts-exhausted"))
    assert await worker.stop() == 0
