"""How is an index made over all vectors, while workers go on writing?

``CREATE INDEX CONCURRENTLY`` in a session of its own. Whatever ends it early leaves an index that is not valid, which
costs every write and serves no search: it is removed here, at once where somebody is left to do so, else by the next
build. A valid one that is to be replaced goes only when the new one is there.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Literal

import asyncpg
import msgspec

from consumers.stores.catalog import fingerprint_in, statements, vector_indexes
from consumers.stores.connections import Connection, Connections
from consumers.stores.errors import translated
from consumers.stores.nearness import operand, operator_class
from schemas import sql
from schemas.catalog import Progress, VectorIndex
from schemas.errors import StoreMisconfigured, StoreUnavailable
from schemas.index import Fingerprint
from schemas.settings import StoreSettings

FOREVER_S = 30 * 24 * 3600.0
LOOK_S = 0.5
CLOSE_S = 10.0
NAMES = ("chunks_embedding", "chunks_embedding_2", "chunks_embedding_3")
"""A build takes a free one, so that the index it is to replace serves searches until then."""
MIB = 1024 * 1024
MOST_BY_ITSELF = 1024 * MIB
"""Memory that a build takes without being told to."""
LISTS_BY_ROOT = 1_000_000
"""Rows above which pgvector's authors advise the square root for the number of lists."""


class Order(msgspec.Struct, frozen=True):
    """What is to be built, and with what. None is the default of pgvector, of the server, or what the size asks for."""

    kind: Literal["hnsw", "ivfflat"] = "hnsw"
    m: int | None = None
    ef_construction: int | None = None
    lists: int | None = None
    memory: str | None = None
    parallel: int | None = None
    again: bool = False


class Built(msgspec.Struct, frozen=True):
    """What was built, and which indexes went: left by a build that was interrupted, or replaced."""

    index: str
    vector_index: VectorIndex
    leftovers: tuple[str, ...]
    replaced: tuple[str, ...]
    memory_mib: int
    seconds: float


