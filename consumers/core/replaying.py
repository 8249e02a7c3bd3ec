"""What is to be done with a dead letter, and what would become of it?"""

from dataclasses import dataclass

import msgspec

from consumers.core.decoding import FUTURE_MS, Decoded, Value, decode
from consumers.core.selection import Filter
from schemas import headers
from schemas.dead_letters import DeadLetter, Record, cut, original
from schemas.errors import InvalidDocument
from schemas.fates import FateKind, Parcel
from schemas.messages import Message, Origin

MAX_REPLAYS = 3
"""A dead letter that came back so often is parked: the next time would be no better."""


@dataclass(frozen=True)
class Order:
    """What is to be done, and with which dead letters.

    ``again`` takes those as well that were dealt with before; ``rate`` is letters a second; ``to`` is a topic other
    than the original one; ``document`` is a corrected document, to be sent in the place of a single dead letter;
    a document larger than ``max_bytes`` is none.
    """

    kind: FateKind
    asked: Filter
    max_bytes: int
    reason: str = ""
    to: str | None = None
    limit: int | None = None
    rate: float | None = None
    again: bool = False
    max_replays: int = MAX_REPLAYS
    document: bytes | None = None


@dataclass(frozen=True)
class Bookkeeping:
    """The topics that dead letters and what became of them lie in: no document belongs there."""

    dead_letters: str
    parked: str
    outcomes: str

    def __contains__(self, topic: object) -> bool:
        return topic in (self.dead_letters, self.parked, self.outcomes)


@dataclass(frozen=True)
class Plan:
    """What to do with a dead letter: its fate once the parcel, if there is one, is acknowledged."""

    kind: FateKind
    reason: str = ""
    parcel: Parcel | None = None
    edited: bool = False


def plan(letter: DeadLetter, order: Order, topics: Bookkeeping, now_ms: int) -> Plan:
    """Say what *order* means for a dead letter. Raises InvalidDocument for a correction that is still wrong."""
    if order.kind is FateKind.DISCARDED:
        return Plan(FateKind.DISCARDED, order.reason)
    if order.kind is FateKind.PARKED:
        return _parked(letter, order.reason, topics)
    target = order.to or letter.origin.topic
    if target in topics:
        return Plan(FateKind.SKIPPED, f"{target} takes no documents: name another topic with --to")
    partition = letter.origin.partition if target == letter.origin.topic else None
    if order.document is not None:
        record = corrected(letter, order.document)
        if isinstance(wrong := _outlook(record, letter, now_ms, order.max_bytes), InvalidDocument):
            raise wrong
        return Plan(FateKind.REPLAYED, order.reason, Parcel(target, record, partition), edited=True)
    if letter.replays >= order.max_replays:
        return _parked(letter, f"it has come back {letter.replays} times", topics)
    # Behind its origin in any topic, or the worker would not believe that it is a replay.
    timestamp = max(now_ms, letter.origin.timestamp + 1)
    return Plan(FateKind.REPLAYED, order.reason, Parcel(target, replayed(letter), partition, timestamp))


def is_unguarded(letter: DeadLetter, purged_before_ms: int, now_ms: int, group: str, *, settled: bool) -> bool:
    """Say whether a replay may bring back a document whose tombstone was purged.

    A purge spares what guards against the dead letters that are open in its *group*; one that was dealt with before,
    or is another group's, may be older than a tombstone that is gone.
    """
    return (settled or letter.group != group) and fence_time(letter, now_ms) < purged_before_ms


def fence_time(letter: DeadLetter, now_ms: int) -> int:
    """Return the time that the fence will see: a replay from the future counts as the oldest there is."""
    return 0 if letter.origin.timestamp > now_ms + FUTURE_MS else letter.origin.timestamp


def replayed(letter: DeadLetter) -> Record:
    """Write the original again, with its first origin and one replay more in its headers."""
    return sent_again(original(letter.message), letter.origin, letter.replays)


def sent_again(first: Record, origin: Origin, replays: int) -> Record:
    """Write a record as it first came, to be taken for what came from *origin*; it was replayed so often before."""
    nothing = first.key is None and first.value is None
    ours = {
        "topic": origin.topic,
        "partition": str(origin.partition),
        "offset": str(origin.offset),
        "timestamp": str(origin.timestamp),
        "timestamp-type": origin.timestamp_type.value,
    }
    told = tuple((headers.ORIGIN_PREFIX + name, cut(value)) for name, value in ours.items())
    marks = ((headers.DLQ_NULL_KEY, b"1"),) if nothing else ()
    count = ((headers.REPLAYS, str(replays + 1).encode()),)
    return Record(b"" if nothing else first.key, first.value, first.headers + marks + told + count)


def corrected(letter: DeadLetter, document: bytes) -> Record:
    """Write a corrected document in the place of the original: same key, other value, a new origin.

    Headers that say who the document is follow the value where it says so too. Raises InvalidDocument.
    """
    first = original(letter.message)
    try:
        said = msgspec.json.decode(document, type=Value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidDocument("invalid-document", str(error)) from None
    named = {headers.TENANT: said.tenant, headers.ID: said.id or None, headers.VERSION: said.version}
    replaced = {name for name, value in named.items() if value is not None}
    kept = tuple((name, value) for name, value in first.headers if name not in replaced)
    return Record(first.key, document, kept)


def prospect(letter: DeadLetter, now_ms: int, max_bytes: int) -> Decoded | InvalidDocument:
    """Say what decoding makes of the original today: what it stands for, or what is still wrong with it."""
    return _outlook(original(letter.message), letter, now_ms, max_bytes)


def _outlook(record: Record, letter: DeadLetter, now_ms: int, max_bytes: int) -> Decoded | InvalidDocument:
    """Say what decoding makes of *record* where the original of *letter* lay."""
    origin = letter.origin
    message = Message(
        origin.topic,
        origin.partition,
        origin.offset,
        origin.timestamp,
        origin.timestamp_type,
        record.key,
        record.value,
        record.headers,
    )
    try:
        return decode(message, now_ms, max_bytes)
    except InvalidDocument as error:
        return error


def _parked(letter: DeadLetter, reason: str, topics: Bookkeeping) -> Plan:
    """Send the dead letter as it lies there: whoever looks into the parked topic sees why."""
    message = letter.message
    record = Record(message.key, message.value, message.headers)
    return Plan(FateKind.PARKED, reason, Parcel(topics.parked, record, message.partition, message.timestamp))
