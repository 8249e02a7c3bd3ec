"""A vector index is built beside the writers, searches and readers' queries use it, and none is left half done."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

import asyncpg
import msgspec
import numpy as np
import pytest

from consumers.stores import building
from consumers.stores.building import Build, Order, graph_bytes, lists_for
from consumers.stores.catalog import Catalog
from consumers.stores.pgvector import PgVectorStore
from consumers.stores.searching import Place
from schemas.catalog import Progress, VectorIndex
from schemas.errors import StoreMisconfigured, StoreUnavailable
from schemas.index import ChunkRow, Fingerprint, Outcome
from schemas.settings import StoreSettings
from tests.contract.changes import FINGERPRINT, at, put

SQL: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
DOCUMENTS = 60


def settings(database: str, fingerprint: Fingerprint = FINGERPRINT, *, pgbouncer: bool = False) -> StoreSettings:
    told = {"dsn": database, "vector_type": fingerprint.vector_type, "pgbouncer": pgbouncer}
    return StoreSettings.model_validate(told)


def of(vector_type: str, dimensions: int) -> Fingerprint:
    return msgspec.structs.replace(FINGERPRINT, vector_type=vector_type, dimensions=dimensions)


@asynccontextmanager
async def filled(database: str, fingerprint: Fingerprint = FINGERPRINT) -> AsyncIterator[PgVectorStore]:
    """Give an index with documents of one chunk; vector n is more along axis 1 the higher n is."""
    async with PgVectorStore(settings(database, fingerprint)) as store:
        await store.create(fingerprint)
        changes = []
        for n in range(DOCUMENTS):
            change = put(f"doc-{n}", f"text {n}", origin=at(n))
            chunk = ChunkRow(f"text {n}", change.chunks[0].hash, 1, leaning(n, fingerprint.dimensions))
            changes.append(msgspec.structs.replace(change, chunks=(chunk,)))
        assert set(await store.write(changes)) == {Outcome.STORED}
        yield store


def leaning(n: int, dimensions: int) -> bytes:
    vector = np.zeros(dimensions)
    vector[:2] = np.cos(n / DOCUMENTS), np.sin(n / DOCUMENTS)
    return vector.astype(">f4").tobytes()


@pytest.fixture
async def sql(database: str) -> AsyncIterator[SQL]:
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


async def build(database: str, order: Order | None = None, fingerprint: Fingerprint = FINGERPRINT) -> building.Built:
    return await Build(settings(database, fingerprint), "docs", order or Order()).run(DOCUMENTS, lambda _: None)


async def vector_indexes(database: str) -> tuple[VectorIndex, ...]:
    return (await Catalog(settings(database)).index("docs")).vector_indexes


async def plan(sql: SQL, statement: str) -> str:
    await sql.execute("SET enable_seqscan = off; SET jit = off")
    return "\n".join(row[0] for row in await sql.fetch(f"EXPLAIN {statement}"))


@pytest.mark.parametrize("kind", ["hnsw", "ivfflat"])
@pytest.mark.parametrize(("vector_type", "dimensions"), [("vector", 3), ("halfvec", 3), ("vector", 2100)])
async def test_a_search_and_a_query_on_the_views_use_the_index(
    database: str, sql: SQL, vector_type: str, dimensions: int, kind: str
) -> None:
    fingerprint = of(vector_type, dimensions)
    async with filled(database, fingerprint) as store:
        before = [hit.id for hit in await store.search(leaning(30, dimensions), limit=3)]
        order = Order("ivfflat", lists=1) if kind == "ivfflat" else Order()
        built = await build(database, order, fingerprint)
        assert (built.vector_index.kind, built.vector_index.valid) == (kind, True)
        assert before[0] == "doc-30"
        assert [hit.id for hit in await store.search(leaning(30, dimensions), limit=3)] == before
    place = Place('"docs"', "public", vector_type, dimensions)
    half = "" if (vector_type, dimensions) == ("vector", 3) else f"::halfvec({dimensions})"
    query = f"'{[1] + [0] * (dimensions - 1)}'"
    searched = place.queries(exact=False)["search"]
    for parameter, value in {"$1": f"{query}::{vector_type}", "$2": "3", "$3": "NULL", "$4": "NULL"}.items():
        searched = searched.replace(parameter, value)
    own = f"SELECT text FROM headrace.chunks ORDER BY embedding{half} <=> {query} LIMIT 3"  # noqa: S608 - our own words
    assert "Index Scan using chunks_embedding" in await plan(sql, searched)
    assert "Index Scan using chunks_embedding" in await plan(sql, own)
    exact = place.queries(exact=True)["search"]
    assert exact.count("c.embedding OPERATOR(public.<=>) $1") == 2


async def test_a_build_tells_how_far_it_is(database: str, sql: SQL) -> None:
    seen: list[Progress] = []
    async with filled(database):
        async with sql.transaction():
            await sql.execute("UPDATE docs.chunks SET tokens = 2")  # a build waits for writers that were there before
            task = asyncio.create_task(Build(settings(database), "docs", Order()).run(DOCUMENTS, seen.append))
            await until(lambda: bool(seen))
        assert (await task).vector_index.valid
    assert "waiting for writers" in seen[0].phase
    assert all(one.done is None or 0 <= one.done <= 1 for one in seen)
    assert [one.seconds for one in seen] == sorted(one.seconds for one in seen)


async def test_an_interrupted_build_leaves_nothing(database: str, sql: SQL) -> None:
    seen: list[Progress] = []
    async with filled(database):
        async with sql.transaction():
            await sql.execute("UPDATE docs.chunks SET tokens = 2")
            task = asyncio.create_task(Build(settings(database), "docs", Order()).run(DOCUMENTS, seen.append))
            await until(lambda: bool(seen))
            [begun] = await vector_indexes(database)
            assert not begun.valid
            assert begun.builder is not None
            with pytest.raises(StoreMisconfigured, match=f"process {begun.builder} .* builds"):
                await build(database)
            task.cancel()
            await asyncio.sleep(0.3)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await vector_indexes(database) == ()


async def test_a_build_whose_session_is_ended_leaves_nothing(database: str, sql: SQL) -> None:
    seen: list[Progress] = []
    async with filled(database):
        async with sql.transaction():
            await sql.execute("UPDATE docs.chunks SET tokens = 2")
            task = asyncio.create_task(Build(settings(database), "docs", Order()).run(DOCUMENTS, seen.append))
            await until(lambda: bool(seen))
            [begun] = await vector_indexes(database)
            await sql.execute("SELECT pg_terminate_backend($1)", begun.builder)
        with pytest.raises(StoreUnavailable):
            await task
        assert await vector_indexes(database) == ()


async def test_what_an_earlier_build_left_is_removed_and_built_anew(database: str, sql: SQL) -> None:
    async with filled(database):
        await build(database)
        await sql.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'docs.chunks_embedding'::regclass")
        assert [(one.valid, one.builder) for one in await vector_indexes(database)] == [(False, None)]
        built = await build(database)
    assert built.leftovers == ("chunks_embedding",)
    assert [one.valid for one in await vector_indexes(database)] == [True]


async def test_a_valid_one_is_replaced_only_on_demand_and_not_before_the_new_one_is_there(database: str) -> None:
    async with filled(database):
        await build(database)
        with pytest.raises(StoreMisconfigured, match="--again"):
            await build(database)
        built = await build(database, Order(m=8, ef_construction=32, again=True))
    assert built.replaced == ("chunks_embedding",)
    [left] = await vector_indexes(database)
    assert (left.name, left.options) == ("chunks_embedding_2", ("m=8", "ef_construction=32"))


async def test_vectors_that_pgvector_can_not_index_are_refused(database: str) -> None:
    fingerprint = of("vector", 4100)
    async with filled(database, fingerprint) as store:
        with pytest.raises(StoreMisconfigured, match="at most 4,000 dimensions"):
            await build(database, fingerprint=fingerprint)
        found = await store.search(leaning(7, 4100), limit=1)
    assert [hit.id for hit in found] == ["doc-7"]


async def test_ivfflat_is_not_built_on_nothing(database: str) -> None:
    async with PgVectorStore(settings(database)) as store:
        await store.create(FINGERPRINT)
    with pytest.raises(StoreMisconfigured, match="holds no chunks"):
        await Build(settings(database), "docs", Order("ivfflat")).run(0, lambda _: None)


async def test_a_pooler_is_no_place_to_build_from(database: str) -> None:
    async with filled(database):
        with pytest.raises(StoreMisconfigured, match="PgBouncer"):
            await Build(settings(database, pgbouncer=True), "docs", Order()).run(DOCUMENTS, lambda _: None)


async def test_a_session_builds_with_the_memory_and_the_helpers_it_is_told(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    make = Build._make

    async def looking(self: Build, connection: SQL, *rest: object) -> None:
        names = ("maintenance_work_mem", "max_parallel_maintenance_workers", "lock_timeout")
        told.extend([await connection.fetchval(f"SHOW {name}") for name in names])
        await make(self, connection, *rest)  # type: ignore[arg-type] # what it was called with

    monkeypatch.setattr(Build, "_make", looking)
    async with filled(database):
        built = await build(database, Order(memory="96MB", parallel=0))
    assert told == ["96MB", "0", "0"]
    assert built.memory_mib == 96


def test_lists_are_what_the_authors_of_pgvector_advise() -> None:
    assert [lists_for(chunks) for chunks in (5, 200_000, 4_000_000)] == [10, 200, 2000]


def test_a_graph_is_estimated_by_its_vectors_and_its_edges() -> None:
    assert graph_bytes(1000, 1536, None) == 1000 * (6144 + 512 + 200)


async def test_the_statement_for_a_dba_is_one_that_builds(database: str, sql: SQL) -> None:
    async with filled(database):
        await sql.execute(await Build(settings(database), "docs", Order(m=8)).script(DOCUMENTS))
    [made] = await vector_indexes(database)
    assert (made.valid, made.options) == (True, ("m=8",))


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.05)
