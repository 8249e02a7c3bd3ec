"""I9: a document is counted with its vectors before they exist, and with no more than it was counted with it leaves."""

import asyncio
from collections.abc import Sequence

import msgspec

from consumers.core.budget import InFlightBudget
from consumers.core.chunking import Chunker
from consumers.core.conditions import Conditions
from consumers.core.flight import Cause, Flight
from consumers.core.shared import Shared
from consumers.core.spending import DailyBudget
from consumers.core.tracking import PartitionTracker
from consumers.embedding import Embedding
from consumers.intake import Intake
from consumers.kafka.source import Delivery, Ledger, Source
from consumers.providers.memory import MemoryProvider
from schemas.messages import Message, TimestampType
from schemas.settings import ChunkingSettings, ProviderSettings, Settings

DIMENSIONS = 100
VECTOR_BYTES = 4 * DIMENSIONS
CHUNK_TOKENS = 10


class OnePoll(Source):
    """A topic with one message, which a first poll returns."""

    def __init__(self, message: Message) -> None:
        super().__init__(Settings(), "digest", Ledger(positions, forget, has_documents), lambda _: None)
        self._deliveries = [[Delivery(PartitionTracker(0, 0), [message])]]

    async def poll(self, max_records: int = 1) -> list[Delivery]:
        assert max_records
        if not self._deliveries:
            await asyncio.Event().wait()
        return self._deliveries.pop()


async def positions() -> dict[int, int]:
    return {}


async def forget(_: object) -> None:
    return None


async def has_documents() -> bool:
    return False


def message(text: str) -> Message:
    value = msgspec.json.encode({"id": "a", "text": text})
    return Message("docs.raw", 0, 0, 5, TimestampType.LOG_APPEND_TIME, None, value)


async def polled(shared: Shared, one: Message) -> Flight:
    accepted: list[Flight] = []
    some = asyncio.Event()

    def accept(flights: Sequence[Flight]) -> None:
        accepted.extend(flights)
        some.set()

    intake = Intake(
        OnePoll(one), shared, 1_000_000, VECTOR_BYTES, accept=accept, condemn=never, decoded=lambda *_: None
    )
    running = asyncio.create_task(intake.run())
    await some.wait()
    running.cancel()
    await asyncio.wait([running])
    return accepted[0]


def never(flight: Flight, cause: Cause) -> None:
    raise AssertionError(f"{flight!r} was condemned: {cause}")


async def test_a_vector_is_counted_from_the_poll_on_and_others_once_the_text_is_cut() -> None:
    shared = Shared(InFlightBudget(1_000_000, 10), Conditions(), lambda _: None, DailyBudget(None, None, None))
    provider = ProviderSettings(base_url="http://127.0.0.1/v1", model="memory", dimensions=DIMENSIONS)
    chunker = Chunker(ChunkingSettings(max_tokens=CHUNK_TOKENS))
    embedding = Embedding(
        MemoryProvider(DIMENSIONS), chunker, provider, DIMENSIONS, shared, complete=lambda _: None, condemn=never
    )
    one = message("Forty characters are a chunk by itself. " * 3)
    flight = await polled(shared, one)
    assert shared.budget.size == flight.weight == one.size + VECTOR_BYTES
    for _ in ("submitted", "submitted again: the rows had changed"):
        await embedding.submit([flight], {})
        assert len(flight.chunks) == 3
        assert shared.budget.size == flight.weight == one.size + 3 * VECTOR_BYTES
