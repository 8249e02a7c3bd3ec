"""Readers' views are switched between two statements, to an index that has what they need, and back again."""

import asyncio
from collections.abc import AsyncIterator
from typing import TypeAlias

import asyncpg
import msgspec
import pytest
from pydantic import SecretStr

from compose import indexes
from compose.configuration import load
from compose.overlap import overlap
from consumers.stores.building import Build, Order
from consumers.stores.catalog import Catalog
from consumers.stores.coverage import Comparison
from consumers.stores.pgvector import PgVectorStore
from consumers.stores.promotion import Promotion
from schemas.catalog import Coverage, State
from schemas.errors import ConfigurationError, StoreMisconfigured, StoreUnavailable
from schemas.index import Change, Fingerprint
from schemas.settings import Settings, StoreSettings
from tests.contract.changes import FINGERPRINT, at, delete, packed, put, touch

SQL: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
OTHER = msgspec.structs.replace(FINGERPRINT, model="other")
RECUT = msgspec.structs.replace(FINGERPRINT, chunking="auto/9/0")
WIDER = msgspec.structs.replace(FINGERPRINT, model="wider", dimensions=4)
TEN = [put(f"doc-{n}", f"text {n}", origin=at(n)) for n in range(10)]


def store_settings(database: str, index: str = "docs") -> StoreSettings:
    return StoreSettings(dsn=SecretStr(database), index=index)


def settings_for(database: str) -> Settings:
    return load(None, {"HEADRACE_STORE__DSN": database}, {}).settings


async def fill(database: str, index: str, changes: list[Change], fingerprint: Fingerprint = FINGERPRINT) -> None:
    """Make an index if it is not there, and write into it; of four dimensions where the fingerprint says so."""
    async with PgVectorStore(store_settings(database, index)) as store:
        await store.create(fingerprint)
        if fingerprint.dimensions == 4:
            changes = [msgspec.structs.replace(one, chunks=tuple(map(_wider, one.chunks))) for one in changes]
        await store.write(changes)


def _wider(chunk: msgspec.Struct) -> msgspec.Struct:
    return msgspec.structs.replace(chunk, vector=packed(1, 0, 0, 0))


async def promote(database: str, name: str, pair: str = "default", *, even: bool = False) -> indexes.Promoted:
    return await indexes.promote(settings_for(database), name, pair, even_if_incomplete=even)


@pytest.fixture
async def sql(database: str) -> AsyncIterator[SQL]:
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexes, "PATIENCE_S", 0.6)


async def read_by(sql: SQL) -> tuple[set[str], set[str]]:
    """Return which indexes the two views are of."""
    documents, chunks = [
        {row["index"] for row in await sql.fetch(f"SELECT DISTINCT index FROM headrace.{view}")}  # noqa: S608 - our own words
        for view in ("documents", "chunks")
    ]
    return documents, chunks


async def test_views_are_switched_to_an_index_of_other_dimensions_and_back(database: str, sql: SQL) -> None:
    await fill(database, "docs", TEN)
    await fill(database, "wide", TEN, WIDER)
    await sql.execute("CREATE VIEW public.own AS SELECT id, model FROM headrace.documents")
    done = await promote(database, "wide")
    assert (done.switched.previous, done.coverage and done.coverage.same) == ("docs", 10)
    assert await read_by(sql) == ({"wide"}, {"wide"})
    assert await sql.fetchval("SELECT DISTINCT model FROM public.own") == "wider"
    assert await sql.fetchval("SELECT DISTINCT dimensions FROM headrace.chunks") == 4
    assert (await promote(database, "wide")).switched.previous == "wide"
    for expected in ("docs", "wide", "docs"):
        assert (await indexes.go_back(settings_for(database), "default")).switched.index == expected
        assert await read_by(sql) == ({expected}, {expected})


async def test_readers_that_hold_the_views_are_waited_for_and_never_block_each_other_for_long(
    database: str, sql: SQL
) -> None:
    await fill(database, "docs", TEN)
    await fill(database, "other", TEN, OTHER)
    reader = await asyncpg.connect(database)
    async with sql.transaction(isolation="repeatable_read"):
        await sql.fetch("SELECT * FROM headrace.chunks")
        task = asyncio.create_task(Promotion(store_settings(database)).to("other", "a test"))
        for _ in range(10):
            began = asyncio.get_running_loop().time()
            assert await reader.fetchval("SELECT count(*) FROM headrace.documents") == 10
            assert asyncio.get_running_loop().time() - began < 5, "a reader waits behind the promotion"
            await asyncio.sleep(0.1)
        assert not task.done()
        assert await read_by(sql) == ({"docs"}, {"docs"}), "what one transaction has begun to read stays"
    assert (await task).attempts > 1
    assert await read_by(sql) == ({"other"}, {"other"})
    await reader.close()


