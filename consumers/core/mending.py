"""What is published to mend a document, and where does its record lie?

A record is sent again as a dead letter is replayed: with its origin, so that it loses against whatever came since. The
deletion of an orphan takes the place of the record that the topic has no more.
"""

from collections.abc import Iterable, Mapping

from consumers.core.reconciling import Pair
from consumers.core.replaying import sent_again
from schemas import headers
from schemas.dead_letters import Record, original
from schemas.documents import message_key
from schemas.fates import Parcel
from schemas.messages import Message, Origin

WORTH_A_SEEK = 5_000
"""To read over so many records costs less than to begin anew behind them."""

Place = tuple[int, int]
"""Partition and offset."""


def runs(places: Iterable[Place]) -> list[dict[int, tuple[int, int]]]:
    """Return what to read so as to meet all *places*: each run is a range of one partition, and none wastes much."""
    found: list[dict[int, tuple[int, int]]] = []
    for partition, offset in sorted(places):
        if found and partition in found[-1] and offset - found[-1][partition][1] < WORTH_A_SEEK:
            found[-1][partition] = (found[-1][partition][0], offset + 1)
        else:
            found.append({partition: (offset, offset + 1)})
    return found


def again(message: Message, origin: Origin, topic: str, now_ms: int) -> Parcel:
    """Publish a message again, to the partition in which it lies, as what came from *origin*."""
    record = sent_again(original(message), origin, _replays(dict(message.headers)))
    return Parcel(topic, record, message.partition, _behind(origin, now_ms))


def removal(pair: Pair, topic: str, now_ms: int) -> Parcel:
    """Delete a document of which the topic knows nothing, in the name of the record that its row comes from."""
    if pair.row is None:
        raise ValueError(f"{pair.tenant}/{pair.id} has no row")
    told = ((headers.TENANT, pair.tenant.encode()), (headers.ID, pair.id.encode()))
    record = Record(message_key(pair.tenant, pair.id), None, told)
    origin = pair.row.origin
    return Parcel(topic, sent_again(record, origin, 0), origin.partition, _behind(origin, now_ms))


def _replays(told: Mapping[str, bytes | None]) -> int:
    said = told.get(headers.REPLAYS) or b""
    return int(said) if said.isdigit() else 0


def _behind(origin: Origin, now_ms: int) -> int:
    # The worker believes what is older than the record that says it.
    return max(now_ms, origin.timestamp + 1)
