"""Where is the topic's account of the documents kept while it is compared with the index? In temporary tables.

They belong to one connection and go with it. Memory holds a group at a time, whatever the number of documents.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Any, Self

import asyncpg
import msgspec

from consumers.core.fence import Verdict, in_rounds
from consumers.core.reconciling import Letter, Pair, Row, Sighting
from consumers.stores.columns import digests, numbers, texts
from consumers.stores.connections import Connection, Connections
from consumers.stores.errors import translated
from schemas import sql
from schemas.errors import StoreMisconfigured, StoreUnavailable
from schemas.messages import Origin, TimestampType
from schemas.settings import StoreSettings

PAGE = 1_000
LONGEST_S = 3_600.0
"""To compare two large tables takes minutes."""

_KINDS = {True: TimestampType.LOG_APPEND_TIME, False: TimestampType.CREATE_TIME}


class Seen(msgspec.Struct, frozen=True):
    """How much was noted, and how many documents the index held, tombstones left out.

    ``sightings`` counts documents by id, ``deletions`` those of them that are deleted, ``undecodable`` records.
    """

    sightings: int
    deletions: int
    undecodable: int
    live: int


class Comparison:
    """The topic's account of its documents beside the rows of an index, for as long as ``async with`` lasts.

    Note sightings in the order of their partitions, then ``compare``, note letters, and look at the ``pages``.
    Raises what a Store raises.
    """

    def __init__(self, settings: StoreSettings) -> None:
        self._settings = settings
        self._queries = sql.queries({"index": sql.identifier(settings.index), "vector_schema": ""})
        self._opened = AsyncExitStack()
        self._lent: Connection | None = None

    def __repr__(self) -> str:
        return f"<Comparison with {self._settings.index} {'closed' if self._lent is None else 'open'}>"

    async def __aenter__(self) -> Self:
        """Connect, and make the tables."""
        if self._settings.pgbouncer:
            raise StoreMisconfigured(
                "Temporary tables do not survive PgBouncer: name the server itself with --set store.dsn=… "
                "and --set store.pgbouncer=false."
            )
        with translated():
            async with AsyncExitStack() as opened:
                self._lent = await opened.enter_async_context(Connections(self._settings).plain())
                await self._lent.execute(self._queries["begin_reconcile"])
                self._opened = opened.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lent = None
        with translated():
            await self._opened.aclose()

    async def note(self, sightings: Sequence[Sighting]) -> None:
        """Take what records say, in their order; of each document the one that wins by the fence is kept."""
        rounds, _ = in_rounds(sightings, range(len(sightings)))
        async with self._connection() as connection:
            for indices in rounds:
                arrays = _arrays([sightings[index] for index in indices])
                await connection.execute(self._queries["note_sightings"], *arrays)
            for copy in sightings:
                if copy.is_copy:
                    await connection.execute(self._queries["note_copy"], *_copy(copy))

    async def note_undecodable(self, places: Sequence[tuple[int, int]]) -> None:
        """Take partition and offset of records that are no documents."""
        async with self._connection() as connection:
            await connection.execute(self._queries["note_undecodable"], *_columns(places, 2))

    async def note_letters(self, letters: Sequence[tuple[Origin, Letter]]) -> None:
        """Take what became of dead letters, by the first origin of each."""
        rows = [
            (origin.topic, origin.partition, origin.offset, origin.timestamp, letter is Letter.OPEN)
            for origin, letter in letters
        ]
        async with self._connection() as connection:
            await connection.execute(self._queries["note_letters"], *_columns(rows, 5))

    async def compare(self) -> Seen:
        """Put what was noted beside the index, as it is at one moment."""
        async with self._connection() as connection:
            await connection.execute(self._queries["weigh_sightings"])
            async with connection.transaction(isolation="repeatable_read"):
                await connection.execute(self._queries["let_plan"])
                await connection.execute(self._queries["find"], timeout=LONGEST_S)
                live = await connection.fetchval(self._queries["count_live"], timeout=LONGEST_S)
            await connection.execute(self._queries["sort_findings"], timeout=LONGEST_S)
            seen = await connection.fetchrow(self._queries["count_sightings"], timeout=LONGEST_S)
        counts = dict(seen or {})
        return Seen(counts["sightings"], counts["deletions"], counts["undecodable"], live)

    async def pages(self) -> AsyncGenerator[list[Pair], None]:
        """Yield every document that is not simply right, in the order of the topic. To be used in ``aclosing``."""
        last = 0
        while True:
            async with self._connection() as connection:
                rows = await connection.fetch(self._queries["findings_after"], last, PAGE)
            if not rows:
                return
            yield [_pair(row) for row in rows]
            last = rows[-1]["number"]

    async def forget(self, pairs: Sequence[Pair]) -> None:
        """Let the rows of these no longer pass for the records they come from; readers still see what they hold."""
        rows = [(pair, pair.row.revision) for pair in pairs if pair.row is not None]
        async with self._connection() as connection:
            await connection.execute(
                self._queries["forget"],
                texts([pair.tenant for pair, _ in rows]),
                texts([pair.id for pair, _ in rows]),
                [revision for _, revision in rows],
            )

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        if self._lent is None:
            raise StoreUnavailable("The comparison is not open.")
        with translated():
            yield self._lent


def _arrays(sightings: Sequence[Sighting]) -> tuple[str, ...]:
    """Return the fourteen arrays that note_sightings takes."""
    origins = [one.origin for one in sightings]
    return (
        texts([one.tenant for one in sightings]),
        texts([one.id for one in sightings]),
        numbers([one.version for one in sightings]),
        texts([origin.topic for origin in origins]),
        numbers([origin.partition for origin in origins]),
        numbers([origin.offset for origin in origins]),
        numbers([origin.timestamp for origin in origins]),
        numbers([origin.timestamp_type is TimestampType.LOG_APPEND_TIME for origin in origins]),
        numbers([one.fence_ts for one in sightings]),
        numbers([one.replay_ts for one in sightings]),
        digests([one.content_hash for one in sightings]),
        numbers([one.partition for one in sightings]),
        numbers([one.offset for one in sightings]),
        numbers([one.due for one in sightings]),
    )


def _copy(one: Sighting) -> tuple[object, ...]:
    origin = one.origin
    place = (origin.topic, origin.partition, origin.offset, origin.timestamp)
    return one.tenant, one.id, *place, one.partition, one.offset, one.due


def _columns(rows: Sequence[Sequence[Any]], count: int) -> list[list[Any]]:
    return [[row[place] for row in rows] for place in range(count)]


def _pair(row: asyncpg.Record) -> Pair:
    open_letter = row["letter"]
    return Pair(
        row["number"],
        row["tenant"],
        row["id"],
        None if row["topic"] is None else _sighting(row),
        None if row["origin_topic"] is None else _row(row),
        None if row["verdict"] is None else Verdict(row["verdict"]),
        None if open_letter is None else (Letter.OPEN if open_letter else Letter.GIVEN_UP),
        row["undecodable"],
    )


def _sighting(row: asyncpg.Record) -> Sighting:
    return Sighting(
        row["tenant"],
        row["id"],
        row["version"],
        Origin(row["topic"], row["partition"], row["offset"], row["timestamp"], _KINDS[row["log_append_time"]]),
        row["fence_ts"],
        row["replay_ts"],
        row["content_hash"],
        row["lies_in"],
        row["lies_at"],
        row["due"],
    )


def _row(row: asyncpg.Record) -> Row:
    origin = Origin(
        row["origin_topic"],
        row["origin_partition"],
        row["origin_offset"],
        row["origin_timestamp"],
        _KINDS[row["row_log_append_time"]],
    )
    return Row(origin, row["row_content_hash"], row["deleted"], row["chunk_count"], row["chunks"], row["revision"])
