"""An operator resets a group to the start of a topic whose 20,000 documents are all stored.

Invariant: reading them again calls no provider and writes no chunk row; lag reaches 0 again. How much faster it is than
the first load is printed.
Fault: none but the reset, by `headrace offsets reset --to earliest --execute --orchestrate`.
"""

import asyncio
import os
import time
from pathlib import Path

import pytest

from consumers.stores.pgvector import PgVectorStore
from schemas.orders import YES, leave_of
from schemas.status import State
from tests.scenarios.harness import Harness, document
from tests.scenarios.resets import Operator
from tests.scenarios.worker import Worker

COUNT = 20_000
FAST = {"provider__max_items": 256, "provider__concurrency": 8}
LOOK_S = 0.02
WITHIN_S = 120.0


def _cpu_s(worker: Worker) -> float:
    """Return the seconds of CPU that a worker has had."""
    told = Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(told[11]) + int(told[12])) / os.sysconf("SC_CLK_TCK")


async def _resolved(worker: Worker, already: int, cpu_before: float) -> tuple[float, float]:
    """Wait until COUNT messages more are resolved; return the seconds since the first of them, and those of the CPU."""
    began = time.monotonic()
    async with asyncio.timeout(WITHIN_S):
        while (status := await worker.status()) is None or status.totals.resolved < already + COUNT:
            assert worker.returncode is None, worker.told
            if status is None or status.totals.polled == already:
                began = time.monotonic()
            await asyncio.sleep(LOOK_S)
    return time.monotonic() - began, _cpu_s(worker) - cpu_before


async def test_reading_what_is_stored_again_calls_nobody_and_writes_no_chunk(
    harness: Harness, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    operator, settings = Operator(harness, folder), harness.settings()
    async with PgVectorStore(settings.store) as store:
        await store.give_orders({leave_of(settings.group): YES}, "a scenario")
    worker = harness.worker(**FAST)
    await harness.wait_for_status(worker, "it keeps out", lambda status: status.state is State.PAUSED)
    await harness.publish(map(document, range(COUNT)))
    before = _cpu_s(worker)
    assert (await operator.run("resume")).code == 0
    first = await _resolved(worker, 0, before)
    await harness.wait_until(harness.caught_up, "lag is 0")
    rows, calls = await harness.index.chunk_places(), (await harness.provider.stats()).calls
    assert len(rows) == COUNT

    cost = (await operator.offsets("reset", "--to", "earliest"))["estimate"]
    assert (cost["messages"], cost["tokens"]) == (COUNT, 0)
    assert cost["free"] == cost["sampled"] > 0
    before = _cpu_s(worker)
    await operator.offsets("reset", "--to", "earliest", "--execute", "--orchestrate")
    again = await _resolved(worker, COUNT, before)
    await harness.wait_until(harness.caught_up, "lag is 0")

    assert (await harness.provider.stats()).calls == calls
    assert await harness.index.chunk_places() == rows
    assert await worker.stop() == 0
    with capsys.disabled():
        print(  # noqa: T201 - this is what was asked for
            f"\n{COUNT} documents read again: {first[0] / again[0]:.1f} times as fast as the first load, with "
            f"1/{first[1] / again[1]:.1f} of its CPU (first {first[0]:.2f} s, {first[1]:.2f} s CPU; again "
            f"{again[0]:.2f} s, {again[1]:.2f} s CPU; load {os.getloadavg()[0]:.1f})"
        )
