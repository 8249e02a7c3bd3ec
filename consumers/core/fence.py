"""May this record replace what is stored?

The same rules stand as SQL in ``schemas/sql/0001_index.sql``, where they decide; here they are for the store that lives
in memory and for the order within a write group. A test holds the two against each other.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from itertools import groupby
from operator import itemgetter
from typing import Protocol

import msgspec

from schemas.index import Change, ChangeKind
from schemas.messages import Origin, TimestampType

CLOCK_SLACK_MS = 60_000
"""A record appended by the broker this long before what already won comes from before its topic was made anew."""


class Verdict(Enum):
    """What the fence says of a candidate. The values are those of the SQL function."""

    NEWER = "newer"
    STALE = "stale"
    REDELIVERED = "redelivered"


class Mark(msgspec.Struct, frozen=True, gc=False):
    """Who wrote a row last. ``fence_ts`` is the greatest timestamp that ever won."""

    version: int | None
    origin: Origin
    fence_ts: int


class Contender(Protocol):
    """What wants to replace a row: a Candidate, a Change or a Mark."""

    @property
    def version(self) -> int | None:
        """The document's version, if it has one."""

    @property
    def origin(self) -> Origin:
        """The message that first carried it."""

    @property
    def fence_ts(self) -> int:
        """The timestamp it goes by."""


class Keyed(Contender, Protocol):
    """A contender that knows which row it wants."""

    @property
    def tenant(self) -> str:
        """The tenant."""

    @property
    def id(self) -> str:
        """The document's id, one among its tenant's."""


def judge(contender: Contender, mark: Mark) -> Verdict:
    """Say whether *contender* may replace the row that carries *mark*."""
    ours, theirs = contender.origin, mark.origin
    same_partition = (ours.topic, ours.partition) == (theirs.topic, theirs.partition)
    same = same_partition and (ours.offset, ours.timestamp) == (theirs.offset, theirs.timestamp)
    if same and contender.fence_ts <= mark.fence_ts:
        # Not where it goes by a later one: behind a clock that ran backwards, when its replay had made the row.
        return Verdict.REDELIVERED
    if contender.version is not None and mark.version is not None and contender.version != mark.version:
        stale = contender.version < mark.version
    elif same_partition:
        stale = (ours.offset < theirs.offset and contender.fence_ts <= mark.fence_ts) or (
            ours.timestamp_type is TimestampType.LOG_APPEND_TIME and contender.fence_ts + CLOCK_SLACK_MS < mark.fence_ts
        )
    else:
        stale = (contender.fence_ts, *_place(ours)) < (mark.fence_ts, *_place(theirs))
    return Verdict.STALE if stale else Verdict.NEWER


def is_older(embedded_at: datetime | None, force_before: datetime | None) -> bool:
    """Say whether what was embedded at that time counts as absent. A tombstone, never embedded, does not."""
    return embedded_at is not None and force_before is not None and embedded_at < force_before


def moved(mark: Mark | None, change: Change) -> Mark:
    """Return the mark of a row after *change* was written over *mark*."""
    if mark is None:
        return Mark(change.version, change.origin, change.fence_ts)
    keeps_version = change.kind is ChangeKind.DELETE and change.version is None
    return Mark(mark.version if keeps_version else change.version, change.origin, max(mark.fence_ts, change.fence_ts))


def surpasses(later: Contender, earlier: Contender) -> bool:
    """Say whether *earlier* makes no difference beside *later*, whatever is stored.

    True only where each rule of the fence puts them in the same order. Two records of one partition, the usual case,
    are like that unless their timestamps or versions run backwards, or only one of them has a version.
    """
    ours, theirs = later.origin, earlier.origin
    if (ours.topic, ours.partition, ours.timestamp_type) != (theirs.topic, theirs.partition, theirs.timestamp_type):
        return False
    if ours.offset <= theirs.offset or later.fence_ts < earlier.fence_ts:
        return False
    if later.version is None or earlier.version is None:
        return later.version is earlier.version
    return later.version >= earlier.version


def in_rounds(changes: Sequence[Keyed], indices: Sequence[int]) -> tuple[list[list[int]], list[int]]:
    """Arrange a group so that it does what its changes would do one after the other.

    Returns rounds of indices, none of them empty, each sorted by key and with no key twice, and the indices of the
    changes that are surpassed by another of their key and left out. There is one round unless a key has changes of
    which neither surpasses the other; the rounds of a key keep the order of the group.
    """
    order = sorted([(changes[index].tenant, changes[index].id, index) for index in indices])
    if len({(tenant, document_id) for tenant, document_id, _ in order}) == len(order):
        return [[index for *_, index in order]] if order else [], []
    rounds: list[list[int]] = []
    surpassed: list[int] = []
    for _, of_key in groupby(order, key=itemgetter(0, 1)):
        kept: list[int] = []
        for *_, index in of_key:
            if any(surpasses(changes[rival], changes[index]) for rival in kept):
                surpassed.append(index)
                continue
            beaten = [rival for rival in kept if surpasses(changes[index], changes[rival])]
            surpassed += beaten
            kept = [rival for rival in kept if rival not in beaten] + [index]
        rounds += [[] for _ in range(len(kept) - len(rounds))]
        for place, index in enumerate(kept):
            rounds[place].append(index)
    return rounds, surpassed


def _place(origin: Origin) -> tuple[str, int, int]:
    return origin.topic, origin.partition, origin.offset
