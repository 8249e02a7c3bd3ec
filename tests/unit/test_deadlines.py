"""Which documents wait for too long, and may they be given up?"""

import asyncio
import io
import time
from collections.abc import Sequence

import msgspec
import pytest
from rich.console import Console

from compose.cli.status import rendered
from compose.overview import Overview
from consumers.core.budget import InFlightBudget
from consumers.core.chunking import Chunker
from consumers.core.conditions import Conditions
from consumers.core.deadlines import Deadlines, cause
from consumers.core.decoding import decode
from consumers.core.flight import Cause, Fate, Flight
from consumers.core.footprint import Footprint
from consumers.core.shared import Shared
from consumers.core.spending import DailyBudget
from consumers.core.tracking import PartitionTracker
from consumers.embedding import Embedding
from consumers.providers.memory import MemoryProvider
from consumers.providers.protocol import Reply
from schemas.errors import RateLimited
from schemas.messages import Message, TimestampType
from schemas.settings import ChunkingSettings, ProviderSettings, Settings
from schemas.status import PartitionStatus, State, Status
from tests.unit.test_budget_of_a_document import InMemory

DIMENSIONS = 8
SETTINGS = ProviderSettings(model="memory", dimensions=DIMENSIONS, deadline_s=600.0, linger_ms=0, max_items=2)
GIVES_UP = SETTINGS.model_copy(update={"on_deadline": "dead-letter"})
NEVER, ALL = 100, 100


def test_a_partition_is_told_of_once_while_it_has_late_documents() -> None:
    deadlines = Deadlines(SETTINGS)
    assert deadlines.before(1000.0) == 400.0
    assert deadlines.look({0: 0, 1: 3}) == {1: 3}
    assert deadlines.look({0: 1, 1: 5}) == {0: 1}
    assert deadlines.late == {0: 1, 1: 5}
    assert deadlines.look({0: 0}) == {}
    assert deadlines.look({0: 2, 1: 1}) == {0: 2, 1: 1}


def test_nothing_is_given_up_unless_that_is_wished() -> None:
    assert Deadlines(SETTINGS).given_up_before(1000.0, excused=False) is None
    assert Deadlines(GIVES_UP).given_up_before(1000.0, excused=False) == 400.0


def test_what_waited_for_an_operator_has_its_whole_deadline_again() -> None:
    deadlines = Deadlines(GIVES_UP)
    assert deadlines.given_up_before(1000.0, excused=True) is None
    assert deadlines.given_up_before(1599.9, excused=False) is None
    assert deadlines.given_up_before(1600.0, excused=False) == 1000.0


def test_who_resumes_excuses_what_was_not_looked_at_meanwhile() -> None:
    deadlines = Deadlines(GIVES_UP)
    deadlines.excuse(1000.0)
    assert deadlines.given_up_before(1001.0, excused=False) is None
    assert deadlines.given_up_before(1600.0, excused=False) == 1000.0


@pytest.mark.parametrize(
    ("part", "state", "holds", "awaited"),
    [
        ("operator", State.PAUSED, True, True),
        ("flood", State.BLOCKED, True, True),
        ("provider", State.BLOCKED, True, True),
        ("budget", State.THROTTLED, True, True),
        ("provider", State.THROTTLED, True, False),
        ("record", State.BLOCKED, False, False),
    ],
)
def test_an_outage_is_the_providers_and_a_block_an_operators(
    part: str, state: State, *, holds: bool, awaited: bool
) -> None:
    conditions = Conditions()
    conditions.set(part, state, "why", 1.0, holds=holds)
    assert conditions.operator_awaited is awaited
    assert conditions.reason(part) == "why"
    conditions.clear(part)
    assert not conditions.operator_awaited
    assert conditions.reason(part) is None


def test_a_dead_letter_says_how_long_it_waited_and_what_the_provider_said_last() -> None:
    told = cause(612.4, GIVES_UP, 7, "503: overloaded")
    assert (told.stage, told.code, told.attempts) == ("provider", "deadline", 7)
    assert told.message == "waited 612 s for the provider, longer than provider.deadline_s = 600: 503: overloaded"
    assert cause(612.4, GIVES_UP, 0, None).message.endswith("= 600")


@pytest.mark.parametrize(("late", "told"), [(0, None), (1, "1 document waits longer"), (2_500, "5,000 documents wait")])
def test_the_status_says_how_many_documents_are_late(late: int, told: str | None) -> None:
    partitions = tuple(PartitionStatus(partition=p, position=5, late=late) for p in range(1 if late == 1 else 2))
    worker = Status(
        state=State.THROTTLED, reason="503", since="", version="", index="docs", group="headrace-docs", instance="i",
        topic="t", deadline_s=600.0, partitions=partitions,
    )  # fmt: skip
    console = Console(record=True, width=200, file=io.StringIO())
    console.print(rendered(Overview(None, None, worker, {}), Settings()))
    shown = console.export_text()
    assert ("longer than 600 s" in shown) is (told is not None)
    assert told is None or told in shown


