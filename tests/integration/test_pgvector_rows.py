"""I8: what is stored is not written again; and what the tables hold after a write."""

from collections.abc import AsyncIterator

import asyncpg
import msgspec
import pytest
from pydantic import SecretStr

from consumers.stores.pgvector import PgVectorStore
from schemas.index import Change, ChunkRow, Counts, Outcome
from schemas.settings import StoreSettings
from tests.contract.changes import FINGERPRINT, at, delete, hashed, packed, put, texts, touch, vector

CHUNKS = (
    "SELECT document_id, ordinal, ctid::text, xmin::text, embedded_at FROM docs.chunks ORDER BY document_id, ordinal"
)
DOCUMENTS = "SELECT id, ctid::text, xmin::text FROM docs.documents ORDER BY id"


@pytest.fixture
async def store(database: str) -> AsyncIterator[PgVectorStore]:
    async with PgVectorStore(StoreSettings(dsn=SecretStr(database))) as store:
        await store.create(FINGERPRINT)
        yield store


@pytest.fixture
async def sql(store: PgVectorStore, database: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    assert store
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


async def test_a_redelivery_writes_no_row_at_all(
    store: PgVectorStore, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    group = [put("a", "one", "two", origin=at(1)), delete("b", origin=at(2))]
    await store.write(group)
    before = await sql.fetch(CHUNKS), await sql.fetch(DOCUMENTS)
    assert await store.write(group) == [Outcome.UNCHANGED, Outcome.DELETED]
    assert (await sql.fetch(CHUNKS), await sql.fetch(DOCUMENTS)) == before


async def test_a_touch_and_the_same_content_written_again_leave_every_chunk_row(
    store: PgVectorStore, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await store.write([put("a", "one", "two", origin=at(1))])
    before = await sql.fetch(CHUNKS)
    await store.write([touch("a", "one", "two", origin=at(2))])
    await store.write([put("a", "one", "two", origin=at(3))])
    assert await sql.fetch(CHUNKS) == before


async def test_chunks_that_stay_in_their_place_are_not_written_when_others_change(
    store: PgVectorStore, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await store.write([put("a", "one", "two", "three", origin=at(1))])
    before = await sql.fetch(CHUNKS)
    await store.write([put("a", "one", "new", "three", origin=at(2), kept=("one", "three"))])
    after = await sql.fetch(CHUNKS)
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, False, True]


async def test_a_vector_that_moves_keeps_its_bytes_and_the_time_it_was_embedded(
    store: PgVectorStore, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await store.write([put("a", "one", "two", origin=at(1))])
    moving = "SELECT embedding::text, embedded_at FROM docs.chunks WHERE text = 'two'"
    before = await sql.fetchrow(moving)
    await store.write([put("a", "two", origin=at(2), kept=("two",))])
    assert await sql.fetchrow(moving) == before
    assert await sql.fetchval("SELECT ordinal FROM docs.chunks") == 0


async def test_a_vector_arrives_bit_for_bit(store: PgVectorStore, sql: "asyncpg.Connection[asyncpg.Record]") -> None:
    await store.write([put("a", "text", origin=at(1))])
    assert await sql.fetchval("SELECT vector_send(embedding) FROM docs.chunks") == b"\0\3\0\0" + vector("text")


async def test_a_document_row_says_all_that_is_known(
    store: PgVectorStore, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    change = put("a", "one", "two", origin=at(7, partition=3), version=9, tenant="we", metadata='{"n": [1]}')
    await store.write([change])
    [found] = await sql.fetch("SELECT * FROM docs.documents")
    row = dict(found)
    times = {name: row.pop(name) for name in ("embedded_at", "stored_at")}
    assert None not in times.values()
    assert row == {
        "tenant": "we",
        "id": "a",
        "version": 9,
        "origin_topic": "docs.raw",
        "origin_partition": 3,
        "origin_offset": 7,
        "origin_timestamp": 1_007_000,
        "log_append_time": True,
        "fence_ts": 1_007_000,
        "content_hash": hashed("one", "two", size=32),
        "chunk_count": 2,
        "title": "title of a",
        "metadata": '{"n": [1]}',
        "deleted_at": None,
        "revision": 1,
    }


async def test_a_tombstone_keeps_nothing_of_the_content(
    store: PgVectorStore, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await store.write([put("a", "one", origin=at(1), metadata="{}")])
    await store.write([delete("a", origin=at(2))])
    [row] = await sql.fetch(
        "SELECT content_hash, chunk_count, title, metadata, embedded_at, deleted_at = stored_at FROM docs.documents"
    )
    assert tuple(row) == (None, 0, None, None, None, True)


async def test_no_chunk_is_older_than_its_document_says(
    store: PgVectorStore, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await store.write([put("a", "one", "two", origin=at(1))])
    await store.write([put("a", "new", "one", origin=at(2), kept=("one",))])
    assert await sql.fetchval(
        "SELECT bool_and(c.embedded_at >= d.embedded_at) FROM docs.documents AS d JOIN docs.chunks AS c ON true"
    )


async def test_thousands_of_chunks_and_documents_fit_one_group(store: PgVectorStore) -> None:
    long = put("long", *(f"chunk {n}" for n in range(6_000)), origin=at(1))
    group = [long, *(put(f"doc-{n}", "text", origin=at(n)) for n in range(2, 34_000))]
    assert set(await store.write(group)) == {Outcome.STORED}
    assert await store.counts() == Counts(documents=33_999, chunks=39_998, tombstones=0)
    edited = put(
        "long", "first", *(f"chunk {n}" for n in range(5_000)), origin=at(2), kept=[chunk.text for chunk in long.chunks]
    )
    assert await store.write([edited]) == [Outcome.STORED]
    assert (await store.stored_hashes([("default", "long")]))["default", "long"] == {c.hash for c in edited.chunks}


async def test_halves_of_vectors_are_stored_moved_and_searched(database: str) -> None:
    settings = StoreSettings(dsn=SecretStr(database), index="halves", vector_type="halfvec")
    async with PgVectorStore(settings) as store:
        await store.create(msgspec.structs.replace(FINGERPRINT, vector_type="halfvec"))
        await store.write([put("a", "one", "two", origin=at(1))])
        assert await store.write([put("a", "new", "one", "two", origin=at(2), kept=("one", "two"))]) == [Outcome.STORED]
        assert await texts(store, "a") == ["new", "one", "two"]
        [best] = await store.search(vector("two"), limit=1)
        assert best.text == "two"
        assert best.score == pytest.approx(1, abs=1e-3)


async def test_a_number_too_large_for_a_half_is_refused_and_does_not_become_infinite(database: str) -> None:
    settings = StoreSettings(dsn=SecretStr(database), index="halves", vector_type="halfvec")
    async with PgVectorStore(settings) as store:
        await store.create(msgspec.structs.replace(FINGERPRINT, vector_type="halfvec"))
        chunk = ChunkRow("x", b"x", 1, packed(1, 1e9, 0))
        with pytest.raises(Exception, match="infinite") as refused:
            await store.write([msgspec.structs.replace(put("a", origin=at(1)), chunks=(chunk,))])
        assert type(refused.value).__name__ == "RowRejected"


async def test_readers_find_the_promoted_index_without_its_tombstones(
    store: PgVectorStore, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await store.write([put("a", "one", origin=at(1), metadata='{"n": 1}'), delete("b", origin=at(2))])
    documents = await sql.fetch("SELECT index, model, dimensions, id, metadata ->> 'n' FROM headrace.documents")
    assert [tuple(row) for row in documents] == [("docs", "tiny", 3, "a", "1")]
    nearest = await sql.fetch(
        "SELECT index, model, dimensions, document_id, text FROM headrace.chunks "
        "WHERE model = 'tiny' ORDER BY embedding <=> '[1,0,0]' LIMIT 1"
    )
    assert [tuple(row) for row in nearest] == [("docs", "tiny", 3, "a", "one")]


async def test_a_reader_s_search_through_the_view_uses_an_hnsw_index(
    store: PgVectorStore, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await store.write([put(f"{n}", f"{n}", origin=at(n)) for n in range(300)])
    await sql.execute(
        "CREATE INDEX nearest ON docs.chunks USING hnsw (embedding vector_cosine_ops); ANALYZE docs.chunks"
    )
    await sql.execute("SET enable_seqscan = off")
    plan = await sql.fetch("EXPLAIN SELECT text FROM headrace.chunks ORDER BY embedding <=> '[1,0,0]' LIMIT 5")
    assert "Index Scan using nearest" in str(plan)


async def test_a_search_through_an_hnsw_index_fills_its_limit_behind_a_filter(
    store: PgVectorStore, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    group: list[Change] = [put(f"{n}", f"{n}", origin=at(n)) for n in range(2_000)]
    group += [put(f"{n}", f"ours {n}", origin=at(n), tenant="we") for n in range(2_000, 2_100)]
    await store.write(group)
    await sql.execute(
        "CREATE INDEX nearest ON docs.chunks USING hnsw (embedding vector_cosine_ops); ANALYZE docs.chunks"
    )
    assert len(await store.search(packed(1, 0, 0), limit=100)) == 100
    assert len(await store.search(packed(1, 0, 0), limit=100, tenant="we")) == 100


async def test_a_large_index_is_counted_by_estimate(
    store: PgVectorStore, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await store.write([put("a", "one", origin=at(1)), delete("b", origin=at(2))])
    await sql.execute("UPDATE pg_class SET reltuples = 500000 WHERE oid = 'docs.chunks'::regclass")
    await sql.execute("UPDATE pg_class SET reltuples = 200001 WHERE oid = 'docs.documents'::regclass")
    assert await store.counts() == Counts(documents=200_000, chunks=500_000, tombstones=1, estimated=True)


async def test_probes_stay_probes_of_the_key_on_a_table_that_was_analyzed_while_empty(
    store: PgVectorStore, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await sql.execute("ANALYZE docs.documents; ANALYZE docs.chunks")
    for n in range(12):
        await store.write([put(f"{n} {m}", "one", "two", origin=at(n * 500 + m)) for m in range(500)])
        await store.write([put(f"{n} {m}", "one", origin=at(9_000 + n * 500 + m), kept=("one",)) for m in range(500)])
    await store.aclose()  # a server process tells what it did at its end
    scans = await sql.fetch(
        "SELECT relname, seq_tup_read, idx_scan > 0 FROM pg_stat_user_tables WHERE relname IN ('documents', 'chunks')"
    )
    assert sorted(map(tuple, scans)) == [("chunks", 0, True), ("documents", 0, True)]
