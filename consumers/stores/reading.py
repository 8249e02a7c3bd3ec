"""What does an index hold, at one moment and row by row?

A snapshot is one repeatable-read transaction: workers go on writing, and it does not see them. Rows come through a
cursor in the order of their key, read from the primary key's index, so that neither side holds or sorts the whole.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime

import asyncpg
import msgspec

from consumers.stores.connections import Connection, Connections
from consumers.stores.errors import translated
from consumers.stores.installation import read_about
from schemas import sql
from schemas.errors import StoreMisconfigured
from schemas.exports import DocumentState, Position, Row, Scope
from schemas.index import DocumentKey, Fingerprint
from schemas.settings import StoreSettings

PATIENCE_S = 3600.0
"""A count over everything takes its time."""
STATES = 5_000


class Moment(msgspec.Struct, frozen=True):
    """When a snapshot was taken, of an index that was made when, and how far its groups were."""

    at: datetime
    index_created_at: datetime
    positions: tuple[Position, ...]


class Snapshot:
    """An index as it was at one moment, for as long as ``IndexReader.snapshot`` lasts."""

    def __init__(
        self, connection: Connection, queries: Mapping[str, str], fingerprint: Fingerprint, moment: Moment
    ) -> None:
        self.fingerprint = fingerprint
        self.moment = moment
        self._connection = connection
        self._queries = queries

    def __repr__(self) -> str:
        return f"<Snapshot at {self.moment.at.isoformat()}>"

    async def count(self, scope: Scope) -> int:
        """Count the chunks of a scope."""
        with translated():
            asked = (scope.tenant, list(scope.where) or None)
            return int(await self._connection.fetchval(self._queries["count_rows"], *asked, timeout=PATIENCE_S))

    async def rows(
        self, scope: Scope, group: int, *, behind: DocumentKey | None = None, with_text: bool = False
    ) -> AsyncGenerator[tuple[list[Row], list[bytes]], None]:
        """Yield *group* rows at a time with their vectors, packed as the column is; ordered by key.

        *behind* leaves out everything up to and including a document. To be used within ``aclosing``.
        """
        asked = (scope.tenant, list(scope.where) or None, *(behind or (None, None)), with_text)
        async for records in self._groups("rows", group, *asked):
            yield [_row(record) for record in records], [record["embedding"] for record in records]

    async def states(self, scope: Scope) -> AsyncGenerator[DocumentState, None]:
        """Yield the state of every document that has chunks, ordered by key. To be used within ``aclosing``."""
        async for records in self._groups("states", STATES, scope.tenant, list(scope.where) or None):
            for tenant, document_id, revision, *origin, chunks in records:
                yield DocumentState(tenant, document_id, revision, tuple(origin), chunks)

    async def _groups(self, name: str, size: int, *asked: object) -> AsyncIterator[Sequence[asyncpg.Record]]:
        with translated():
            cursor = await self._connection.cursor(self._queries[name], *asked)
        while True:
            with translated():
                records = await cursor.fetch(size, timeout=PATIENCE_S)
            if not records:
                return
            yield records


@asynccontextmanager
async def snapshot(settings: StoreSettings) -> AsyncIterator[Snapshot]:
    """Hold one moment of an index. Raises StoreMisconfigured where there is none."""
    with translated():
        async with Connections(settings).plain() as connection:
            fingerprint = await read_about(connection, settings.index)
    if fingerprint is None:
        raise StoreMisconfigured(f"the index {settings.index} does not exist: run `headrace init`")
    queries = sql.queries({"index": sql.identifier(settings.index), "vector_schema": ""})
    opened = AsyncExitStack()
    try:
        with translated():
            # Vectors come as they are stored, whatever the settings say.
            told = settings.model_copy(update={"vector_type": fingerprint.vector_type})
            connections = Connections(told)
            opened.push_async_callback(connections.aclose)
            connection = await opened.enter_async_context(connections.one())
            await opened.enter_async_context(connection.transaction(isolation="repeatable_read", readonly=True))
            await connection.execute(queries["read_steadily"])
            [times] = await connection.fetch(queries["moment"])
            positions = await connection.fetch(queries["all_positions"])
        moment = Moment(times["at"], times["created_at"], tuple(Position(*row) for row in positions))
        yield Snapshot(connection, queries, fingerprint, moment)
    finally:
        with translated():
            await opened.aclose()


def _row(record: asyncpg.Record) -> Row:
    tenant, document_id, ordinal, revision, chunks, version, *origin, title, metadata, text, _ = record
    return Row(
        tenant,
        document_id,
        ordinal,
        revision,
        tuple(origin),
        chunks,
        version,
        title,
        None if metadata is None else msgspec.Raw(metadata.encode()),
        text,
    )
