"""Which indexes are there in a database, and who reads them?"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager

import asyncpg

from consumers.stores.connections import Connection, Connections
from consumers.stores.errors import translated
from consumers.stores.pgvector import PgVectorStore
from schemas import sql
from schemas.catalog import DEFAULT_PAIR, Described, VectorIndex, views_of
from schemas.errors import StoreMisconfigured
from schemas.index import Fingerprint
from schemas.settings import StoreSettings

FILES = ("catalog.sql", "queries.sql")


def statements(index: str = "") -> dict[str, str]:
    """Return the statements about indexes, those about one in particular filled in for it."""
    return sql.queries({"index": sql.identifier(index), "vector_schema": ""}, FILES)


def settings_of(settings: StoreSettings, index: str, fingerprint: Fingerprint) -> StoreSettings:
    """Return the settings with which another index of the same database is read."""
    return settings.model_copy(update={"index": index, "vector_type": fingerprint.vector_type})


class Catalog:
    """The indexes of one database, whatever the settings say of their own. Every look is a connection of its own."""

    def __init__(self, settings: StoreSettings) -> None:
        self._settings = settings
        self._queries = statements()

    def __repr__(self) -> str:
        return "<Catalog>"

    def _connection(self) -> AbstractAsyncContextManager[Connection]:
        return Connections(self._settings).plain()

    async def names(self) -> list[str]:
        """Return the names of all indexes."""
        with translated():
            async with self._connection() as connection:
                return [row["name"] for row in await connection.fetch(self._queries["indexes"])]

    async def indexes(self, only: str | None = None) -> list[Described]:
        """Describe every index, in the order of their names, or *only* the one of this name."""
        with translated():
            async with self._connection() as connection:
                rows = await connection.fetch(self._queries["indexes"])
                sizes = {row["name"]: row["bytes"] for row in rows if only in (None, row["name"])}
                vectors = await vector_indexes(connection, self._queries)
                readers = await pairs_of(connection, self._queries, list(sizes))
                abouts = {name: await connection.fetchrow(statements(name)["whole_about"]) for name in sizes}
        return [
            await self._described(name, size, abouts[name], vectors.get(name, ()), readers.get(name, ()))
            for name, size in sizes.items()
        ]

    async def index(self, name: str) -> Described:
        """Describe one index. Raises StoreMisconfigured where there is none of this name."""
        await self.fingerprint(name)
        [found] = await self.indexes(name)
        return found

    async def _described(
        self,
        name: str,
        size: int,
        about: asyncpg.Record | None,
        vectors: Sequence[VectorIndex],
        promoted: Sequence[str],
    ) -> Described:
        if about is None:
            raise StoreMisconfigured(f"the index {name} does not say what it is of: `headrace init --index {name}`")
        *told, created_at, purged_before = about.values()
        fingerprint = Fingerprint(*told)
        async with PgVectorStore(settings_of(self._settings, name, fingerprint)) as store:
            counts = await store.counts()
        return Described(name, fingerprint, counts, size, tuple(vectors), tuple(promoted), created_at, purged_before)

    async def fingerprint(self, name: str) -> Fingerprint:
        """Return what an index is of. Raises StoreMisconfigured where there is none, naming those there are."""
        with translated():
            async with self._connection() as connection:
                return await fingerprint_in(connection, name)

    async def promoted(self, pair: str = DEFAULT_PAIR) -> str | None:
        """Return the index that a pair of views reads; None where there is no such pair."""
        with translated():
            async with self._connection() as connection:
                return await promoted_in(connection, self._queries, pair)

    async def groups(self, name: str) -> list[tuple[str, str]]:
        """Return the groups that have worked for an index, each with its topic."""
        with translated():
            async with self._connection() as connection:
                rows = await connection.fetch(statements(name)["groups"])
        return [(row["consumer_group"], row["topic"]) for row in rows]

    async def drop(self, name: str) -> None:
        """Drop an index with all its rows. Raises StoreMisconfigured where somebody reads it."""
        with translated():
            async with self._connection() as connection, connection.transaction():
                await connection.execute(self._queries["lock_installation"])
                await fingerprint_in(connection, name)
                await _see_that_nobody_reads(connection, self._queries, name)
                await connection.execute(statements(name)["drop_index"])
                if await connection.fetchval(self._queries["table_exists"], "headrace.promotions"):
                    await connection.execute(self._queries["forget"], name)


async def fingerprint_in(connection: Connection, name: str) -> Fingerprint:
    """Return what an index is of. Raises StoreMisconfigured where there is none, naming those there are."""
    queries = statements(name)
    names = [row["name"] for row in await connection.fetch(queries["indexes"])]
    if name not in names:
        there = f"there are {', '.join(names)}" if names else "run `headrace init`"
        raise StoreMisconfigured(f"there is no index {name} in this database: {there}")
    row = await connection.fetchrow(queries["about"])
    if row is None:
        raise StoreMisconfigured(f"the index {name} does not say what it is of: run `headrace init --index {name}`")
    return Fingerprint(*row)


async def vector_indexes(connection: Connection, queries: Mapping[str, str]) -> dict[str, list[VectorIndex]]:
    """Return the indexes over the vectors of each of our indexes."""
    found: dict[str, list[VectorIndex]] = {}
    for row in await connection.fetch(queries["vector_indexes"]):
        one = VectorIndex(row["name"], row["kind"], row["valid"], row["builder"], tuple(row["options"]), row["bytes"])
        found.setdefault(row["index"], []).append(one)
    return found


async def pairs_of(connection: Connection, queries: Mapping[str, str], names: Sequence[str]) -> dict[str, list[str]]:
    """Return the pairs of views that read each index."""
    found: dict[str, list[str]] = {}
    for row in await connection.fetch(queries["readers"], names):
        pair = _pair_of(row)
        if pair is not None and row["table"] == "chunks":
            found.setdefault(row["index"], []).append(pair)
    return found


async def promoted_in(connection: Connection, queries: Mapping[str, str], pair: str) -> str | None:
    """Return the index that a pair of views reads; None where there is no such pair."""
    names = [row["name"] for row in await connection.fetch(queries["indexes"])]
    readers = await pairs_of(connection, queries, names)
    return next((name for name, pairs in readers.items() if pair in pairs), None)


def _pair_of(reader: asyncpg.Record) -> str | None:
    """Return the pair that a view belongs to; None for a view of somebody else."""
    before = str(reader["view"]).removesuffix(reader["table"])
    pair = before.removesuffix("_") or DEFAULT_PAIR
    return pair if reader["schema"] == "headrace" and reader["view"] in views_of(pair) else None


async def _see_that_nobody_reads(connection: Connection, queries: Mapping[str, str], name: str) -> None:
    rows = await connection.fetch(queries["readers"], [name])
    if pairs := sorted({pair for row in rows if (pair := _pair_of(row)) is not None}):
        views = ", ".join(f"headrace.{view}" for pair in pairs for view in views_of(pair))
        raise StoreMisconfigured(
            f"the index {name} is promoted: {views} read it; promote another one first, "
            "or go back with `headrace index promote --back`"
        )
    if others := sorted({f"{row['schema']}.{row['view']}" for row in rows}):
        raise StoreMisconfigured(f"the index {name} is read by {', '.join(others)}: drop or change these views first")
