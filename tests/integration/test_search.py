"""Searches through a vector index: it is used, and what it gives up on is found without it."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from pydantic import SecretStr

from consumers.stores.pgvector import PgVectorStore
from schemas.settings import StoreSettings
from tests.contract.changes import FINGERPRINT, at, packed, put

RARE, ALL = 20, 2_000
QUERY = packed(1, 0, 0)


@pytest.fixture
async def sql(database: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


@pytest.fixture
async def store(database: str, sql: "asyncpg.Connection[asyncpg.Record]") -> AsyncIterator[PgVectorStore]:
    """Fill an index of which every hundredth document is rare, and let HNSW give up early."""
    settings = StoreSettings(dsn=SecretStr(database))
    async with PgVectorStore(settings) as store:
        await store.create(FINGERPRINT)
        every = ALL // RARE
        await store.write(
            [put(f"{n}", f"{n}", origin=at(n), metadata=f'{{"rare": {n % every == 0:d}}}') for n in range(ALL)]
        )
        await sql.execute("CREATE INDEX nearest ON docs.chunks USING hnsw (embedding vector_cosine_ops)")
        await sql.execute("ANALYZE docs.chunks; ANALYZE docs.documents")
        name = await sql.fetchval("SELECT current_database()")
        await sql.execute(f'ALTER DATABASE "{name}" SET hnsw.max_scan_tuples = 200')
    async with PgVectorStore(settings) as store:
        yield store


async def scans(store: PgVectorStore, sql: "asyncpg.Connection[asyncpg.Record]") -> int:
    """Count how often the vector index was used; a server process tells at its end."""
    await store.aclose()
    while await sql.fetchval("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'headrace docs'"):
        await asyncio.sleep(0.05)
    return int(await sql.fetchval("SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'nearest'"))


async def test_a_filter_behind_which_the_index_gives_up_still_fills_the_limit(
    store: PgVectorStore, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    where = ['{"rare": 1}']
    found = await store.search(QUERY, limit=RARE, where=where)
    exact = await store.search(QUERY, limit=RARE, where=where, exact=True)
    assert len(found) == RARE
    assert found == exact
    assert await scans(store, sql) == 1, "it was asked first"


async def test_a_filter_that_many_pass_is_answered_by_the_index_alone(
    store: PgVectorStore, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    found = await store.search(QUERY, limit=10, where=['{"rare": 0}'], tenant="default")
    assert [hit.metadata for hit in found] == ['{"rare": 0}'] * 10
    assert [hit.score for hit in found] == sorted((hit.score for hit in found), reverse=True)
    assert await scans(store, sql) == 1


async def test_an_exact_search_uses_no_vector_index_and_more_candidates_come_closer_to_it(
    store: PgVectorStore, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    exact = [hit.id for hit in await store.search(QUERY, limit=50, exact=True)]
    wide = [hit.id for hit in await store.search(QUERY, limit=50, ef=400)]
    assert len(set(exact) & set(wide)) >= 49
    assert await scans(store, sql) == 1
