"""Which dead letters are there, and what may be shown of them?"""

import base64
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from heapq import heappush, heappushpop

import msgspec

from consumers.kafka.admin import KafkaView
from consumers.kafka.reader import read
from schemas import headers
from schemas.dead_letters import DeadLetter, from_message, iso
from schemas.errors import BrokerMisconfigured, HeadraceError
from schemas.messages import Message
from schemas.settings import Settings

HOUR = len("2026-01-31T23")
MAX_SHOWN_KEY = 200


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


class Stats(msgspec.Struct, frozen=True):
    """Dead letters counted in three ways; hours are UTC, as ``2026-01-31T23``, in their order."""

    total: int
    codes: dict[str, int]
    stages: dict[str, int]
    hours: dict[str, int]


class Field(msgspec.Struct, frozen=True, omit_defaults=True):
    """Bytes as JSON can carry them: as text where they are UTF-8, else in base64."""

    text: str | None = None
    base64: str | None = None


class Whole(msgspec.Struct, frozen=True):
    """A dead letter with everything in it."""

    letter: Letter
    group: str
    index: str
    software: str
    key: Field | None
    value: Field | None
    headers: list[tuple[str, Field | None]]


@dataclass(frozen=True)
class Filter:
    """Which dead letters are asked for; None is any. ``since_ms`` is when the dead-letter topic took them."""

    code: str | None = None
    stage: str | None = None
    partition: int | None = None
    since_ms: int | None = None

    @property
    def by_reason(self) -> bool:
        """Say whether a record has to be looked into before it counts."""
        return self.code is not None or self.stage is not None

    def takes(self, letter: DeadLetter) -> bool:
        """Say whether this one is asked for."""
        failure = letter.failure
        return self.code in (None, failure.code) and self.stage in (None, failure.stage)


async def newest(settings: Settings, asked: Filter, limit: int) -> list[Letter]:
    """Return the newest dead letters that are asked for, the oldest of them first."""
    # Where no record is to be left out for its reason, so many of each partition are enough.
    last = None if asked.by_reason else limit
    kept: list[tuple[str, int, int, Letter]] = []  # a heap, the oldest first; no two have one place
    async for found in _letters(settings, asked, last=last):
        letter = in_a_line(found)
        entry = (letter.failed_at, letter.partition, letter.offset, letter)
        (heappush if len(kept) < limit else heappushpop)(kept, entry)
    return [letter for *_, letter in sorted(kept)]


async def statistics(settings: Settings, asked: Filter) -> Stats:
    """Count all dead letters that are asked for."""
    codes: Counter[str] = Counter()
    stages: Counter[str] = Counter()
    hours: Counter[str] = Counter()
    async for letter in _letters(settings, asked):
        codes[letter.failure.code or "unknown"] += 1
        stages[letter.failure.stage or "unknown"] += 1
        hours[(letter.failure.failed_at or iso(letter.message.timestamp / 1000))[:HOUR]] += 1
    return Stats(codes.total(), dict(codes.most_common()), dict(stages.most_common()), dict(sorted(hours.items())))


async def one(settings: Settings, partition: int, offset: int) -> DeadLetter:
    """Return a dead letter by its place. Raises HeadraceError where there is none."""
    topic = settings.kafka.dlq_topic
    async with aclosing(read(settings.kafka, topic, {partition: await _range(settings, partition, offset)})) as groups:
        async for messages in groups:
            for message in messages:
                if message.offset == offset:
                    return from_message(message)
    raise HeadraceError(f"{topic} has no record at {partition}:{offset}: `headrace dlq list` shows what is there")


def in_a_line(letter: DeadLetter) -> Letter:
    """Return what a list shows of a dead letter."""
    message, origin, failure = letter.message, letter.origin, letter.failure
    return Letter(
        partition=message.partition,
        offset=message.offset,
        origin=f"{origin.topic}/{origin.partition}/{origin.offset}",
        key=None if message.key is None else message.key[:MAX_SHOWN_KEY].decode("utf-8", "backslashreplace"),
        tenant=_tenant(message),
        stage=failure.stage,
        code=failure.code,
        message=failure.message,
        attempts=failure.attempts,
        replays=letter.replays,
        first_failed_at=failure.first_failed_at,
        failed_at=failure.failed_at or iso(message.timestamp / 1000),
        bytes=message.size,
    )


def whole(letter: DeadLetter) -> Whole:
    """Return everything in a dead letter, in a form that JSON can carry."""
    message = letter.message
    return Whole(
        in_a_line(letter),
        letter.group,
        letter.index,
        letter.software,
        key=None if message.key is None else _field(message.key),
        value=None if message.value is None else _field(message.value),
        headers=[(name, None if value is None else _field(value)) for name, value in message.headers],
    )


async def _letters(settings: Settings, asked: Filter, last: int | None = None) -> AsyncIterator[DeadLetter]:
    """Yield what is asked for; *last* is how many records of each partition are enough."""
    kafka = settings.kafka
    ranges = await _ranges(settings, asked, last)
    async with aclosing(read(kafka, kafka.dlq_topic, ranges)) as groups:
        async for messages in groups:
            for message in messages:
                letter = from_message(message)
                if asked.takes(letter):
                    yield letter


async def _ranges(settings: Settings, asked: Filter, last: int | None) -> dict[int, tuple[int, int]]:
    topic = settings.kafka.dlq_topic
    async with KafkaView(settings.kafka) as view:
        extents = (await view.extents([topic])).get(topic)
        if extents is None:
            raise BrokerMisconfigured(f"the topic {topic} does not exist: run `headrace init`")
        wanted = [one for one in extents if asked.partition in (None, one.partition)]
        if not wanted:
            raise HeadraceError(f"{topic} has no partition {asked.partition}, it has {len(extents)}")
        starts: dict[int, int | None] = {one.partition: one.start for one in wanted}
        if asked.since_ms is not None:
            starts = await view.offsets_at(topic, starts, asked.since_ms)
    ranges = {}
    for one in wanted:
        start = starts[one.partition]
        first = one.end if start is None else start
        ranges[one.partition] = (max(first, one.end - last) if last is not None else first, one.end)
    return ranges


async def _range(settings: Settings, partition: int, offset: int) -> tuple[int, int]:
    start, end = (await _ranges(settings, Filter(partition=partition), None))[partition]
    return (offset, offset + 1) if start <= offset < end else (0, 0)


class _Told(msgspec.Struct):
    tenant: str | None = None


def _tenant(message: Message) -> str | None:
    told = dict(message.headers).get(headers.TENANT)
    if told is not None:
        return told.decode("utf-8", "backslashreplace")
    try:
        return msgspec.json.decode(message.value or b"", type=_Told).tenant
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None  # it may well be the reason why it is here


def _field(raw: bytes) -> Field:
    try:
        return Field(text=raw.decode("utf-8"))
    except UnicodeDecodeError:
        return Field(base64=base64.b64encode(raw).decode("ascii"))
