"""Tenants take turns on the whole way: what one has waiting does not delay another's document."""

import asyncio
from collections.abc import Callable, Sequence

import msgspec
import pytest

from consumers.core.budget import InFlightBudget
from consumers.core.conditions import Conditions
from consumers.core.decoding import decode
from consumers.core.flight import Flight
from consumers.core.shared import Shared
from consumers.core.spending import DailyBudget
from consumers.core.tracking import PartitionTracker
from consumers.stores.memory import MemoryStore
from consumers.writing import MAX_GROUP, Writing
from schemas.index import Candidate, Change, ChunkRow, Outcome, Standing
from schemas.messages import Message, TimestampType

BUSY, QUIET = "busy", "quiet"
BACKLOG = 20 * MAX_GROUP


class Asked(MemoryStore):
    """A store that remembers in which order it was asked of tenants."""

    def __init__(self) -> None:
        super().__init__()
        self.looked_up: list[str] = []
        self.written: list[str] = []

    async def look_up(self, candidates: Sequence[Candidate], content_hash: Callable[[int], bytes]) -> list[Standing]:
        self.looked_up += [candidate.tenant for candidate in candidates]
        return await super().look_up(candidates, content_hash)

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        await asyncio.sleep(0)
        self.written += [change.tenant for change in changes]
        return await super().write(changes)


def flights(tracker: PartitionTracker, tenant: str, count: int) -> list[Flight]:
    value = msgspec.json.encode({"tenant": tenant, "text": "text"})
    messages = [
        Message("docs.raw", 0, n, n, TimestampType.LOG_APPEND_TIME, b"doc-%d" % n, value)
        for n in range(tracker.expected, tracker.expected + count)
    ]
    tracker.track_all([message.offset for message in messages], 0.0)
    return [Flight(tracker, message, decode(message, message.timestamp, 1_000), 0.0) for message in messages]


@pytest.mark.parametrize("stage", ["look-up", "write"])
async def test_a_document_behind_the_backlog_of_another_tenant_is_among_the_first(stage: str) -> None:
    store, tracker = Asked(), PartitionTracker(0, 0)
    shared = Shared(InFlightBudget(1, 1), Conditions(), lambda _: None, DailyBudget(None, None, None))
    writing = Writing(store, b"", shared, embed=_ignore, resolve=_ignore_outcome, condemn=_never)
    waiting = [*flights(tracker, BUSY, BACKLOG), *flights(tracker, QUIET, 1)]
    if stage == "look-up":
        writing.arrive(waiting)
        asked, work = store.looked_up, writing.look_up
    else:
        for flight in waiting:
            flight.hashed(b"")
            flight.fan_out((ChunkRow("text", b"hash", 1, b"\0\0\x80\x3f"),))
        writing.store(waiting)
        asked, work = store.written, writing.write
    working = asyncio.create_task(work())
    async with asyncio.timeout(20):
        while len(asked) < len(waiting):
            await asyncio.sleep(0)
    working.cancel()
    await asyncio.wait([working])
    assert asked.index(QUIET) < 2 * MAX_GROUP


async def _ignore(*_: object) -> None:
    """What is to be embedded is not looked at here."""


def _ignore_outcome(*_: object) -> None:
    """Nor what became of it."""


def _never(*_: object) -> None:
    raise AssertionError("the store refuses nothing")
