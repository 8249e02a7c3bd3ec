"""What does a scenario see in PostgreSQL? The rows, and whether anybody has touched them."""

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

Key = tuple[str, str]
"""(tenant, document id)"""

TABLES = "docs"
PATIENCE_S = 20.0


@dataclass(frozen=True)
class Chunk:
    """A chunk as it is stored; ``vector`` is packed big-endian float32."""

    text: str
    vector: bytes


@dataclass(frozen=True)
class Origin:
    """Where the record lies that a document row comes from."""

    partition: int
    offset: int


class Index:
    """The index of one scenario. Each look is a connection of its own: the database may have been away."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        """Lend a connection."""
        connection = await asyncpg.connect(self._dsn, timeout=PATIENCE_S, command_timeout=PATIENCE_S)
        try:
            yield connection
        finally:
            await connection.close()

    async def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Run any query."""
        async with self.connection() as connection:
            return await connection.fetch(query, *arguments)

    async def chunks(self) -> dict[Key, list[Chunk]]:
        """Return the chunks of every document that has some, in order."""
        found: dict[Key, list[Chunk]] = {}
        for row in await self.fetch(
            f"SELECT tenant, document_id, text, embedding::real[] AS vector FROM {TABLES}.chunks "  # noqa: S608 - our name
            "ORDER BY tenant, document_id, ordinal"
        ):
            vector = struct.pack(f">{len(row['vector'])}f", *row["vector"])
            found.setdefault((row["tenant"], row["document_id"]), []).append(Chunk(row["text"], vector))
        return found

    async def texts(self) -> set[str]:
        """Return every text that has a vector."""
        return {row["text"] for row in await self.fetch(f"SELECT text FROM {TABLES}.chunks")}  # noqa: S608 - our name

    async def count(self) -> int:
        """Count the chunks."""
        [row] = await self.fetch(f"SELECT count(*) AS n FROM {TABLES}.chunks")  # noqa: S608 - our name
        return int(row["n"])

    async def origins(self) -> dict[Key, Origin]:
        """Return where each document row comes from, tombstones included."""
        rows = await self.fetch(f"SELECT tenant, id, origin_partition, origin_offset FROM {TABLES}.documents")  # noqa: S608 - our name
        return {(row["tenant"], row["id"]): Origin(row["origin_partition"], row["origin_offset"]) for row in rows}

    async def tombstones(self) -> set[Key]:
        """Return the documents that were deleted."""
        rows = await self.fetch(f"SELECT tenant, id FROM {TABLES}.documents WHERE deleted_at IS NOT NULL")  # noqa: S608 - our name
        return {(row["tenant"], row["id"]) for row in rows}

    async def chunk_places(self) -> dict[tuple[str, str, int], tuple[str, str]]:
        """Return the transaction and the place of each chunk row: they change whenever the row is written."""
        rows = await self.fetch(
            f"SELECT tenant, document_id, ordinal, xmin::text AS writer, ctid::text AS place FROM {TABLES}.chunks"  # noqa: S608 - our name
        )
        return {(row["tenant"], row["document_id"], row["ordinal"]): (row["writer"], row["place"]) for row in rows}
