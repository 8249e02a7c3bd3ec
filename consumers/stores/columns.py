"""How do candidates and changes become the arrays of a statement?"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import cast

import msgspec

from consumers.stores.connections import Connection
from schemas.index import Candidate, Change, Standing
from schemas.messages import TimestampType

_encoder = msgspec.json.Encoder()
_of_item = attrgetter("tenant", "id", "version", "origin", "fence_ts")
_of_origin = attrgetter("topic", "partition", "offset", "timestamp", "timestamp_type")


def places(items: Sequence[Candidate] | Sequence[Change]) -> tuple[str, ...]:
    """Return the nine arrays that look_up and write_documents begin with; entry i of each is item i's."""
    tenants, ids, versions, origins, fence_ts = zip(*map(_of_item, items), strict=True)
    topics, partitions, offsets, timestamps, types = zip(*map(_of_origin, origins), strict=True)
    log_append_time = TimestampType.LOG_APPEND_TIME
    return (
        texts(tenants),
        texts(ids),
        numbers(versions),
        texts(topics),
        numbers(partitions),
        numbers(offsets),
        numbers(timestamps),
        numbers([one is log_append_time for one in types]),
        numbers(fence_ts),
    )


# Arrays go as PostgreSQL writes them: asyncpg takes many times longer over a list, of which it inspects every entry.


def numbers(values: Sequence[int | None]) -> str:
    """Write an array of numbers or truth values, some of which may be missing."""
    return "{" + _encoder.encode(values)[1:-1].decode() + "}"


def texts(values: Sequence[str | None]) -> str:
    """Write an array of texts, some of which may be missing."""
    missing = values.count(None)
    if missing == len(values):  # as titles and metadata often are
        return "{" + ",".join(["NULL"] * missing) + "}"
    if not missing:
        joined = '","'.join(cast("Sequence[str]", values))
        if "\\" not in joined and joined.count('"') == 2 * (len(values) - 1):
            return '{"' + joined + '"}'
    return "{" + ",".join(["NULL" if value is None else f'"{_escaped(value)}"' for value in values]) + "}"


def digests(values: Sequence[bytes | None]) -> str:
    """Write an array of bytea, some of which may be missing."""
    if None not in values:
        present = cast("Sequence[bytes]", values)
        sizes = set(map(len, present))
        if len(sizes) == 1 and 0 not in sizes:  # they can be written at once, and set apart afterwards
            return "{\\\\x" + b"".join(present).hex(",", sizes.pop()).replace(",", ",\\\\x") + "}"
    return "{" + ",".join(["NULL" if value is None else "\\\\x" + value.hex() for value in values]) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


async def standings_of(
    connection: Connection,
    queries: Mapping[str, str],
    items: Sequence[Candidate] | Sequence[Change],
    content_hash: Callable[[int], bytes | None],
    force_before: datetime | None,
) -> list[Standing]:
    """Ask how each item stands to its row; ABSENT where there is none, or one embedded before *force_before*.

    *content_hash* is asked for that of item i only where an older version of it is stored.
    """
    standings = [Standing.ABSENT] * len(items)
    for told, found, stored in await connection.fetch(queries["look_up"], *places(items), force_before):
        if told == "newer":
            for number, content in zip(found, stored, strict=True):
                same = content_hash(number - 1) == content
                standings[number - 1] = Standing.UNCHANGED if same else Standing.CHANGED
        else:
            standing = Standing[told.upper()]
            for number in found:
                standings[number - 1] = standing
    return standings