class Gate(MemoryProvider):
    """A provider that answers texts with ``slow`` in them when it is let, and refuses those with ``never``."""

    def __init__(self) -> None:
        super().__init__(DIMENSIONS)
        self.open = asyncio.Event()
        self.asked: list[str] = []

    async def embed(self, texts: Sequence[str]) -> Reply:
        self.asked += texts
        if any("never" in text for text in texts):
            raise RateLimited("503: overloaded", retry_after=None)
        if any("slow" in text for text in texts):
            await self.open.wait()
        return await super().embed(texts)


class Bench:
    """An embedding stage that runs, with a provider that waits to be let, and what became of documents."""

    def __init__(self) -> None:
        self.provider = Gate()
        self.index = InMemory()
        self.condemned: list[tuple[Flight, Cause]] = []
        self.tracker = PartitionTracker(0, 0)
        self.offset = 0
        shared = Shared(InFlightBudget(1_000_000, 100), Conditions(), lambda _: None, DailyBudget(None, None, None))
        chunker = Chunker(ChunkingSettings(max_tokens=10))
        self.embedding = Embedding(
            self.provider,
            chunker,
            GIVES_UP,
            Footprint(chunker, DIMENSIONS),
            shared,
            index=self.index,
            condemn=self.condemn,
        )

    def condemn(self, flight: Flight, why: Cause) -> None:
        assert flight.live
        self.condemned.append((flight, why))
        flight.fate = Fate.CONDEMNED

    async def submit(self, *texts: str, age: float = NEVER) -> list[Flight]:
        flights = []
        for text in texts:
            value = msgspec.json.encode({"id": "a", "text": text})
            message = Message("docs.raw", 0, self.offset, 5, TimestampType.LOG_APPEND_TIME, None, value)
            self.offset += 1
            flight = Flight(self.tracker, message, decode(message, 5, 1_000), time.monotonic() - age)
            flight.hashed(b"fingerprint")
            flights.append(flight)
        await self.embedding.submit(flights, {})
        return flights

    async def asked(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.provider.asked) < count:
                await asyncio.sleep(0.001)

    def give_up(self, most: int = ALL, *, longer_than: float = NEVER / 2) -> list[Flight]:
        self.condemned.clear()
        self.embedding.give_up(time.monotonic() - longer_than, most)
        return [flight for flight, _ in self.condemned]


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_a_document_that_waits_for_its_call_is_given_up_and_a_younger_one_is_not(bench: Bench) -> None:
    old = await bench.submit("old", "older")
    await bench.submit("young", age=1)
    assert bench.give_up() == old
    assert bench.give_up() == [], "given up twice"
    assert len(bench.embedding._batcher) == 1, "a document is held in memory that is counted no longer"
    running = asyncio.create_task(bench.embedding.run())
    await bench.asked(1)
    running.cancel()
    await asyncio.wait([running])
    assert bench.provider.asked == ["young"], "a text is paid for that nobody waits for"


async def test_no_more_are_given_up_at_once_than_is_allowed(bench: Bench) -> None:
    flights = await bench.submit("a", "b", "c")
    assert bench.give_up(2) == flights[:2]
    assert bench.give_up(2) == flights[2:]


async def test_a_document_with_a_text_in_a_call_is_not_given_up_before_the_call_ends(bench: Bench) -> None:
    whole = await bench.submit("slow")
    long = await bench.submit("slow is the first chunk of these. " * 3)
    assert len(long[0].chunks) > 2
    bench.embedding._slots = asyncio.Semaphore(1)
    running = asyncio.create_task(bench.embedding.run())
    await bench.asked(1)
    assert bench.give_up() == [], "the one is in a call as a whole, of the other a chunk is"
    bench.provider.open.set()
    async with asyncio.timeout(5):
        while len(bench.index.stored) < 2:
            await asyncio.sleep(0.001)
    assert bench.give_up() == [], "what has its vectors waits for the index"
    assert bench.index.stored == whole + long
    running.cancel()
    await asyncio.wait([running])


async def test_a_document_that_was_refused_is_given_up_between_two_calls_with_what_was_said(bench: Bench) -> None:
    refused = await bench.submit("never")
    running = asyncio.create_task(bench.embedding.run())
    await bench.asked(1)
    async with asyncio.timeout(5):
        while not (found := bench.give_up()):
            await asyncio.sleep(0.001)
    assert found == refused
    assert bench.condemned[0][1].attempts >= 1
    assert bench.condemned[0][1].message.endswith("503: overloaded")
    other = await bench.submit("well")
    async with asyncio.timeout(10):
        while not bench.index.stored or bench.embedding._waiting:
            await asyncio.sleep(0.001)
    assert bench.index.stored == other
    running.cancel()
    await asyncio.wait([running])