async def test_a_promotion_that_never_gets_the_views_changes_nothing(database: str, sql: SQL) -> None:
    await fill(database, "docs", TEN)
    await fill(database, "other", TEN, OTHER)
    async with sql.transaction():
        await sql.fetch("SELECT * FROM headrace.chunks")
        with pytest.raises(StoreUnavailable, match="nothing was changed"):
            await Promotion(store_settings(database), patience_s=0.5).to("other", "a test")
    assert await read_by(sql) == ({"docs"}, {"docs"})
    with pytest.raises(StoreMisconfigured, match="nothing to go back to"):
        await indexes.go_back(settings_for(database), "default")


async def test_further_pairs_of_views_stand_beside_the_first(database: str, sql: SQL) -> None:
    await fill(database, "docs", TEN)
    await fill(database, "other", TEN[:3], OTHER)
    await promote(database, "other", "preview")
    assert await sql.fetchval("SELECT count(*) FROM headrace.preview_documents") == 3
    assert await sql.fetchval("SELECT DISTINCT index FROM headrace.preview_chunks") == "other"
    assert await read_by(sql) == ({"docs"}, {"docs"})
    assert {one.name: one.promoted for one in await Catalog(store_settings(database)).indexes()} == {
        "docs": ("default",),
        "other": ("preview",),
    }


async def test_an_empty_index_is_not_promoted(database: str, sql: SQL) -> None:
    await fill(database, "docs", TEN)
    await fill(database, "other", [], OTHER)
    with pytest.raises(ConfigurationError, match=r"is empty.*--even-if-incomplete"):
        await promote(database, "other")
    assert await read_by(sql) == ({"docs"}, {"docs"})


async def test_an_incomplete_index_is_promoted_only_by_those_who_insist(database: str, sql: SQL) -> None:
    await fill(database, "docs", [*TEN, put("doc-0", "newer", origin=at(50))])
    await fill(database, "other", TEN[:8], OTHER)
    with pytest.raises(ConfigurationError, match="lacks 2 documents of docs and has 1 in an older version"):
        await promote(database, "other")
    assert await read_by(sql) == ({"docs"}, {"docs"})
    await promote(database, "other", even=True)
    assert await read_by(sql) == ({"other"}, {"other"})


async def test_an_index_without_a_vector_index_does_not_replace_one_with(database: str) -> None:
    await fill(database, "docs", TEN)
    await fill(database, "other", TEN, OTHER)
    await Build(store_settings(database), "docs", Order()).run(10, lambda _: None)
    with pytest.raises(ConfigurationError, match=r"no vector index.*headrace index build other"):
        await promote(database, "other")
    await Build(store_settings(database), "other", Order()).run(10, lambda _: None)
    await promote(database, "other")


async def test_what_is_on_its_way_is_waited_for_and_what_comes_meanwhile_is_not(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexes, "PATIENCE_S", 20.0)
    await fill(database, "docs", TEN)
    await fill(database, "other", TEN[:5], OTHER)
    task = asyncio.create_task(promote(database, "other"))
    later = [put(f"later-{n}", "text", origin=at(100 + n)) for n in range(10)]
    for n in range(5, 10):
        assert not task.done()
        await fill(database, "docs", [later[n]])
        await fill(database, "other", [TEN[n], later[n - 1]], OTHER)
        await asyncio.sleep(0.1)
    assert (await task).switched.index == "other"


async def test_a_promoted_index_is_not_dropped_and_neither_is_one_that_somebody_reads(database: str, sql: SQL) -> None:
    await fill(database, "docs", TEN)
    await fill(database, "other", TEN, OTHER)
    catalog = Catalog(store_settings(database))
    with pytest.raises(StoreMisconfigured, match=r"promoted: headrace\.documents, headrace\.chunks read it"):
        await catalog.drop("docs")
    await sql.execute("CREATE VIEW public.own AS SELECT id FROM other.documents")
    with pytest.raises(StoreMisconfigured, match=r"read by public\.own"):
        await catalog.drop("other")
    await sql.execute("DROP VIEW public.own")
    await promote(database, "other")
    await catalog.drop("docs")
    assert await catalog.names() == ["other"]
    with pytest.raises(StoreMisconfigured, match="or it was dropped"):
        await indexes.go_back(settings_for(database), "default")
    with pytest.raises(StoreMisconfigured, match="there is no index docs in this database: there are other"):
        await promote(database, "docs")


