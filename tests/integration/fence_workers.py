"""A topic, and workers that read it at their own pace: the real look-up, write and decoding, without their loops.

A worker that does not write for long is a zombie: what it holds was looked up in a world that is gone. All workers have
all partitions, as if none of them knew of the others.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import cast

import msgspec

from consumers.core.conditions import Conditions
from consumers.core.decoding import decode, origin_of
from consumers.core.flight import Flight
from consumers.core.replaying import replayed
from consumers.core.shared import Shared
from consumers.core.tracking import PartitionTracker
from consumers.stores.pgvector import PgVectorStore
from consumers.writing import Pending, Writing
from schemas import headers
from schemas.dead_letters import DeadLetter, Failure, Record, to_record
from schemas.index import Change, ChunkRow, DocumentKey, Outcome
from schemas.messages import Message, Origin
from tests.contract.changes import hashed, vector
from tests.integration.fence_model import MINUTE_MS, Model, World

START_MS = 1_700_000_000_000
PLACES = (("docs.raw", 0), ("docs.raw", 1), ("docs.older", 0))
MANY = 1_000_000
Place = tuple[str, int]


@dataclass
class Topic:
    """What lies in Kafka. ``history`` has what was lost with a topic that was deleted as well."""

    world: World
    now_ms: int = START_MS
    incarnation: int = 0
    logs: dict[Place, list[Message]] = field(default_factory=lambda: {place: [] for place in PLACES})
    history: list[Message] = field(default_factory=list)

    def append(self, place: Place, record: Record, timestamp: int) -> Message:
        """Append a record; a broker that sets timestamps never sets one back."""
        log = self.logs[place]
        message = Message(
            *place, len(log), timestamp, self.world.clock, record.key, record.value, tuple(record.headers)
        )
        log.append(message)
        self.history.append(message)
        return message

    def make_anew(self) -> None:
        """Delete every topic and make it again, over a minute later."""
        self.incarnation += 1
        self.now_ms += MINUTE_MS + 1
        self.logs = {place: [] for place in PLACES}


def as_replay(message: Message, *, by_headrace: bool) -> Record:
    """Return what ``dlq replay`` publishes of a record that had failed, or what a plain tool copies."""
    nothing = Failure("embed", "input-rejected", "", 1, "", "")
    letter = DeadLetter(message, origin_of(message)[0], nothing, "group", "docs", 0, "")
    return replayed(letter) if by_headrace else to_record(letter)


def forged(message: Message, later: Origin) -> Record:
    """Return a record that says of itself that it comes from *later*."""
    told = zip(
        headers.ORIGIN_FIELDS,
        (later.topic, str(later.partition), str(later.offset), str(later.timestamp), later.timestamp_type.value),
        strict=True,
    )
    return Record(
        message.key,
        message.value,
        (
            *(header for header in message.headers if not headers.is_ours(header[0])),
            *((headers.ORIGIN_PREFIX + name, value.encode()) for name, value in told),
        ),
    )


class Recorded:
    """The real store, which tells the model of each group that was written."""

    def __init__(self, store: PgVectorStore, model: Model) -> None:
        self._store = store
        self._model = model

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        """Write, and tell of it."""
        outcomes = await self._store.write(changes)
        self._model.wrote(changes, outcomes)
        return outcomes


class Reader:
    """A worker of any group: ``hand`` is what it has embedded or decided, and not yet written."""

    def __init__(self, store: PgVectorStore, topic: Topic, model: Model) -> None:
        # All of it that writing knows.
        shared = SimpleNamespace(conditions=Conditions(), observe=lambda event: None)  # noqa: ARG005 - nobody listens
        self.hand: list[Pending] = []
        self._topic = topic
        self._model = model
        self._trackers: dict[Place, PartitionTracker] = {}
        self._writing = Writing(
            Recorded(store, model),  # type: ignore[arg-type]  # passes on what it lacks
            b"fingerprint",
            cast("Shared", shared),
            embed=self._embed,
            resolve=self._resolve,
            condemn=_never,  # type: ignore[arg-type]  # never called
        )
        self.seek(0)

    def seek(self, offset: int) -> None:
        """Begin a new assignment, at an offset that there is; what is in hand is forgotten."""
        for tracker in self._trackers.values():
            tracker.close()
        self.hand = []
        self._begin(offset)

    def begin_anew(self) -> None:
        """Read topics that were made again from their start; what is in hand comes from those before."""
        self._begin(0)

    def _begin(self, offset: int) -> None:
        logs = self._topic.logs
        self._trackers = {place: PartitionTracker(place[1], offset % (len(logs[place]) + 1)) for place in PLACES}

    async def read(self, count: int, places: Sequence[Place] = PLACES) -> None:
        """Take in the next records of each partition, and look them up."""
        flights = []
        for place in places:
            tracker = self._trackers[place]
            for message in self._topic.logs[place][tracker.expected :][:count]:
                tracker.track_all([message.offset], now=0.0)
                decoded = decode(message, self._topic.now_ms, MANY, tracker)
                flights.append(Flight(tracker, message, decoded, 0.0))
        self._writing.arrive(flights)
        await self._sort()

    async def write(self, picked: Sequence[Pending]) -> None:
        """Write these in one transaction; what has to be looked up again is in hand afterwards."""
        self.hand = [pending for pending in self.hand if not any(pending is one for one in picked)]
        await self._writing._write(list(picked))
        await self._sort()

    async def finish(self) -> None:
        """Read to the ends and write until nothing is left in hand."""
        await self.read(len(self._topic.history))
        await self.write_all()

    async def write_all(self) -> None:
        """Write until nothing is left in hand."""
        while self.hand:
            await self.write(self.hand)

    async def _sort(self) -> None:
        writing = self._writing
        if flights := [flight for _, flight in writing._arrived.take(MANY, MANY)]:
            await writing._sort(flights)
        self.hand += writing._pending
        writing._pending.clear()

    async def _embed(self, flights: Sequence[Flight], stored: Mapping[DocumentKey, frozenset[bytes]]) -> None:
        for flight in flights:
            known = stored.get((flight.subject.tenant, flight.subject.id), frozenset())
            text = msgspec.json.decode(flight.message.value or b"")["text"]
            flight.fan_out(
                tuple(
                    ChunkRow(piece, hashed(piece), 1, None if hashed(piece) in known else vector(piece))
                    for piece in text.split()
                )
            )
            self.hand.append((flight.weight, flight, flight.put()))

    def _resolve(self, flights: Iterable[Flight], outcome: Outcome) -> None:
        del outcome
        for flight in flights:
            self._model.resolve(flight.origin)


async def _never(*told: object) -> None:
    raise AssertionError(f"a store that works condemns nothing and waits for nothing: {told}")
