"""How are documents kept in PostgreSQL with pgvector?"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

import asyncpg

from consumers.stores.chunks import stored_ordinals
from consumers.stores.columns import digests, numbers, standings_of, texts
from consumers.stores.connections import Connection, Connections
from consumers.stores.errors import AT_ONCE, translated
from consumers.stores.group import GroupWrite, Leaves
from consumers.stores.installation import Installation, read_about, unapplied
from consumers.stores.searching import Place, Wanted, nearest
from consumers.stores.vectors import stored_form
from schemas import sql
from schemas.errors import StoreMisconfigured
from schemas.index import Candidate, Change, Counts, DocumentKey, Fingerprint, Hit, Outcome, Standing
from schemas.orders import Order
from schemas.settings import StoreSettings
from schemas.spending import DaySpent, Spent

_ATTEMPTS_AT_ONCE = 4
BYTES_A_NUMBER = 4
_COUNTED_EXACTLY = 100_000
_STAGED_FOR = timedelta(days=7)
_SWEEP_EVERY_S = 3600.0


class PgVectorStore:
    """One index, in its own schema. Connections are opened when they are first needed.

    The rules of the fence are in SQL, so that every worker of every version obeys the same.
    """

    def __init__(self, settings: StoreSettings, *, force_before: datetime | None = None) -> None:
        """Reach the index of *settings*; what was embedded before *force_before* counts as absent."""
        self._settings = settings
        self._force_before = force_before
        self._sweeps = 0.0
        self._connections = Connections(settings)
        self._index = sql.identifier(settings.index)
        self._queries = sql.queries({"index": self._index, "vector_schema": ""})

    def __repr__(self) -> str:
        return f"<PgVectorStore index={self._settings.index} {self._connections!r}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        with translated():
            await self._connections.aclose()

    @property
    def connections(self) -> int:
        """The most connections that are opened."""
        return self._settings.pool_size

    async def create(self, fingerprint: Fingerprint) -> list[str]:
        """Make the index where it is missing and return what was done, in words; nothing if it was all there.

        Safe to run by several at once. Raises StoreMisconfigured where rights or pgvector are missing, where the index
        is one of another fingerprint, and where there is something to do and ``store.ddl`` is false.
        """
        if not self._settings.ddl:
            if await self.about() == fingerprint:
                await self.see_that_it_is_up_to_date()
                return []
            raise StoreMisconfigured(
                f"The index {self._settings.index} is not there as the settings say, and store.ddl is false: have a "
                "DBA run the SQL that headrace init prints."
            )
        with translated():
            async with self._connections.plain() as connection:
                return await Installation(self._settings, fingerprint).run(connection)

    def ddl_script(self, fingerprint: Fingerprint) -> str:
        """Return the SQL that ``create`` would run on an empty database."""
        return Installation(self._settings, fingerprint).script()

    async def look_up(self, candidates: Sequence[Candidate], content_hash: Callable[[int], bytes]) -> list[Standing]:
        """Say how each document stands to what is stored, in one query."""
        if not candidates:
            return []
        with translated():
            async with self._connections.one() as connection:
                return await standings_of(connection, self._queries, candidates, content_hash, self._force_before)

    async def stored_hashes(self, keys: Sequence[DocumentKey]) -> Mapping[DocumentKey, frozenset[bytes]]:
        """Return the hashes of the chunks that are stored for these documents; one without chunks is left out."""
        if not keys:
            return {}
        with translated():
            async with self._connections.one() as connection:
                stored = await stored_ordinals(connection, self._queries, keys, self._force_before)
        return {key: frozenset(ordinals) for key, ordinals in stored.items()}

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        """Apply a group in one transaction; entry i is what became of change i."""
        if not changes:
            return []
        with translated():
            async with self._connections.one() as connection:
                return await self._write(connection, changes)

    async def _write(self, connection: Connection, changes: Sequence[Change]) -> list[Outcome]:
        left: frozenset[int] = frozenset()
        attempts, copy = 1, True
        while True:
            try:
                async with connection.transaction(isolation="read_committed"):
                    return await self._group(connection, changes).run(left, copy=copy)
            except Leaves as leaving:
                left |= leaving.indices
            except asyncpg.UniqueViolationError:
                if not copy:
                    raise
                copy = False
            except asyncpg.PostgresError as error:
                if error.sqlstate not in AT_ONCE or attempts == _ATTEMPTS_AT_ONCE:
                    raise
                attempts += 1

    def _group(self, connection: Connection, changes: Sequence[Change]) -> GroupWrite:
        return GroupWrite(connection, self._queries, self._settings, changes, self._force_before)

    async def stage(self, vectors: Mapping[bytes, bytes]) -> None:
        """Keep vectors by the hashes of their texts until documents are written that take them."""
        digests_in_order = sorted(vectors)
        packed = stored_form([vectors[digest] for digest in digests_in_order], self._settings.vector_type)
        rows = [(digest, vector, self._force_before) for digest, vector in zip(digests_in_order, packed, strict=True)]
        with translated():
            async with self._connections.one() as connection:
                await connection.executemany(self._queries["stage"], rows)
                if time.monotonic() >= self._sweeps:
                    self._sweeps = time.monotonic() + _SWEEP_EVERY_S
                    await connection.execute(self._queries["sweep_staged"], _STAGED_FOR)

    async def staged(self, hashes: Collection[bytes]) -> frozenset[bytes]:
        """Return of which of these texts the vectors are kept."""
        if not hashes:
            return frozenset()
        with translated():
            async with self._connections.one() as connection:
                rows = await connection.fetch(self._queries["staged"], digests(list(hashes)), self._force_before)
        return frozenset(row["hash"] for row in rows)

    async def save_positions(self, group: str, topic: str, positions: Mapping[int, int]) -> None:
        """Remember the next offset of each partition."""
        partitions = sorted(positions)
        with translated():
            async with self._connections.one() as connection:
                await connection.execute(
                    self._queries["save_positions"], group, topic, partitions, [positions[p] for p in partitions]
                )

    async def advance_positions(
        self, group: str, topic: str, positions: Mapping[int, int], known: Mapping[int, int], server: str
    ) -> bool:
        """Remember the next offset of each partition if the index holds what is *known* and runs on *server*."""
        partitions = sorted(positions)
        offsets, expected = [positions[p] for p in partitions], [known.get(p) for p in partitions]
        with translated():
            async with self._connections.one() as connection:
                return bool(
                    await connection.fetchval(
                        self._queries["advance_positions"], group, topic, partitions, offsets, expected, server
                    )
                )

    async def server(self) -> str:
        """Name the run of the database's server, by when it began."""
        with translated():
            async with self._connections.one() as connection:
                return str(await connection.fetchval(self._queries["server"]))

    async def load_positions(self, group: str, topic: str) -> dict[int, int]:
        """Return what save_positions remembered."""
        with translated():
            async with self._connections.one() as connection:
                rows = await connection.fetch(self._queries["load_positions"], group, topic)
        return {row["partition"]: row["next_offset"] for row in rows}

    async def forget_positions(self, group: str, topic: str, partitions: Collection[int]) -> None:
        """Know nothing of these partitions."""
        with translated():
            async with self._connections.one() as connection:
                await connection.execute(self._queries["forget_positions"], group, topic, sorted(partitions))

    async def has_documents(self) -> bool:
        """Say whether the index holds anything, tombstones included."""
        with translated():
            async with self._connections.one() as connection:
                return bool(await connection.fetchval(self._queries["has_documents"]))

    async def give_orders(self, orders: Mapping[str, str], by: str) -> None:
        """Write what an operator wants, by name; all of it at once."""
        with translated():
            async with self._connections.one() as connection:
                await connection.execute(self._queries["give_orders"], list(orders), list(orders.values()), by)

    async def orders(self, names: Sequence[str]) -> list[Order]:
        """Return the orders of these names that were ever given."""
        with translated():
            async with self._connections.one() as connection:
                rows = await connection.fetch(self._queries["orders"], list(names))
        return [Order(*row) for row in rows]

    async def spend(self, amounts: Mapping[str, Spent]) -> Spent:
        """Add to what tenants have spent today; return what all of them have, in one round trip."""
        added = amounts.values()
        with translated():
            async with self._connections.one() as connection:
                row = await connection.fetchrow(
                    self._queries["spend"],
                    texts(list(amounts)),
                    numbers([one.tokens for one in added]),
                    numbers([one.texts for one in added]),
                    texts([str(one.money) for one in added]),
                )
        return Spent() if row is None else Spent(*row)

    async def spent(self, days: int) -> list[DaySpent]:
        """Return what was spent in the last *days* days, of which today is one, the newest first."""
        with translated():
            async with self._connections.one() as connection:
                rows = await connection.fetch(self._queries["spent"], days)
        return [DaySpent(day, tenant, Spent(*amounts)) for day, tenant, *amounts in rows]

    async def see_that_it_is_up_to_date(self) -> None:
        """Raise StoreMisconfigured where the index has not gone through every migration that this program needs."""
        with translated():
            async with self._connections.plain() as connection:
                missing = await unapplied(connection, self._settings.index)
        if missing:
            raise StoreMisconfigured(
                f"The index {self._settings.index} lacks {', '.join(missing)}: run headrace init, which applies "
                "migrations, or with store.ddl = false have a DBA run the SQL that it prints."
            )

    async def about(self) -> Fingerprint | None:
        """Return the fingerprint of the index, or None if there is no index."""
        with translated():
            async with self._connections.plain() as connection:
                return await read_about(connection, self._settings.index)

    async def search(
        self,
        vector: bytes,
        *,
        limit: int,
        tenant: str | None = None,
        where: Sequence[str] = (),
        ef: int | None = None,
        exact: bool = False,
    ) -> list[Hit]:
        """Return the nearest chunks by cosine distance, nearest first.

        *ef* is how many candidates an HNSW index keeps at a time; *exact* compares every row, without any index.
        """
        [query] = stored_form([vector], self._settings.vector_type)
        wanted = Wanted(limit, tenant, where, ef, exact)
        with translated():
            async with self._connections.one() as connection, connection.transaction(readonly=True):
                schema = sql.identifier(self._connections.vector_schema)
                place = Place(self._index, schema, self._settings.vector_type, len(vector) // BYTES_A_NUMBER)
                return await nearest(connection, place, query, wanted)

    async def counts(self) -> Counts:
        """Count what is stored; a large index is estimated from PostgreSQL's statistics, which costs nothing."""
        with translated():
            async with self._connections.one() as connection, connection.transaction(readonly=True):
                names = (f"{self._index}.documents", f"{self._index}.chunks")
                seen = await connection.fetchrow(self._queries["estimates"], *names)
                tombstones = await connection.fetchval(self._queries["count_tombstones"])
                rows, chunks = (seen["documents"], seen["chunks"]) if seen is not None else (-1, -1)
                estimated = max(rows, chunks) > _COUNTED_EXACTLY
                if not estimated:
                    rows = await connection.fetchval(self._queries["count_documents"])
                    chunks = await connection.fetchval(self._queries["count_chunks"])
        return Counts(documents=max(rows - tombstones, 0), chunks=chunks, tombstones=tombstones, estimated=estimated)