async def test_only_schemas_that_hold_an_index_are_indexes(database: str, sql: SQL) -> None:
    assert await Catalog(store_settings(database)).indexes() == []
    with pytest.raises(StoreMisconfigured, match="run `headrace init`"):
        await promote(database, "docs")
    await sql.execute("CREATE SCHEMA shop; CREATE TABLE shop.documents (id int); CREATE TABLE shop.chunks (id int)")
    await fill(database, "docs", TEN)
    [one] = await Catalog(store_settings(database)).indexes()
    assert (one.name, one.fingerprint, one.counts.documents, one.promoted) == ("docs", FINGERPRINT, 10, ("default",))
    assert one.bytes > 10_000
    assert (one.vector_index, one.purged_before) == (None, None)


@pytest.mark.parametrize("fingerprint", [FINGERPRINT, OTHER, RECUT], ids=["same", "other model", "cut otherwise"])
async def test_documents_are_compared_by_id_record_and_content(database: str, fingerprint: Fingerprint) -> None:
    records = at(20), at(21)
    await fill(
        database,
        "docs",
        [
            *TEN[:4],
            put("missing", "x", origin=at(10)),
            put("stale", "new", origin=records[1]),
            put("ahead", "old", origin=records[0]),
            put("republished", "same", origin=records[1]),
            delete("not deleted there", origin=records[1]),
            put("deleted there", "x", origin=records[0]),
            delete("gone", origin=at(30)),
            put("odd", "x", origin=at(31)),
        ],
    )
    await fill(
        database,
        "other",
        [
            *TEN[:4],
            put("stale", "old", origin=records[0]),
            put("ahead", "new", origin=records[1]),
            put("republished", "same", origin=records[0]),
            put("not deleted there", "x", origin=records[0]),
            delete("deleted there", origin=records[1]),
            delete("gone", origin=at(29)),
            delete("never seen", origin=at(28)),
            put("extra", "x", origin=at(12)),
            put("odd", "x", origin=at(31), metadata='{"a": 1}'),
        ],
        fingerprint,
    )
    comparison = Comparison(store_settings(database), "docs", "other")
    coverage = await comparison.coverage()
    # Chunks that are cut in another way can not be compared: the older record counts as stale.
    known = fingerprint is not RECUT
    expected = Coverage(coverage.at, same=4 + known, missing=1, stale=3 - known, ahead=2, extra=1, differing=1)
    assert coverage == expected
    found = {one.id: one for one in await comparison.differences(100)}
    assert {id_: one.state for id_, one in found.items() if id_ != "republished"} == {
        "missing": State.MISSING,
        "stale": State.STALE,
        "not deleted there": State.STALE,
        "ahead": State.AHEAD,
        "deleted there": State.AHEAD,
        "extra": State.EXTRA,
        "odd": State.DIFFERING,
    }
    assert (found["stale"].reference, found["stale"].index) == ("docs.raw/0/21", "docs.raw/0/20")
    assert found["missing"].index is None
    assert len(await comparison.differences(2)) == 2


async def test_an_older_record_with_other_metadata_is_stale_though_its_text_is_the_same(database: str) -> None:
    await fill(database, "docs", [put("a", "x", origin=at(1))])
    await fill(database, "docs", [touch("a", "x", origin=at(2), metadata='{"a": 1}')])
    await fill(database, "other", [put("a", "x", origin=at(1))], OTHER)
    assert (await Comparison(store_settings(database), "docs", "other").coverage()).stale == 1


async def test_neighbours_are_the_same_in_a_copy_and_others_where_vectors_are(database: str) -> None:
    await fill(database, "docs", TEN)
    await fill(database, "copy", TEN)
    await fill(database, "wide", [*TEN[:3], put("else", "x", origin=at(99))], WIDER)
    settings = settings_for(database)
    alike = await overlap(settings, "docs", "copy", 3, sample=5)
    assert alike is not None
    assert (alike.recall, alike.jaccard, len(alike.queries)) == (1.0, 1.0, 5)
    other = await overlap(settings, "docs", "wide", 3, sample=5)
    assert other is not None
    assert other.recall < 1.0
    assert [one.jaccard for one in other.queries] == sorted(one.jaccard for one in other.queries)
    await fill(database, "strange", [put("else", "x", origin=at(99))], OTHER)
    assert await overlap(settings, "docs", "strange", 3, sample=5) is None


async def test_the_script_for_a_dba_switches_the_views(database: str, sql: SQL) -> None:
    await fill(database, "docs", TEN)
    await fill(database, "wide", TEN, WIDER)
    await sql.execute(await Promotion(store_settings(database)).script("wide"))
    assert await read_by(sql) == ({"wide"}, {"wide"})
