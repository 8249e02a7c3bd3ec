"""Which dead letters are there, and what became of them?"""

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from heapq import heappush, heappushpop

import msgspec

from compose.letter_forms import Letter, in_a_line
from consumers.core.selection import Filter, told_tenant
from consumers.kafka.dead_letters import known_fates, letters, ranges
from schemas.dead_letters import DeadLetter, iso
from schemas.documents import DEFAULT_TENANT
from schemas.errors import HeadraceError
from schemas.fates import Fate, fate_key
from schemas.settings import Settings

HOUR = len("2026-01-31T23")


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


async def lying(
    settings: Settings, asked: Filter, *, settled: bool = False, last: int | None = None
) -> AsyncGenerator[tuple[DeadLetter, Fate | None], None]:
    """Yield what is asked for with what became of it; *settled* ones only if wanted. To be used within ``aclosing``.

    *last* is how many of each partition are enough.
    """
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


async def newest(settings: Settings, asked: Filter, limit: int, *, settled: bool = False) -> list[Letter]:
    """Return the newest dead letters that are asked for, the oldest of them first; *settled* ones only if wanted."""
    kept: list[tuple[str, int, int, Letter]] = []  # a heap, the oldest first; no two have one place
    async with aclosing(lying(settings, asked, settled=settled, last=limit)) as found:
        async for letter, fate in found:
            line = in_a_line(letter, fate)
            entry = (line.failed_at, line.partition, line.offset, line)
            (heappush if len(kept) < limit else heappushpop)(kept, entry)
    return [letter for *_, letter in sorted(kept)]


async def statistics(settings: Settings, asked: Filter, *, settled: bool = False) -> Stats:
    """Count all dead letters that are asked for; *settled* ones only if wanted."""
    codes, stages, hours, topics, tenants, ends = (Counter[str]() for _ in range(6))
    async with aclosing(lying(settings, asked, settled=settled)) as found:
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


async def one(settings: Settings, partition: int, offset: int) -> tuple[DeadLetter, Fate | None]:
    """Return a dead letter by its place, and its fate. Raises HeadraceError where there is none."""
    asked = Filter(partition=partition, offset=offset)
    async with aclosing(lying(settings, asked, settled=True)) as found:
        async for letter, fate in found:
            return letter, fate
    topic = settings.kafka.dlq_topic
    raise HeadraceError(f"{topic} has no record at {partition}:{offset}: `headrace dlq list` shows what is there")