class Build:
    """A vector index for one of our indexes."""

    def __init__(self, settings: StoreSettings, index: str, order: Order) -> None:
        self._connections = Connections(settings)
        self._settings = settings
        self._index = index
        self._order = order
        self._queries = statements(index)

    def __repr__(self) -> str:
        return f"<Build of {self._order.kind} for {self._index}>"

    async def script(self, chunks: int) -> str:
        """Return the statement that builds it, for a DBA; it can not be part of a transaction."""
        with translated():
            async with self._connections.plain() as connection:
                fingerprint = await fingerprint_in(connection, self._index)
                return f"{await self._statement(connection, fingerprint, NAMES[0], chunks)};\n"

    async def run(self, chunks: int, observe: Callable[[Progress], None]) -> Built:
        """Build it, and tell *observe* how far it is; *chunks* is about how many there are.

        When cancelled it takes back what it began. Raises StoreMisconfigured where there is one and another was not
        asked for, where one is being built, and where there are too many dimensions.
        """
        if self._settings.pgbouncer:
            raise StoreMisconfigured(
                "a build needs a session of its own, which PgBouncer does not give: point store.dsn at PostgreSQL "
                "itself, with --set store.pgbouncer=false"
            )
        began = time.monotonic()
        with translated():
            async with self._connections.plain() as building, self._connections.plain() as watching:
                fingerprint = await fingerprint_in(watching, self._index)
                there = await self._there(watching)
                name = next(one for one in NAMES if one not in {other.name for other in there})
                statement = await self._statement(watching, fingerprint, name, chunks)
                memory = await self._prepare(building, fingerprint, chunks)
                leftovers = await self._drop(building, [one.name for one in there if not one.valid])
                await self._make(building, watching, statement, name, observe)
                replaced = await self._drop(building, [one.name for one in there if one.valid])
                made = next(one for one in await self._all(watching) if one.name == name)
        return Built(self._index, made, leftovers, replaced, memory, round(time.monotonic() - began, 3))

    async def _all(self, connection: Connection) -> Sequence[VectorIndex]:
        return (await vector_indexes(connection, self._queries)).get(self._index, ())

    async def _there(self, connection: Connection) -> Sequence[VectorIndex]:
        """Return the vector indexes that are there, all of which may go."""
        found = await self._all(connection)
        for one in found:
            if one.builder is not None:
                raise StoreMisconfigured(
                    f"process {one.builder} of PostgreSQL builds {one.name} for {self._index} now: wait for it "
                    f"(`headrace index list`), or end it with SELECT pg_cancel_backend({one.builder})"
                )
            if one.valid and not self._order.again:
                raise StoreMisconfigured(
                    f"the index {self._index} has a vector index ({one.kind}): --again builds another one, which "
                    "replaces it when it is there"
                )
        return found

    async def _statement(self, connection: Connection, fingerprint: Fingerprint, name: str, chunks: int) -> str:
        extension = await connection.fetchrow(self._queries["extension"])
        if extension is None:
            raise StoreMisconfigured("The extension vector is not installed in this database: run headrace init.")
        schema, of = sql.identifier(extension["schema"]), (fingerprint.vector_type, fingerprint.dimensions)
        options = ", ".join(f"{option} = {value}" for option, value in self._options(chunks).items())
        return (
            f"CREATE INDEX CONCURRENTLY {name} ON {sql.identifier(self._index)}.chunks USING {self._order.kind} "
            f"({operand('embedding', *of, schema)} {operator_class(*of, schema)})"
            + (f" WITH ({options})" if options else "")
        )

    def _options(self, chunks: int) -> dict[str, int]:
        order = self._order
        if order.kind == "hnsw":
            told = {"m": order.m, "ef_construction": order.ef_construction}
            return {name: value for name, value in told.items() if value is not None}
        if not chunks:
            raise StoreMisconfigured(
                f"the index {self._index} holds no chunks, from which ivfflat would learn its lists: fill it first"
            )
        return {"lists": order.lists or lists_for(chunks)}

    async def _prepare(self, connection: Connection, fingerprint: Fingerprint, chunks: int) -> int:
        """Give the session its memory and its helpers; return the former in MiB."""
        memory = self._order.memory
        if memory is None:
            servers = await connection.fetchval(self._queries["work_memory"])
            wanted = min(graph_bytes(chunks, fingerprint.dimensions, self._order.m), MOST_BY_ITSELF)
            memory = f"{max(servers, wanted) // MIB}MB"
        parallel = None if self._order.parallel is None else str(self._order.parallel)
        await connection.execute(self._queries["builder_session"], memory, parallel)
        return int(await connection.fetchval(self._queries["work_memory"])) // MIB

    async def _make(
        self,
        building: Connection,
        watching: Connection,
        statement: str,
        name: str,
        observe: Callable[[Progress], None],
    ) -> None:
        began, pid = time.monotonic(), building.get_server_pid()
        making = asyncio.create_task(building.execute(statement, timeout=FOREVER_S))
        try:
            while not making.done():
                await asyncio.wait({making}, timeout=LOOK_S)
                row = await watching.fetchrow(self._queries["build_progress"], pid)
                if row is not None:
                    observe(Progress(row["phase"], row["done"], round(time.monotonic() - began, 1)))
            await making
        except BaseException:
            making.cancel()
            await asyncio.gather(making, return_exceptions=True)
            with suppress(TimeoutError):
                await building.close(timeout=CLOSE_S)
            await self._take_back(name, pid)
            raise

    async def _take_back(self, name: str, pid: int) -> None:
        """Remove what this build has begun, over a new connection: the ones before may be lost."""
        async with self._connections.plain() as connection:
            for one in await self._all(connection):
                if one.name == name and not one.valid and one.builder in (None, pid):
                    try:
                        await self._drop(connection, [name])
                    except asyncpg.LockNotAvailableError as error:
                        raise StoreUnavailable(
                            f"the build ended early and left {name}, which is not valid: transactions hold the table. "
                            "`headrace index build` removes it first"
                        ) from error

    async def _drop(self, connection: Connection, names: Sequence[str]) -> tuple[str, ...]:
        for name in names:
            whole = f"{sql.identifier(self._index)}.{sql.identifier(name)}"
            await connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {whole}", timeout=FOREVER_S)
        return tuple(names)


def lists_for(chunks: int) -> int:
    """Return how many lists the authors of pgvector advise."""
    return max(10, chunks // 1000 if chunks <= LISTS_BY_ROOT else round(chunks**0.5))


def graph_bytes(chunks: int, dimensions: int, m: int | None) -> int:
    """Return about what an HNSW graph takes in memory: one that does not fit is built several times slower."""
    neighbours = (m or 16) * 2 * 16
    return chunks * (4 * dimensions + neighbours + 200)
