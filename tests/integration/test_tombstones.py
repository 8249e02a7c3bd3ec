"""Which tombstones go, on a real database: by age, by what they guard against, and by version."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta

import asyncpg
import pytest
from pydantic import SecretStr

from consumers.stores import tombstones as module
from consumers.stores.pgvector import PgVectorStore
from consumers.stores.tombstones import Guard, Old, Tombstones
from schemas.index import Outcome
from schemas.settings import StoreSettings
from tests.contract.changes import FINGERPRINT, at, delete, put

NOTHING = Guard(2**63 - 1, versions=False)


@pytest.fixture
async def store(database: str) -> AsyncIterator[PgVectorStore]:
    async with PgVectorStore(StoreSettings(dsn=SecretStr(database))) as store:
        await store.create(FINGERPRINT)
        yield store


@pytest.fixture
async def tombstones(database: str, store: PgVectorStore) -> AsyncIterator[Tombstones]:
    assert store
    async with Tombstones(StoreSettings(dsn=SecretStr(database))) as tombstones:
        yield tombstones


@pytest.fixture
async def sql(database: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


async def purged(tombstones: Tombstones, guard: Guard, *, age_s: float = 0) -> list[int]:
    async with aclosing(tombstones.purge(await tombstones.time_ago(age_s), guard)) as batches:
        return [gone async for gone in batches]


async def left(sql: "asyncpg.Connection[asyncpg.Record]") -> list[str]:
    return [row["id"] for row in await sql.fetch("SELECT id FROM docs.documents ORDER BY id")]


async def test_only_tombstones_of_an_age_go_in_batches(
    store: PgVectorStore, tombstones: Tombstones, sql: "asyncpg.Connection[asyncpg.Record]",
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(module, "BATCH", 2)
    await store.write([put("here", "text", origin=at(1)), *(delete(f"old {n}", origin=at(n)) for n in range(2, 7))])
    await sql.execute("UPDATE docs.documents SET deleted_at = now() - interval '31 days' WHERE id LIKE 'old%'")
    await store.write([delete("new", origin=at(9))])
    before = await tombstones.time_ago(timedelta(days=30).total_seconds())
    assert await tombstones.count_old(before, NOTHING) == Old(5, 0, 0)
    assert await purged(tombstones, NOTHING, age_s=30 * 86_400) == [2, 2, 1]
    assert await left(sql) == ["here", "new"]


async def test_what_guards_against_an_older_record_stays(
    store: PgVectorStore, tombstones: Tombstones, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await store.write([delete(f"{n}", origin=at(n), version=7 if n == 2 else None) for n in range(1, 6)])
    letter = put("4", "text", origin=at(3, at(4).timestamp, partition=1))
    guard = Guard(letter.origin.timestamp, versions=True)
    assert await tombstones.count_old(await tombstones.time_ago(0), guard) == Old(2, 2, 1)
    assert await purged(tombstones, guard) == [2]
    assert await left(sql) == ["2", "4", "5"]
    await sql.execute("UPDATE docs.documents SET origin_partition = 2")
    assert await store.write([letter]) == [Outcome.SUPERSEDED], "the one that stayed is needed"
    assert await purged(tombstones, Guard(letter.origin.timestamp, versions=False)) == [1]


async def test_a_row_that_a_worker_has_locked_is_left_to_the_next_purge(
    store: PgVectorStore, tombstones: Tombstones, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await store.write([delete("a", origin=at(1)), delete("b", origin=at(2))])
    async with sql.transaction():
        await sql.execute("SELECT FROM docs.documents WHERE id = 'a' FOR UPDATE")
        assert await purged(tombstones, NOTHING) == [1]
    assert await left(sql) == ["a"]


async def test_the_index_knows_that_tombstones_may_be_missing_and_never_less_than_before(
    tombstones: Tombstones, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    late, early = await tombstones.time_ago(5), await tombstones.time_ago(50)
    await tombstones.note_purge(late)
    await tombstones.note_purge(early)
    assert await sql.fetchval("SELECT purged_before FROM docs.about") == late


async def test_ids_of_a_tenant_come_a_page_at_a_time_and_only_its_own(
    store: PgVectorStore, tombstones: Tombstones, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    await store.write([put(f"{n}", "text", origin=at(n), tenant="we") for n in range(5)])
    await store.write([put("x", "text", origin=at(7)), delete("3", origin=at(8), tenant="we")])
    async with aclosing(tombstones.live_ids("we")) as ids:
        assert [one async for one in ids] == ["0", "1", "2", "4"]
    async with aclosing(tombstones.live_ids("we", ("docs.raw", {0: 2, 1: 99}))) as ids:
        assert [one async for one in ids] == ["0", "1"]
    async with aclosing(tombstones.live_ids("we", ("another", {0: 2}))) as ids:
        assert [one async for one in ids] == ["0", "1", "2", "4"], "what comes from elsewhere came before"
    assert await tombstones.count_live("we") == 4
    assert await tombstones.live_among("we", ["0", "3", "4", "never"]) == 2
