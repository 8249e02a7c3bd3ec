"""Does the index hold what the topic says of a document, and if not, what is that called?

Of each document the topic's records are reduced to the one that the worker would leave standing, by the same fence. It
is compared with the row by what a replay of it would do today: what is called missing or stale here is mended by
publishing that record again, and what the fence would refuse is not called so.
"""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from consumers.core.decoding import FUTURE_MS, Decoded
from consumers.core.fence import Verdict
from schemas.messages import Message, Origin


class Finding(StrEnum):
    """How a document in the topic and its row stand to each other."""

    RIGHT = "right"
    MISSING = "missing"
    """The index has no row of it, or says that it was deleted."""
    STALE = "stale"
    """The row comes from an older record; also one that a later record deletes."""
    DIFFERS = "differs"
    """The row comes from this very record, and holds something else or not all of its chunks."""
    ORPHAN = "orphan"
    """The row comes from a place within the topic, and nothing there speaks of this document."""
    DEAD_LETTERED = "dead-lettered"
    """Missing or stale, and a dead letter of this record waits to be dealt with."""
    GIVEN_UP = "given-up"
    """Missing or stale, and its dead letter was discarded, parked, corrected or sent elsewhere."""
    IN_FLIGHT = "in-flight"
    """Missing or stale, and the group has not come so far yet."""
    NEWER = "newer"
    """The row comes from a record that wins over those that were read: it came since, or the topic has lost it."""
    UNKNOWN = "unknown"
    """The row comes from a place that the topic can say nothing of."""


DIFFERENCES = (Finding.MISSING, Finding.STALE, Finding.DIFFERS, Finding.ORPHAN, Finding.DEAD_LETTERED)
"""What somebody has to act on."""
REPAIRABLE = (Finding.MISSING, Finding.STALE, Finding.DIFFERS)
"""What the same record, published again, mends."""


class Sighting(msgspec.Struct, frozen=True, gc=False):
    """What a record of the topic says of a document.

    ``fence_ts`` is what the worker goes by, ``replay_ts`` what it would go by if the record were published again.
    ``content_hash`` is None for a deletion. The record lies at ``partition`` and ``offset``, which for a replayed one
    is not its origin; ``due`` says that the group has come so far.
    """

    tenant: str
    id: str
    version: int | None
    origin: Origin
    fence_ts: int
    replay_ts: int
    content_hash: bytes | None
    partition: int
    offset: int
    due: bool

    @property
    def is_copy(self) -> bool:
        """Whether the record was sent again and lies behind its origin."""
        return (self.partition, self.offset) != (self.origin.partition, self.origin.offset)


class Row(msgspec.Struct, frozen=True, gc=False):
    """What the index holds of a document; ``chunks`` were counted, ``chunk_count`` is what the row says."""

    origin: Origin
    content_hash: bytes | None
    deleted: bool
    chunk_count: int
    chunks: int
    revision: int


class Letter(StrEnum):
    """What became of the dead letter of a record."""

    OPEN = "open"
    GIVEN_UP = "given-up"


class Pair(msgspec.Struct, frozen=True, gc=False):
    """A document that is not simply right: what the topic says of it, and what the index holds; one may be missing.

    ``verdict`` is the fence's, were the record published again. ``undecodable`` says that the record from which the
    row comes is there, and can not be read as a document.
    """

    number: int
    tenant: str
    id: str
    sighting: Sighting | None
    row: Row | None
    verdict: Verdict | None
    letter: Letter | None
    undecodable: bool


class Bounds(msgspec.Struct, frozen=True):
    """What a partition held: offsets ``start`` to ``end`` were read, ``now`` is where it ended after the index was."""

    start: int
    end: int
    now: int


def sighting_of(decoded: Decoded, message: Message, content_hash: bytes | None, now_ms: int, *, due: bool) -> Sighting:
    """Say what *message* says of its document; *decoded* has its timestamp in the order of its partition."""
    origin, subject = decoded.origin, decoded.subject
    # When a record from the future was received nobody knows any more: offsets decide, as for any replayed one.
    replay_ts = origin.timestamp if origin.timestamp <= now_ms + FUTURE_MS else 0
    return Sighting(
        subject.tenant,
        subject.id,
        subject.version,
        origin,
        decoded.fence_ts,
        replay_ts,
        content_hash,
        message.partition,
        message.offset,
        due,
    )


def finding_of(pair: Pair, topic: str, bounds: Mapping[int, Bounds]) -> Finding:
    """Name what a document's record and row are to each other. *bounds* are those of *topic*, by partition."""
    sighting, row = pair.sighting, pair.row
    if row is not None:
        within = bounds.get(row.origin.partition) if row.origin.topic == topic else None
        if within is not None and within.end <= row.origin.offset < within.now:
            return Finding.NEWER
        if sighting is None:
            readable = within is not None and within.start <= row.origin.offset < within.end
            return Finding.ORPHAN if readable and not pair.undecodable else Finding.UNKNOWN
        if pair.verdict is Verdict.STALE:
            return Finding.NEWER
        if pair.verdict is Verdict.REDELIVERED:
            return _by_content(sighting, row)
    if sighting is None:
        return Finding.RIGHT
    gone = row is None or (row.deleted and sighting.content_hash is not None)
    return _excused(pair, sighting) or (Finding.MISSING if gone else Finding.STALE)


def is_taken_for_redelivery(pair: Pair) -> bool:
    """Say whether the worker would take the record that mends this for one that is stored already."""
    return pair.row is not None and (pair.sighting is None or pair.verdict is Verdict.REDELIVERED)


def _by_content(sighting: Sighting, row: Row) -> Finding:
    if row.deleted and sighting.content_hash is not None:
        return Finding.MISSING
    same = sighting.content_hash == row.content_hash and row.chunks == row.chunk_count
    return Finding.RIGHT if same else Finding.DIFFERS


def _excused(pair: Pair, sighting: Sighting) -> Finding | None:
    """Return why the record is not stored, where there is a reason that is known."""
    if pair.letter is Letter.OPEN:
        return Finding.DEAD_LETTERED
    if not sighting.due:
        return Finding.IN_FLIGHT
    return Finding.GIVEN_UP if pair.letter is Letter.GIVEN_UP else None
