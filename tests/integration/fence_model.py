"""What has to win? Worlds in which that is known without a fence, and one in which only the rules say it.

In an ordered world the order of a document's records follows from how they were published: a later offset, a later
time of a clock that is right, a higher version. Whatever is read, replayed, written late or twice at once, the row is
that of the greatest record that was resolved. Where records with and without a version mix there is no such order:
there the rules of DESIGN section 4 are applied one after the other, written down here once more from its text and not
from the code.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

from schemas.index import Change, ChangeKind, Outcome
from schemas.messages import Origin, TimestampType

MINUTE_MS = 60_000


class Versions(Enum):
    """Which records of a world carry a version."""

    NONE = auto()
    DISTINCT = auto()
    """All, no number twice for a document, in any order."""
    GROWING = auto()
    """All, never lower than the one before; equal ones leave it to the log."""
    MIXED = auto()


@dataclass(frozen=True)
class World:
    """What may happen to the records of a topic, and what decides between them."""

    name: str
    clock: TimestampType
    versions: Versions = Versions.NONE
    wanders: bool = False
    """A document is published to any partition and topic; else to one, as its key has it."""
    made_anew: bool = False
    """The topic is deleted and made again, over a minute later."""
    skewed: bool = False
    """Producers' clocks disagree."""
    ahead: bool = False
    """Some of them are an hour ahead: a record counts as made when it is read, later for who reads it again."""

    @property
    def is_ordered(self) -> bool:
        """Whether the records of a document have one order."""
        return self.versions is not Versions.MIXED

    @property
    def seeks_anywhere(self) -> bool:
        """Whether reading may begin in the middle: the fence sees clocks that run backwards in order from there on."""
        return not self.skewed or self.versions is Versions.DISTINCT


APPENDED, CREATED = TimestampType.LOG_APPEND_TIME, TimestampType.CREATE_TIME
WORLDS = (
    World("one partition", APPENDED, made_anew=True),
    World("any partition", APPENDED, wanders=True, made_anew=True),
    World("any partition, clocks of producers that are right", CREATED, wanders=True),
    World("one partition, clocks of producers that disagree", CREATED, skewed=True),
    World("one partition, clocks of producers far ahead", CREATED, skewed=True, ahead=True),
    World("versions", CREATED, Versions.DISTINCT, wanders=True, made_anew=True, skewed=True),
    World("versions, some of them equal", APPENDED, Versions.GROWING, wanders=True, made_anew=True),
    World("records with and without a version", APPENDED, Versions.MIXED, wanders=True, made_anew=True),
    World("the same, clocks that disagree", CREATED, Versions.MIXED, wanders=True, made_anew=True, skewed=True),
)


class Row(NamedTuple):
    """A document as it is stored: who wrote it, and what it says. ``chunks`` are texts with their vectors.

    ``greatest`` is the greatest timestamp that ever won, or None where it depends on what was written first.
    """

    origin: tuple[str, int, int, int]
    version: int | None
    title: str | None
    metadata: str | None
    is_deleted: bool
    chunks: tuple[tuple[str, tuple[float, ...]], ...]
    greatest: int | None = None


@dataclass(eq=False)
class Published:
    """A record that was published once, however often it is replayed. ``says`` is its row but for a kept version."""

    document: str
    origin: Origin
    version: int | None
    incarnation: int
    says: Row

    def rank(self, world: World) -> tuple[object, ...]:
        """Return what the records of a document are ordered by."""
        origin = self.origin
        log: tuple[object, ...] = (self.incarnation, origin.offset)
        if world.wanders:
            log = (origin.timestamp, origin.topic.encode(), origin.partition, origin.offset)
        if world.versions is Versions.DISTINCT:
            return (self.version,)
        return (self.version, *log) if world.versions is Versions.GROWING else log


@dataclass
class Ruled:
    """A row by the rules: its writer, the version it keeps, the greatest timestamp that ever won."""

    winner: Published
    version: int | None
    greatest: int


@dataclass
class Model:
    """Every record that was published, and which of them has to be stored."""

    world: World
    records: dict[Origin, Published] = field(default_factory=dict)
    resolved: dict[str, list[Published]] = field(default_factory=dict)
    ruled: dict[str, Ruled] = field(default_factory=dict)
    count: int = 0
    """How often a record was resolved."""

    def publish(self, record: Published) -> None:
        """Learn of a record."""
        self.records[record.origin] = record

    def resolve(self, origin: Origin) -> None:
        """Learn that a worker has done with a record, stored or not."""
        self.count += 1
        assert origin in self.records, f"{origin} is no record of the topic"
        record = self.records[origin]
        self.resolved.setdefault(record.document, []).append(record)

    def wrote(self, changes: Sequence[Change], outcomes: Sequence[Outcome]) -> None:
        """Apply a group by the rules, one change after the other; nobody else wrote meanwhile."""
        if self.world.is_ordered:
            return
        for change, outcome in zip(changes, outcomes, strict=True):
            if outcome is not Outcome.AGAIN and self.replaces(change):
                row = self.ruled.get(change.id)
                keeps_version = row is not None and change.kind is ChangeKind.DELETE and change.version is None
                self.ruled[change.id] = Ruled(
                    self.records[change.origin],
                    row.version if row is not None and keeps_version else change.version,
                    change.fence_ts if row is None else max(row.greatest, change.fence_ts),
                )

    def replaces(self, change: Change) -> bool:
        """Say by the four rules whether *change* may replace the row."""
        row = self.ruled.get(change.id)
        if row is None:
            return True
        ours, theirs = change.origin, row.winner.origin
        if ours == theirs:
            return change.fence_ts > row.greatest
        if change.version is not None and row.version is not None and change.version != row.version:
            return change.version > row.version
        if (ours.topic, ours.partition) != (theirs.topic, theirs.partition):
            ranks = [(one.topic.encode(), one.partition, one.offset) for one in (ours, theirs)]
            return (change.fence_ts, *ranks[0]) > (row.greatest, *ranks[1])
        if ours.offset < theirs.offset and change.fence_ts <= row.greatest:
            return False
        return ours.timestamp_type is CREATED or change.fence_ts + MINUTE_MS >= row.greatest

    def expected(self) -> dict[str, Row]:
        """Return the rows that have to be stored now."""
        if not self.world.is_ordered:
            return {
                name: ruled.winner.says._replace(version=ruled.version, greatest=ruled.greatest)
                for name, ruled in self.ruled.items()
            }
        return {
            name: max(records, key=lambda record: record.rank(self.world)).says
            for name, records in self.resolved.items()
        }
