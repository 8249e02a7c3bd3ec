"""What happens in one simulation? Drawn from its seed before it begins.

Each seed switches a part of the faults on and leaves the others off: faults that are always together hide each other.
"""

import random
from collections import Counter
from dataclasses import dataclass, field

import msgspec

from schemas.headers import ID, TENANT, VERSION
from schemas.messages import Headers
from schemas.settings import (
    ChunkingSettings,
    FloodSettings,
    KafkaSettings,
    ProviderSettings,
    Settings,
    WorkerSettings,
)

DIMENSIONS = 4
CHUNK_TOKENS = 8
MAX_DOCUMENT_BYTES = 2_000
SESSION_S = 6.0
FETCH_RECORDS = 12

POISON = "poison"
"""A text that the provider refuses."""
BROKEN = "broken"
"""A text whose vector is never usable."""
KILLER = "killer"
"""A text over which the provider falls."""
REFUSED = "refused"
"""A title that the database refuses."""
HARMFUL_WORDS = (POISON, BROKEN, KILLER, REFUSED)

WORDS = (
    "mill",
    "wheel",
    "water",
    "stone",
    "grain",
    "river",
    "flour",
    "race",
    "sluice",
    "gate",
    "beam",
    "gear",
    "paddle",
    "brook",
    "weir",
    "bucket",
    "axle",
)

MOST_ODD = 4
"""So many records of an id whose order is open can still be tried in every order."""

FLOOD = 30

INVALID: tuple[tuple[bytes | None, bytes | None, Headers], ...] = (
    (b"k", b"{", ()),
    (b"k", b"[]", (("x", None),)),
    (None, b'{"text": "no id"}', (("x", b"1"), ("x", b"2"))),
    (b"k", b'{"id": "a", "text": "  "}', ()),
    (b"k", b'{"id": "a", "text": "b", "version": 1}', ((VERSION, b"2"),)),
    (b"k", b'{"id": "a", "text": "%s"}' % (b"long " * 500), ()),
    (b"k", b'{"id": "a", "text": "b", "tenant": "\xff"}', ()),
    (None, None, ()),
)

FAULTS = (
    "store before",
    "store after",
    "provider",
    "rate limit",
    "malformed",
    "vector",
    "dead letters before",
    "dead letters after",
    "parse",
    "commit",
    "committed",
    "start",
    "heartbeat",
    "ends",
    "offsets",
    "list",
)
"""Each has a probability for each request that it may befall."""
OUTAGES = ("store", "provider", "dead letters", "broker", "provider misconfigured", "unreadable")
"""Each lasts for a while, and befalls every request meanwhile."""


@dataclass(frozen=True)
class Write:
    """A record to be appended at a time; without headers, key and value it is a gap."""

    at: float
    partition: int
    key: bytes | None = None
    value: bytes | None = None
    headers: Headers = ()
    created: int | None = None
    """Milliseconds by which the producer's clock is off; None where the broker sets the timestamp."""
    is_gap: bool = False


@dataclass(frozen=True)
class Event:
    """Something that is done to a worker, or to all."""

    at: float
    what: str
    slot: int = 0
    seconds: float = 0.0
    steps: int = 0


@dataclass
class Plan:
    """One simulation, before it has begun. Times are seconds from its start."""

    seed: int
    partitions: int
    slots: int
    settings: Settings
    disorder: float
    latency_s: float
    group_exists: bool
    calm_at: float
    read_again: bool
    flood: bool
    """Whether one of the bursts is a flood of what can not be stored."""
    huge: int
    """A document of more chunks is huge."""
    forces: bool
    """Whether a reset in the middle is meant to embed everything again, and the topic is read so at the end."""
    faults: dict[str, float] = field(default_factory=dict)
    outages: list[tuple[str, float, float]] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)


