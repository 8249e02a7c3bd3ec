"""Where does a reset put a group, and what does that mean for each partition?"""

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, auto

import msgspec

from schemas.errors import ConfigurationError

FORMS = "earliest, latest, current, an offset, a time as 2026-01-31T12:00, 2h or 3d ago, shift=-100, or a file"

_AGO = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_SHIFT = re.compile(r"shift=([+-]?\d{1,19})")
_NUMBER = re.compile(r"-?\d{1,19}")
_COLUMNS = 3
_COLUMNS_WITH_GROUP = 4


class To(Enum):
    """What a target counts from."""

    EARLIEST = auto()
    LATEST = auto()
    CURRENT = auto()
    OFFSET = auto()
    TIME = auto()
    SHIFT = auto()
    FILE = auto()


@dataclass(frozen=True, slots=True)
class Target:
    """Where a reset is to go: ``number`` is an offset, milliseconds since the epoch, or a shift; as told in ``said``.

    ``offsets`` are those of a file, by partition.
    """

    to: To
    said: str
    number: int = 0
    offsets: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Place:
    """A partition as it is: ``committed`` is None where the group never did.

    ``at_time`` is the first offset that is not older than the target's time, None where all are older.
    """

    partition: int
    start: int
    end: int
    committed: int | None
    at_time: int | None = None


class Move(msgspec.Struct, frozen=True):
    """What becomes of a partition; None is no commit. Messages are counted in offsets, so that gaps count too.

    ``again`` is how many are read a second time, ``skipped`` how many are never read.
    """

    partition: int
    start: int
    end: int
    before: int | None
    after: int | None
    again: int
    skipped: int


def read_target(said: str, now: datetime) -> Target | None:
    """Understand what was typed; None where it can only be the name of a file.

    Raises ConfigurationError for a time in the future and an offset below 0.
    """
    for to in (To.EARLIEST, To.LATEST, To.CURRENT):
        if said == to.name.lower():
            return Target(to, said)
    if _NUMBER.fullmatch(said):
        if int(said) < 0:
            raise ConfigurationError(f"--to {said}: there is no offset below 0; `shift={said}` goes back from here")
        return Target(To.OFFSET, said, int(said))
    if found := _SHIFT.fullmatch(said):
        return Target(To.SHIFT, said, int(found[1]))
    moment = _moment(said, now)
    if moment is None:
        return None
    if moment > now:
        raise ConfigurationError(f"--to {said}: that time is yet to come; it is {now:%Y-%m-%dT%H:%M:%S} UTC now")
    return Target(To.TIME, said, max(int(moment.timestamp() * 1000), 0))


def _moment(said: str, now: datetime) -> datetime | None:
    try:
        if found := _AGO.fullmatch(said):
            return now - timedelta(**{_UNITS[found[2]]: int(found[1])})
        moment = datetime.fromisoformat(said)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def read_file(lines: Iterable[str], name: str, group: str, topic: str) -> Target:
    """Understand a file of topic,partition,offset, as `offsets export` and kafka-consumer-groups write it.

    A line may begin with the group. Raises ConfigurationError, naming the line.
    """
    offsets: dict[int, int] = {}
    try:
        for number, row in enumerate(csv.reader(lines), start=1):
            told = [cell.strip() for cell in row]
            if not any(told):
                continue
            partition, offset = _row(told, f"{name}, line {number}", group, topic)
            if offsets.setdefault(partition, offset) != offset:
                raise ConfigurationError(f"{name}, line {number}: partition {partition} has another offset before")
    except csv.Error as error:
        raise ConfigurationError(f"{name} is no file of topic,partition,offset: {error}") from None
    if not offsets:
        raise ConfigurationError(f"{name} holds no offset")
    return Target(To.FILE, name, offsets=offsets)


def _row(told: list[str], where: str, group: str, topic: str) -> tuple[int, int]:
    if len(told) == _COLUMNS_WITH_GROUP:
        if told[0] != group:
            raise ConfigurationError(f"{where} is of the group {told[0]!r}, not of {group!r}: name it by --group")
        told = told[1:]
    if len(told) != _COLUMNS or not all(cell.isascii() and _NUMBER.fullmatch(cell) for cell in told[1:]):
        raise ConfigurationError(f"{where}: write topic,partition,offset")
    if told[0] != topic:
        raise ConfigurationError(f"{where} is of the topic {told[0]!r}, not of {topic!r}: name it by --topic")
    return int(told[1]), int(told[2])


def in_scope(known: Iterable[int], wanted: Iterable[int], target: Target, topic: str) -> list[int]:
    """Return the partitions that a reset is about, all where none is named.

    Raises ConfigurationError for one that the topic does not have, be it named or in the file.
    """
    there, named = sorted(known), set(wanted)
    for partition in sorted(named | set(target.offsets)):
        if partition not in there:
            raise ConfigurationError(f"{topic} has no partition {partition}, it has {len(there)}")
    if target.to is To.FILE and (missing := named - set(target.offsets)):
        raise ConfigurationError(f"{target.said} holds no offset of partition {min(missing)}")
    scope = named or (set(target.offsets) if target.to is To.FILE else set(there))
    return [partition for partition in there if partition in scope]


def move(target: Target, place: Place) -> tuple[Move | None, str | None]:
    """Return what becomes of a partition, and what somebody should know before; no move where there is nothing to do.

    Raises ConfigurationError for an offset beyond the end, and for a shift of what was never committed.
    """
    wanted = _wanted(target, place)
    if wanted is None:
        return None, f"partition {place.partition} was never committed, and stays so"
    if wanted > place.end:
        raise ConfigurationError(
            f"--to {target.said}: partition {place.partition} ends at {place.end}, there is no offset {wanted}"
        )
    warning = None
    if wanted < place.start:
        warning = (
            f"partition {place.partition} begins at {place.start}: the retention of the topic has taken "
            f"{wanted} to {place.start - 1}, which can not be read again"
        )
        wanted = place.start
    elif target.to in (To.TIME, To.EARLIEST) and wanted == place.start > 0:
        warning = f"partition {place.partition} begins at {place.start}: what came before is gone from the topic"
    return moved(place, wanted), warning


def moved(place: Place, after: int | None) -> Move:
    """Return the move of a partition to *after*."""
    here = place.end if place.committed is None else min(max(place.committed, place.start), place.end)
    there = here if after is None else after
    again, skipped = max(here - max(there, place.start), 0), max(there - here, 0)
    if place.committed is None:
        skipped = max(there - place.start, 0)
    return Move(place.partition, place.start, place.end, place.committed, after, again, skipped)


def _wanted(target: Target, place: Place) -> int | None:
    if target.to is To.SHIFT:
        if place.committed is None:
            raise ConfigurationError(
                f"--to {target.said}: partition {place.partition} was never committed, there is nothing to shift from"
            )
        return place.committed + target.number
    return {
        To.EARLIEST: place.start,
        To.LATEST: place.end,
        To.CURRENT: place.committed,
        To.OFFSET: target.number,
        To.TIME: place.end if place.at_time is None else place.at_time,
        To.FILE: target.offsets.get(place.partition),
    }[target.to]
