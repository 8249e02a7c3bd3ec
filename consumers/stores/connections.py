"""How is PostgreSQL reached?"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias
from urllib.parse import urlsplit

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from consumers.stores import vectors
from consumers.stores.errors import BAD_DSN
from schemas.errors import StoreMisconfigured, StoreUnavailable
from schemas.settings import StoreSettings
from schemas.sql import queries

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"

OLDEST_PGVECTOR = (0, 8, 0)
"""The first with iterative scans."""
SOUND_PGVECTOR = (0, 8, 4)
"""Before it a vacuum can corrupt an HNSW index."""

_CONNECT_TIMEOUT_S = 10.0
_COMMAND_TIMEOUT_S = 120.0
_STATEMENTS = 100
_SESSION = {
    # Probes of primary keys are all a worker does; a plan made for empty tables must not scan them when they are full.
    "enable_seqscan": "off",
    "jit": "off",
    # A stopped or isolated worker must not hold the rows of its group for ever.
    "lock_timeout": "30s",
    "idle_in_transaction_session_timeout": "60s",
}


class Connections:
    """A pool that opens connections when they are needed, and opens new ones after the database was away."""

    def __init__(self, settings: StoreSettings) -> None:
        self._settings = settings
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._opening = asyncio.Lock()
        self._closed = False
        self._extension = queries({"index": "", "vector_schema": ""})["extension"]
        self.vector_schema = "public"

    def __repr__(self) -> str:
        state = "closed" if self._pool is None else f"{self._pool.get_size() - self._pool.get_idle_size()} in use"
        return f"<Connections {state}, {self._settings.pool_size} at most>"

    @asynccontextmanager
    async def one(self) -> AsyncIterator[Connection]:
        """Lend a connection that knows the vector type."""
        pool = self._pool or await self._open()
        async with pool.acquire() as connection:
            yield connection

    @asynccontextmanager
    async def plain(self) -> AsyncIterator[Connection]:
        """Lend a connection outside the pool that needs no extension: to make an index, or to ask for one."""
        connection = await asyncpg.connect(
            self._dsn(),
            timeout=_CONNECT_TIMEOUT_S,
            command_timeout=_COMMAND_TIMEOUT_S,
            statement_cache_size=0,
            server_settings=self._session(),
        )
        try:
            yield connection
        finally:
            await connection.close(timeout=_CONNECT_TIMEOUT_S)

    async def aclose(self) -> None:
        """Close every connection, for good; those that are still in use after a while are cut."""
        self._closed = True
        pool, self._pool = self._pool, None
        if pool is not None:
            try:
                async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                    await pool.close()
            except TimeoutError:
                pool.terminate()

    async def _open(self) -> "asyncpg.Pool[asyncpg.Record]":
        async with self._opening:
            if self._closed:
                raise StoreUnavailable("The store is closed.")
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._dsn(),
                    min_size=0,
                    max_size=self._settings.pool_size,
                    init=self._prepare,
                    reset=_nothing_to_reset,
                    timeout=_CONNECT_TIMEOUT_S,
                    command_timeout=_COMMAND_TIMEOUT_S,
                    # Prepared statements get lost in PgBouncer.
                    statement_cache_size=0 if self._settings.pgbouncer else _STATEMENTS,
                    server_settings=self._session(),
                )
            return self._pool

    def _dsn(self) -> str:
        if self._settings.dsn is None:
            raise StoreMisconfigured("store.dsn is not set: write postgresql://user:password@host:port/database")
        dsn = self._settings.dsn.get_secret_value()
        try:
            parts = urlsplit(dsn)
            _ = parts.port
        except ValueError:
            raise StoreMisconfigured(BAD_DSN) from None
        if parts.scheme not in ("postgresql", "postgres"):
            raise StoreMisconfigured(BAD_DSN)
        return dsn

    def _session(self) -> dict[str, str]:
        name = {"application_name": f"headrace {self._settings.index}"}
        # PgBouncer refuses settings it does not know when a session starts.
        return name if self._settings.pgbouncer else name | _SESSION

    async def _prepare(self, connection: Connection) -> None:
        installed = await connection.fetchrow(self._extension)
        if installed is None:
            raise StoreMisconfigured("The extension vector is not installed in this database: run headrace init.")
        self.vector_schema = installed["schema"]
        await connection.set_type_codec(
            self._settings.vector_type,
            schema=installed["schema"],
            encoder=vectors.header_of(self._settings.vector_type),
            decoder=vectors.without_header,
            format="binary",
        )


@asynccontextmanager
async def ending_with(connection: Connection) -> AsyncIterator[None]:
    """Raise TimeoutError in what is done inside once the connection is lost.

    In a COPY asyncpg would wait for ever for a buffer that nobody empties.
    """
    async with asyncio.timeout(None) as until_lost:

        def lost(_: object) -> None:
            until_lost.reschedule(0.0)

        connection.add_termination_listener(lost)
        try:
            yield
        finally:
            connection.remove_termination_listener(lost)


async def _nothing_to_reset(connection: Connection) -> None:
    """Save a round trip: no session setting of ours outlives its transaction."""


def version_of(text: str) -> tuple[int, ...]:
    """Read a version such as 0.8.5."""
    return tuple(int(part) for part in text.split(".") if part.isdigit())