def plan(seed: int) -> Plan:
    """Draw everything from *seed*."""
    chance = random.Random(f"{seed}/plan")
    later = random.Random(f"{seed}/huge and forced")
    calm_at = chance.choice((5.0, 10.0, 20.0, 35.0))
    flood = chance.random() < 0.06
    made = Plan(
        seed,
        partitions=chance.choice((1, 2, 3)),
        slots=chance.choice((1, 1, 2)),
        settings=_settings(chance, flood=flood),
        disorder=chance.choice((0.0, 0.2, 1.0)),
        latency_s=chance.choice((0.001, 0.02, 0.3)),
        group_exists=chance.random() < 0.5,
        calm_at=calm_at,
        read_again=chance.random() < 0.3,
        flood=flood,
        huge=later.choice((1, 2, 256)),
        forces=later.random() < 0.4,
    )
    for fault in FAULTS:
        if chance.random() < 0.3:
            made.faults[fault] = chance.choice((0.02, 0.1, 0.3)) if fault != "parse" else 0.1
    _shorten_the_deadline(later, made)
    for outage in OUTAGES:
        if chance.random() < 0.15:
            start = chance.uniform(0, calm_at)
            made.outages.append((outage, start, start + chance.choice((0.5, 3.0, 10.0))))
    made.events = _events(chance, made)
    made.writes = _writes(chance, made)
    return made


def _shorten_the_deadline(chance: random.Random, made: Plan) -> None:
    """Let some seeds give up what waits too long; read again, it may well be stored."""
    if chance.random() < 0.2:
        wished = {"on_deadline": "dead-letter", "deadline_s": chance.choice((1.0, 5.0))}
        provider = made.settings.provider.model_copy(update=wished)
        made.settings = made.settings.model_copy(update={"provider": provider})
        made.read_again = False


def _settings(chance: random.Random, *, flood: bool) -> Settings:
    return Settings(
        kafka=KafkaSettings(
            session_timeout_s=SESSION_S,
            drain_timeout_s=chance.choice((5.2, 6.0, 8.0)),
            commit_interval_s=chance.choice((0.2, 1.0)),
        ),
        provider=ProviderSettings(
            model="memory",
            dimensions=DIMENSIONS,
            concurrency=chance.choice((1, 2, 4)),
            max_items=chance.choice((1, 3, 8)),
            max_bytes=chance.choice((60, 200, 2_000_000)),
            linger_ms=chance.choice((0, 20, 200)),
        ),
        chunking=ChunkingSettings(max_tokens=CHUNK_TOKENS),
        worker=WorkerSettings(
            in_flight_documents=chance.choice((1, 4, 12, 20_000)),
            in_flight_bytes=chance.choice((1_000, 8_000, 64 * 1024 * 1024)),
            max_document_bytes=MAX_DOCUMENT_BYTES,
        ),
        # Most seeds are to see their dead letters written at once.
        flood=FloodSettings(window=20, run=20) if flood else FloodSettings(window=10_000, ratio=1.0, run=1_000_000),
    )


def _events(chance: random.Random, made: Plan) -> list[Event]:
    """Draw crashes, stops, freezes and what an operator does."""
    events: list[Event] = []
    often = {"kill": 0.5, "stop": 0.2, "freeze": 0.3, "freeze all and reset": 0.1, "pause": 0.1, "resume": 0.1}
    once: tuple[str, ...] = ()
    if chance.random() < 0.1:
        often, once = {"kill": 0.3}, ("snapshot", "restore")
    for what, probability in often.items():
        while chance.random() < probability / 2 ** len([event for event in events if event.what == what]):
            events.append(_event(chance, made, what))
    events += [_event(chance, made, what) for what in once]
    if chance.random() < 0.1:
        events += [_event(chance, made, "rebalance") for _ in range(8)]
    return sorted(events, key=lambda event: event.at)


