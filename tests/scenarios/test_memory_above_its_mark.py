"""A worker that holds more memory than it may.

Invariant: it says so and takes little in at a time, and goes on all the same, for what it holds besides documents would
not become less by waiting.
Fault: a watermark below what an idle worker holds.
"""

from compose.fake_provider.behaviour import Behaviour, Fixed
from schemas.status import State
from tests.scenarios.harness import Harness, document

TINY = 0.01
"""Percent of the machine's memory: some megabytes."""


async def test_a_worker_above_its_memory_mark_slows_down_and_loses_nothing(harness: Harness) -> None:
    await harness.provider.set(Behaviour(latency=Fixed(ms=300)))
    worker = harness.worker(worker__max_memory_percent=TINY, provider__concurrency=1)
    await harness.publish(document(n) for n in range(120))
    await harness.wait_for_status(
        worker,
        "memory is what it waits for",
        lambda status: status.state is State.THROTTLED and status.reason.startswith("memory: "),
    )
    await harness.assert_nothing_lost()
    assert await worker.stop() == 0
