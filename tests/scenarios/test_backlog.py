"""A backlog of 200 MB waits for a slow embedding API.

Invariant: what the worker holds in memory is bounded by ``in_flight_bytes`` and one fetch per partition, whatever the
backlog and however large its documents.
Fault: far more documents than fit the budget, so well compressed that one fetch brings many of them, and a provider
that takes seconds for a call.
"""

import asyncio

import psutil
import pytest

from compose.fake_provider.behaviour import Behaviour, Fixed
from schemas.documents import Document
from tests.scenarios.harness import PARTITIONS, Harness

MIB = 1024 * 1024
BACKLOG = 200_000_000
BUDGET = 32 * MIB
ALLOWED = BUDGET + 56 * MIB
"""Beside the budget: a fetch as bytes and as records, a call as texts, as JSON and as vectors, and slack."""
WATCHED_S = 12.0


def _text(number: int, size: int) -> str:
    """Return a text that compresses well and of which no two chunks are alike."""
    return "".join(f"Grain runs down into the hopper of mill {number}/{line}. " for line in range(size // 50))


def _resident(pid: int) -> int:
    return psutil.Process(pid).memory_info().rss


@pytest.mark.parametrize(("size", "texts_a_call"), [(100_000, 8), (5_000_000, 256)], ids=["many", "huge"])
async def test_memory_is_bounded_by_the_budget_and_not_by_the_backlog(
    harness: Harness, size: int, texts_a_call: int
) -> None:
    documents = BACKLOG // size
    await harness.provider.set(Behaviour(latency=Fixed(ms=1500)))
    worker = harness.worker(worker__in_flight_bytes=BUDGET, provider__max_items=texts_a_call)
    await harness.wait_for_status(worker, "it has its partitions", lambda status: len(status.partitions) == PARTITIONS)
    at_rest = _resident(worker.pid)
    await harness.publish(Document("default", f"doc-{n}", _text(n, size)) for n in range(documents))

    peak = most_in_flight = 0
    for _ in range(int(WATCHED_S / 0.1)):
        peak = max(peak, _resident(worker.pid))
        status = await worker.status()
        most_in_flight = max(most_in_flight, 0 if status is None else status.in_flight.bytes)
        await asyncio.sleep(0.1)

    assert await harness.index.count() > 0, "nothing was done"
    assert sum((await harness.log.committed()).values()) < documents // 2, "there was no backlog"
    assert peak - at_rest < ALLOWED, f"{peak / MIB:.0f} MiB, {at_rest / MIB:.0f} MiB at rest"
    assert BUDGET // 2 < most_in_flight <= BUDGET