def _event(chance: random.Random, made: Plan, what: str) -> Event:
    seconds = chance.choice((0.5, 4.0, SESSION_S * 1.5, SESSION_S * 3))
    return Event(chance.uniform(0, made.calm_at), what, chance.randrange(made.slots), seconds, chance.randrange(60))


def _writes(chance: random.Random, made: Plan) -> list[Write]:
    """Draw documents: a few ids that change often, some of them in ways that leave their order to chance."""
    kinds = ["plain", "versioned", "odd"] if chance.random() < 0.2 else ["plain", "versioned"]
    ids = [(f"d{n}", chance.choice(kinds), chance.randrange(made.partitions)) for n in range(chance.choice((2, 5, 9)))]
    harm = chance.choice((0.0, 0.05, 0.2))
    author = _Author(chance, harm, killers=chance.random() < 0.02)
    bursts = [0.0, chance.uniform(0, made.calm_at), chance.uniform(0, made.calm_at)]
    count = chance.choice((8, 20, 45))
    writes = []
    for at in sorted(chance.choice((*bursts, chance.uniform(0, made.calm_at))) for _ in range(count)):
        anywhere = chance.randrange(made.partitions)
        if chance.random() < 0.1:
            writes.append(Write(at, anywhere, is_gap=True))
        if chance.random() < harm / 2:
            writes.append(Write(at, anywhere, *chance.choice(INVALID)))
            continue
        name, kind, partition = chance.choice(ids)
        if kind != "odd":
            writes.append(author.write(at, partition, name, kind))
        elif author.counts[name] < MOST_ODD:
            writes.append(author.write(at, anywhere if chance.random() < 0.3 else partition, name, kind))
    if made.flood:
        partition = chance.randrange(made.partitions)
        writes += [Write(bursts[1], partition, *chance.choice(INVALID)) for _ in range(FLOOD)]
    return sorted(writes, key=lambda write: write.at)


class _Author:
    """Writes documents; ``counts`` is how many of an id."""

    def __init__(self, chance: random.Random, harm: float, *, killers: bool) -> None:
        self.counts: Counter[str] = Counter()
        self._chance = chance
        self._harm = harm
        self._killers = killers

    def write(self, at: float, partition: int, name: str, kind: str) -> Write:
        """Return the next document of an id, or its deletion."""
        chance = self._chance
        self.counts[name] += 1
        number = self.counts[name]
        version = None
        if kind == "versioned" or (kind == "odd" and chance.random() < 0.5):
            version = max(0, number + chance.choice((-2, 0, 0, 0, 0)))
        headers: list[tuple[str, bytes | None]] = [("x-number", b"\xff%d" % number)] if chance.random() < 0.2 else []
        created = chance.choice((None, -50, 50)) if kind == "odd" else None
        tenant = "other" if name == "d1" else None
        key = None if tenant and chance.random() < 0.5 else name.encode()
        if chance.random() < 0.15:
            headers += [(ID, name.encode())]
            headers += [(TENANT, tenant.encode())] if tenant else []
            headers += [(VERSION, b"%d" % version)] if version is not None else []
            return Write(at, partition, key, None, tuple(headers), created)
        said: dict[str, object] = {"id": name, "text": self._text(), "tenant": tenant, "version": version}
        if chance.random() < 0.4:
            said["title"] = REFUSED if chance.random() < self._harm / 2 else chance.choice(WORDS)
        if chance.random() < 0.4:
            said["metadata"] = {"number": number}
        return Write(at, partition, key, msgspec.json.encode(said), tuple(headers), created)

    def _text(self) -> str:
        chance = self._chance
        count = chance.choice((1, 2, 3, 12, 25))
        if chance.random() < 0.4:  # the same text again
            return " ".join(WORDS[:count])
        words = [chance.choice(WORDS) for _ in range(count)]
        if chance.random() < self._harm:
            words[chance.randrange(count)] = chance.choice((POISON, BROKEN, KILLER if self._killers else POISON))
        return " ".join(words)
