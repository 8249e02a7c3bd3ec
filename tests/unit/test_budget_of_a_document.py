"""I9: a document is counted with its vectors before they exist, and with no more than it was counted with it leaves."""

import asyncio
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec
import pytest

from consumers.core.budget import InFlightBudget
from consumers.core.chunking import Chunker
from consumers.core.conditions import Conditions
from consumers.core.flight import HUGE, Cause, Flight
from consumers.core.footprint import CHUNK_BYTES, Footprint
from consumers.core.shared import Shared
from consumers.core.spending import DailyBudget
from consumers.core.tracking import PartitionTracker
from consumers.embedding import Embedding
from consumers.intake import Intake
from consumers.kafka.commits import Ledger
from consumers.kafka.source import Delivery, Source
from consumers.providers.memory import MemoryProvider
from schemas.documents import Document
from schemas.messages import Message, TimestampType
from schemas.settings import ChunkingSettings, ProviderSettings, Settings

DIMENSIONS = 100
VECTOR_BYTES = 4 * DIMENSIONS
CHUNK_TOKENS = 10
CHUNKER = Chunker(ChunkingSettings(max_tokens=CHUNK_TOKENS))
FOOTPRINT = Footprint(CHUNKER, DIMENSIONS)
NONE_BYTES = sys.getsizeof(None)


class OnePoll(Source):
    """A topic with one message, which a first poll returns."""

    def __init__(self, message: Message) -> None:
        super().__init__(Settings(), "digest", Ledger(positions, forget, server, has_documents), lambda _: None)
        self._deliveries = [[Delivery(PartitionTracker(0, 0), [message])]]

    async def poll(self, max_records: int = 1, max_bytes: int = 1) -> list[Delivery]:
        assert max_records > 0
        assert max_bytes > 0
        if not self._deliveries:
            await asyncio.Event().wait()
        return self._deliveries.pop()


async def positions() -> dict[int, int]:
    return {}


async def forget(*_: object) -> bool:
    return True


async def server() -> str:
    return ""


async def has_documents() -> bool:
    return False


def message(text: str, metadata: Mapping[str, str] | None = None) -> Message:
    value = msgspec.json.encode({"id": "a", "text": text} | ({} if metadata is None else {"metadata": metadata}))
    return Message("docs.raw", 0, 0, 5, TimestampType.LOG_APPEND_TIME, None, value)


async def polled(shared: Shared, one: Message) -> Flight:
    accepted: list[Flight] = []
    some = asyncio.Event()

    def accept(flights: Sequence[Flight]) -> None:
        accepted.extend(flights)
        some.set()

    intake = Intake(OnePoll(one), shared, 1_000_000, FOOTPRINT, accept=accept, condemn=never, decoded=lambda *_: None)
    running = asyncio.create_task(intake.run())
    await some.wait()
    running.cancel()
    await asyncio.wait([running])
    accepted[0].hashed(b"fingerprint")
    return accepted[0]


def never(flight: Flight, cause: Cause) -> None:
    raise AssertionError(f"{flight!r} was condemned: {cause}")


class InMemory:
    """The index, as far as vectors are brought to it."""

    def __init__(self) -> None:
        self.stored: list[Flight] = []
        self.kept: dict[bytes, bytes] = {}
        self.refuses = False
        self.budget: InFlightBudget | None = None
        self.counted: list[int] = []

    def store(self, flights: Iterable[Flight]) -> None:
        self.stored += flights

    async def stage(self, vectors: Mapping[bytes, bytes]) -> bool:
        self.counted.append(self.budget.size if self.budget else 0)
        if not self.refuses:
            self.kept.update(vectors)
        return not self.refuses

    async def staged(self, hashes: Collection[bytes]) -> frozenset[bytes]:
        return frozenset(hashes) & self.kept.keys()


def embedding_into(index: InMemory, shared: Shared) -> Embedding:
    provider = ProviderSettings(base_url="http://127.0.0.1/v1", model="memory", dimensions=DIMENSIONS, linger_ms=0)
    return Embedding(MemoryProvider(DIMENSIONS), CHUNKER, provider, FOOTPRINT, shared, index=index, condemn=never)


def sharing() -> Shared:
    return Shared(InFlightBudget(1_000_000, 10), Conditions(), lambda _: None, DailyBudget(None, None, None))


