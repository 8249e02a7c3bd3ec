"""Which dead letters are there, what became of them, and what may be shown of them?"""

import base64
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from heapq import heappush, heappushpop

import msgspec

from consumers.core.replaying import prospect
from consumers.core.selection import Filter, told_tenant
from consumers.kafka.dead_letters import known_fates, letters, ranges
from schemas.dead_letters import DeadLetter, Failure, iso
from schemas.documents import DEFAULT_TENANT, Document
from schemas.errors import HeadraceError, InvalidDocument
from schemas.fates import Fate, fate_key
from schemas.messages import Origin
from schemas.settings import Settings

HOUR = len("2026-01-31T23")
MAX_SHOWN_KEY = 200

Found = tuple[DeadLetter, Fate | None]


class Letter(msgspec.Struct, frozen=True):
    """A dead letter in a line. ``key`` shows other bytes than text as escapes, ``tenant`` is None if nobody says."""

    partition: int
    offset: int
    origin: str
    key: str | None
    tenant: str | None
    stage: str
    code: str
    message: str
    attempts: int
    replays: int
    first_failed_at: str
    failed_at: str
    bytes: int
    fate: Fate | None = None


class Stats(msgspec.Struct, frozen=True):
    """Dead letters counted in several ways; hours are UTC, as ``2026-01-31T23``, in their order.

    ``topics`` are those that the messages first lay in; ``fates`` counts ``open`` where there is none.
    """

    total: int
    codes: dict[str, int]
    stages: dict[str, int]
    hours: dict[str, int]
    topics: dict[str, int]
    tenants: dict[str, int]
    fates: dict[str, int]


class Field(msgspec.Struct, frozen=True, omit_defaults=True):
    """Bytes as JSON can carry them: as text where they are UTF-8, else in base64."""

    text: str | None = None
    base64: str | None = None


class Whole(msgspec.Struct, frozen=True):
    """A dead letter with everything in it, and what decoding makes of the original today."""

    letter: Letter
    group: str
    index: str
    software: str
    key: Field | None
    value: Field | None
    headers: list[tuple[str, Field | None]]
    now: str


