"""An operator resets a group to the start of a topic whose 20,000 documents are all stored.

Invariant: reading them again calls no provider and writes no chunk row; lag reaches 0 again. How much faster it is than
the first load is printed.
Fault: none but the reset, by `headrace offsets reset --to earliest --execute`.
"""

import os
import time
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

import pytest

from tests.scenarios.harness import Harness, document
from tests.scenarios.resets import Operator

COUNT = 20_000
FAST = {"provider__max_items": 256, "provider__concurrency": 8}


async def _caught_up(harness: Harness) -> tuple[float, float]:
    """Run a worker until it has caught up; return the seconds that took, and those of its CPU."""
    began, before = time.monotonic(), getrusage(RUSAGE_CHILDREN)
    await harness.catch_up(**FAST)
    after = getrusage(RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - began, cpu


async def test_reading_what_is_stored_again_calls_nobody_and_writes_no_chunk(
    harness: Harness, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await harness.publish(map(document, range(COUNT)))
    first = await _caught_up(harness)
    rows, before = await harness.index.chunk_places(), await harness.provider.stats()
    assert len(rows) == COUNT

    operator = Operator(harness, folder)
    dry = await operator.offsets("reset", "--to", "earliest")
    assert (dry["estimate"]["messages"], dry["estimate"]["tokens"]) == (COUNT, 0)
    assert dry["estimate"]["free"] == dry["estimate"]["sampled"] > 0
    await operator.offsets("reset", "--to", "earliest", "--execute")
    assert set((await harness.log.committed()).values()) == {0}
    again = await _caught_up(harness)

    assert await harness.caught_up()
    assert (await harness.provider.stats()).calls == before.calls
    assert await harness.index.chunk_places() == rows
    idle = await _caught_up(harness)  # what starting and ending alone take
    clock, cpu = ((one - none) / max(two - none, 0.01) for one, two, none in zip(first, again, idle, strict=True))
    with capsys.disabled():
        print(  # noqa: T201 - this is what was asked for
            f"\n{COUNT} documents read again: {clock:.1f} times as fast as the first load, 1/{cpu:.1f} of its CPU "
            f"(first {first[0]:.1f} s, {first[1]:.1f} s CPU; again {again[0]:.1f} s, {again[1]:.1f} s CPU; "
            f"nothing to do {idle[0]:.1f} s, {idle[1]:.1f} s CPU; load {os.getloadavg()[0]:.1f})"
        )