def held(flight: Flight, chunks: int) -> int:
    """Return what a document of several chunks holds beside its vectors."""
    assert isinstance(flight.subject, Document)
    # Splitting leaves a text that is not ASCII in UTF-8 as well: the same text is larger afterwards.
    return flight.message.size + 2 * sys.getsizeof(flight.subject.text) + NONE_BYTES + chunks * CHUNK_BYTES


async def test_a_short_document_is_its_message_and_one_vector() -> None:
    shared = sharing()
    flight = await polled(shared, one := message("short"))
    await embedding_into(InMemory(), shared).submit([flight], {})
    assert len(flight.chunks) == 1
    assert shared.budget.size == flight.weight == one.size + VECTOR_BYTES


@pytest.mark.parametrize("letter", ["e", "\u4e2d", "\U0001f600"], ids=["narrow", "wide", "widest"])
async def test_a_longer_one_is_counted_from_the_poll_on_with_all_that_it_will_hold(letter: str) -> None:
    shared = sharing()
    embedding = embedding_into(InMemory(), shared)
    text = "Thirty-eight characters are one chunk" + letter + ". "
    flight = await polled(shared, message(text * 3))
    assert shared.budget.size == flight.weight == held(flight, 3) + 3 * VECTOR_BYTES
    for _ in ("submitted", "submitted again: the rows had changed"):
        await embedding.submit([flight], {})
        assert len(flight.chunks) == 3
        assert shared.budget.size == flight.weight == held(flight, 3) + 3 * VECTOR_BYTES


async def test_a_document_that_makes_more_chunks_than_its_length_tells_counts_them_once_it_is_cut() -> None:
    shared = sharing()
    text = "Twenty-one characters. " * 8
    flight = await polled(shared, message(text))
    assert flight.weight == held(flight, 5) + 5 * VECTOR_BYTES
    await embedding_into(InMemory(), shared).submit([flight], {})
    assert len(flight.chunks) == 8
    assert shared.budget.size == flight.weight == held(flight, 8) + 8 * VECTOR_BYTES


async def test_metadata_are_counted_beside_a_short_text() -> None:
    shared = sharing()
    flight = await polled(shared, one := message("short", {"k": "v" * 10_000}))
    assert shared.budget.size == flight.weight > 2 * one.size


def huge() -> Message:
    return message("".join(f"{n:039}. " for n in range(HUGE + 100)))


async def embedded(embedding: Embedding, index: InMemory) -> None:
    running = asyncio.create_task(embedding.run())
    while not index.stored:
        await asyncio.sleep(0.001)
    running.cancel()
    await asyncio.wait([running])


async def test_vectors_of_a_huge_document_are_staged_as_they_come_and_counted_no_longer() -> None:
    shared, index = sharing(), InMemory()
    index.budget = shared.budget
    embedding = embedding_into(index, shared)
    flight = await polled(shared, huge())
    await embedding.submit([flight], {})
    waiting = shared.budget.size
    assert waiting == held(flight, HUGE + 100)
    await embedded(embedding, index)
    assert shared.budget.size == flight.weight == waiting
    assert len(index.counted) > 1
    assert all(waiting < counted <= waiting + 256 * VECTOR_BYTES * 2 for counted in index.counted)
    assert index.kept.keys() == {chunk.hash for chunk in flight.chunks}
    assert [chunk.vector for chunk in flight.put().chunks] == [None] * len(flight.chunks)


async def test_what_was_staged_of_a_huge_document_is_not_sent_again() -> None:
    shared, index = sharing(), InMemory()
    embedding = embedding_into(index, shared)
    flight = await polled(shared, huge())
    await embedding.submit([flight], {})
    await embedded(embedding, index)
    missing = flight.chunks[7].hash
    del index.kept[missing]
    index.stored.clear()
    staged_before, index.counted = set(index.kept), []
    await embedding.submit([flight], {})
    await embedded(embedding, index)
    assert index.kept.keys() - staged_before == {missing}
    assert len(index.counted) == 1


async def test_vectors_that_the_index_refuses_stay_with_their_document_to_be_judged_there() -> None:
    shared, index = sharing(), InMemory()
    index.refuses = True
    embedding = embedding_into(index, shared)
    flight = await polled(shared, huge())
    await embedding.submit([flight], {})
    await embedded(embedding, index)
    assert all(chunk.vector for chunk in flight.put().chunks)
    assert shared.budget.size == flight.weight == held(flight, HUGE + 100) + len(flight.chunks) * VECTOR_BYTES