class Exported(msgspec.Struct, frozen=True):
    """A dead letter as it is written to a file: the record as it lies there, and what is known of it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: Field | None
    value: Field | None
    headers: list[tuple[str, Field | None]]
    failure: Failure
    origin: Origin
    replays: int
    fate: Fate | None


async def newest(settings: Settings, asked: Filter, limit: int, *, settled: bool = False) -> list[Letter]:
    """Return the newest dead letters that are asked for, the oldest of them first; *settled* ones only if wanted."""
    kept: list[tuple[str, int, int, Letter]] = []  # a heap, the oldest first; no two have one place
    async with aclosing(_letters(settings, asked, settled=settled, last=limit)) as found:
        async for letter, fate in found:
            line = in_a_line(letter, fate)
            entry = (line.failed_at, line.partition, line.offset, line)
            (heappush if len(kept) < limit else heappushpop)(kept, entry)
    return [letter for *_, letter in sorted(kept)]


async def statistics(settings: Settings, asked: Filter, *, settled: bool = False) -> Stats:
    """Count all dead letters that are asked for; *settled* ones only if wanted."""
    codes, stages, hours, topics, tenants, ends = (Counter[str]() for _ in range(6))
    async with aclosing(_letters(settings, asked, settled=settled)) as found:
        async for letter, fate in found:
            codes[letter.failure.code or "unknown"] += 1
            stages[letter.failure.stage or "unknown"] += 1
            hours[(letter.failure.failed_at or iso(letter.message.timestamp / 1000))[:HOUR]] += 1
            topics[letter.origin.topic] += 1
            tenants[told_tenant(letter.message) or DEFAULT_TENANT] += 1
            ends[fate.kind if fate is not None else "open"] += 1
    return Stats(
        codes.total(),
        dict(codes.most_common()),
        dict(stages.most_common()),
        dict(sorted(hours.items())),
        dict(topics.most_common()),
        dict(tenants.most_common()),
        dict(ends.most_common()),
    )


async def one(settings: Settings, partition: int, offset: int) -> Found:
    """Return a dead letter by its place, and its fate. Raises HeadraceError where there is none."""
    asked = Filter(partition=partition, offset=offset)
    async with aclosing(_letters(settings, asked, settled=True)) as found:
        async for letter, fate in found:
            return letter, fate
    topic = settings.kafka.dlq_topic
    raise HeadraceError(f"{topic} has no record at {partition}:{offset}: `headrace dlq list` shows what is there")


async def exported(settings: Settings, asked: Filter, *, settled: bool = False) -> AsyncGenerator[Exported, None]:
    """Yield every dead letter that is asked for, whole. To be used within ``aclosing``."""
    async with aclosing(_letters(settings, asked, settled=settled)) as found:
        async for letter, fate in found:
            message = letter.message
            yield Exported(
                message.topic,
                message.partition,
                message.offset,
                message.timestamp,
                key=_field(message.key),
                value=_field(message.value),
                headers=[(name, _field(value)) for name, value in message.headers],
                failure=letter.failure,
                origin=letter.origin,
                replays=letter.replays,
                fate=fate,
            )


def in_a_line(letter: DeadLetter, fate: Fate | None) -> Letter:
    """Return what a list shows of a dead letter."""
    message, origin, failure = letter.message, letter.origin, letter.failure
    return Letter(
        partition=message.partition,
        offset=message.offset,
        origin=f"{origin.topic}/{origin.partition}/{origin.offset}",
        key=None if message.key is None else message.key[:MAX_SHOWN_KEY].decode("utf-8", "backslashreplace"),
        tenant=told_tenant(message),
        stage=failure.stage,
        code=failure.code,
        message=failure.message,
        attempts=failure.attempts,
        replays=letter.replays,
        first_failed_at=failure.first_failed_at,
        failed_at=failure.failed_at or iso(message.timestamp / 1000),
        bytes=message.size,
        fate=fate,
    )


def whole(letter: DeadLetter, fate: Fate | None, now: str) -> Whole:
    """Return everything in a dead letter, in a form that JSON can carry."""
    message = letter.message
    return Whole(
        in_a_line(letter, fate),
        letter.group,
        letter.index,
        letter.software,
        key=_field(message.key),
        value=_field(message.value),
        headers=[(name, _field(value)) for name, value in message.headers],
        now=now,
    )


def today(letter: DeadLetter, now_ms: int, max_bytes: int) -> str:
    """Say in words what this version makes of the original."""
    found = prospect(letter, now_ms, max_bytes)
    if isinstance(found, InvalidDocument):
        return f"still {found.code}: {found}"
    subject = found.subject
    changed = f" ({', '.join(found.oddities)})" if found.oddities else ""
    whose = f"{subject.tenant}/{subject.id}"
    if isinstance(subject, Document):
        return f"would be embedded and stored as {whose}, {len(subject.text):,} characters{changed}"
    return f"would delete {whose}{changed}"


async def _letters(
    settings: Settings, asked: Filter, *, settled: bool, last: int | None = None
) -> AsyncGenerator[Found, None]:
    """Yield what is asked for with what became of it; *last* is how many of each partition are enough."""
    kafka = settings.kafka
    known = await known_fates(kafka, settings.outcomes_topic)
    # Where no record is to be left out for what it says, so many of each partition are enough.
    all_count = not asked.by_content and (settled or not known)
    where = await ranges(kafka, asked, last if all_count else None)
    async with aclosing(letters(kafka, where, asked)) as groups:
        async for _, some in groups:
            for letter in some:
                fate = known.get(fate_key(letter.message.place))
                if settled or fate is None or not fate.settles:
                    yield letter, fate


def _field(raw: bytes | None) -> Field | None:
    if raw is None:
        return None
    try:
        return Field(text=raw.decode("utf-8"))
    except UnicodeDecodeError:
        return Field(base64=base64.b64encode(raw).decode("ascii"))
