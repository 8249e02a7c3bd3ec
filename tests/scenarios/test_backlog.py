"""A backlog of 200 MB waits for a slow embedding API.

Invariant: what the worker holds in memory is bounded by ``in_flight_bytes`` and one fetch per partition, whatever the
backlog.
Fault: documents of 100 kB, far more of them than fit the budget, and a provider that takes seconds for a call.
"""

import asyncio

import psutil

from compose.fake_provider.behaviour import Behaviour, Fixed
from schemas.documents import Document
from tests.scenarios.harness import PARTITIONS, Harness

MIB = 1024 * 1024
DOCUMENTS, SIZE = 2000, 100_000
BUDGET = 8 * MIB
ALLOWED = 80 * MIB
"""The budget, its texts a second time as chunks, four fetches of a mebibyte as bytes and as records, and slack."""
WATCHED_S = 12.0


def _resident(pid: int) -> int:
    return psutil.Process(pid).memory_info().rss


async def test_memory_is_bounded_by_the_budget_and_not_by_the_backlog(harness: Harness) -> None:
    await harness.provider.set(Behaviour(latency=Fixed(ms=1500)))
    worker = harness.worker(worker__in_flight_bytes=BUDGET)
    await harness.wait_for_status(worker, "it has its partitions", lambda status: len(status.partitions) == PARTITIONS)
    at_rest = _resident(worker.pid)
    filler = "Grain runs down into the hopper of the mill. " * (SIZE // 45)
    await harness.publish(Document("default", f"doc-{n}", f"{n} {filler}") for n in range(DOCUMENTS))

    peak = most_in_flight = 0
    for _ in range(int(WATCHED_S / 0.1)):
        peak = max(peak, _resident(worker.pid))
        status = await worker.status()
        most_in_flight = max(most_in_flight, 0 if status is None else status.in_flight.bytes)
        await asyncio.sleep(0.1)

    assert await harness.index.count() > 0, "nothing was done"
    assert sum((await harness.log.committed()).values()) < DOCUMENTS // 2, "there was no backlog"
    assert peak - at_rest < ALLOWED, f"{peak / MIB:.0f} MiB, {at_rest / MIB:.0f} MiB at rest"
    assert BUDGET // 2 < most_in_flight < 2 * BUDGET
