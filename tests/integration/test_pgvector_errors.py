"""What the real database says, and whose fault that is. Nothing of a refused or interrupted group is left."""

import asyncio
import traceback
from collections.abc import AsyncIterator, Callable
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import msgspec
import pytest
from pydantic import SecretStr

from consumers.stores.pgvector import PgVectorStore
from schemas.errors import RowRejected, StoreMisconfigured, StoreUnavailable
from schemas.index import Change, ChunkRow, Outcome
from schemas.settings import StoreSettings
from tests.contract.changes import FINGERPRINT, at, packed, put, texts, vector

PATIENCE_S = 20.0


def store_in(database: str, **settings: object) -> PgVectorStore:
    return PgVectorStore(StoreSettings(dsn=SecretStr(database), **settings))  # type: ignore[arg-type] # pydantic checks


@pytest.fixture
async def store(database: str) -> AsyncIterator[PgVectorStore]:
    async with store_in(database) as store:
        await store.create(FINGERPRINT)
        yield store


@pytest.fixture
async def sql(store: PgVectorStore, database: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    assert store
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


def with_chunk(text: str, numbers: bytes, metadata: str | None = None) -> Change:
    chunk = ChunkRow(text, b"hash", 1, numbers)
    return msgspec.structs.replace(put("bad", origin=at(1), metadata=metadata), chunks=(chunk,))


@pytest.mark.parametrize(
    ("change", "sqlstate"),
    [
        (with_chunk("x", packed(1, float("nan"), 0)), "22000"),
        (with_chunk("x", packed(1, 2, 3, 4)), "22000"),
        (with_chunk("x", b"four"[:3]), "22000"),
        (with_chunk("x", b""), "22000"),
        (with_chunk("a\0b", vector("x")), "22021"),
        (with_chunk("lone \ud800 surrogate", vector("x")), "22000"),
        (with_chunk("x", vector("x"), metadata='{"a": "\\u0000"}'), "22P05"),
        (with_chunk("x", vector("x"), metadata='{"a": "\\ud800"}'), "22P02"),
        (with_chunk("x", vector("x"), metadata="no json"), "22P02"),
        (put("".join(chr(300 + n * 7_919 % 40_000) for n in range(1_400)), "x", origin=at(1)), "54000"),
        (put("a", "x", origin=at(1), version=2**63), "22003"),
    ],
)
async def test_a_bad_value_is_the_row_s_fault_and_its_group_leaves_nothing(
    store: PgVectorStore, change: Change, sqlstate: str
) -> None:
    with pytest.raises(RowRejected) as refused:
        await store.write([put("good", "text", origin=at(5)), change])
    assert refused.value.sqlstate == sqlstate
    assert (await store.counts()).documents == 0
    assert await store.write([put("good", "text", origin=at(5))]) == [Outcome.STORED]


async def test_a_constraint_that_somebody_added_is_the_row_s_fault(
    store: PgVectorStore, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await sql.execute("ALTER TABLE docs.documents ADD CHECK (title <> 'title of bad')")
    with pytest.raises(RowRejected, match="23514"):
        await store.write([put("bad", "text", origin=at(1))])


async def test_chunks_that_somebody_left_without_their_document_are_replaced(
    store: PgVectorStore, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    assert await store.write([put("a", "before", origin=at(1))]) == [Outcome.STORED]
    await sql.execute("DELETE FROM docs.documents")
    changes = [put("a", "after", origin=at(2)), put("b", "another", origin=at(3))]
    assert await store.write(changes) == [Outcome.STORED, Outcome.STORED]
    rows = await sql.fetch(
        "SELECT document_id, text, embedded_at = now FROM docs.chunks, (SELECT stored_at AS now FROM "
        "docs.documents LIMIT 1) AS d ORDER BY 1"
    )
    assert [tuple(row) for row in rows] == [("a", "after", True), ("b", "another", True)]


@pytest.mark.parametrize("statement", ["DROP TABLE docs.chunks CASCADE", "DROP SCHEMA docs CASCADE"])
async def test_missing_tables_are_configuration(
    store: PgVectorStore, sql: "asyncpg.Connection[asyncpg.Record]", statement: str
) -> None:
    await store.write([put("a", "text", origin=at(1))])
    await sql.execute(statement)
    with pytest.raises(StoreMisconfigured, match="headrace init"):
        await store.write([put("a", "other", origin=at(2))])


@pytest.mark.parametrize(
    "altered",
    [
        pytest.param(lambda parts: parts._replace(path="/nowhere"), id="unknown database"),
        pytest.param(
            lambda parts: parts._replace(netloc=f"x:hunter2@{parts.netloc.rpartition('@')[2]}"), id="password"
        ),
        pytest.param(lambda parts: parts._replace(scheme="mysql"), id="another kind of database"),
        pytest.param(lambda parts: parts._replace(netloc="user:hunter2@localhost:port"), id="no port"),
        pytest.param(lambda parts: parts._replace(query="sslmode=hunter2"), id="unknown option"),
    ],
)
async def test_a_wrong_dsn_is_configuration_and_no_secret_is_told(
    database: str, altered: Callable[[object], tuple[str, str, str, str, str]]
) -> None:
    dsn = urlunsplit(altered(urlsplit(database)))
    async with store_in(dsn) as store:
        for attempt in (store.about, store.counts):
            with pytest.raises(StoreMisconfigured) as refused:
                await attempt()
            told = "".join(traceback.format_exception(refused.value)) + repr(store)
            assert "hunter2" not in told
            assert dsn not in told


async def test_no_dsn_at_all_is_configuration() -> None:
    async with PgVectorStore(StoreSettings()) as store:
        with pytest.raises(StoreMisconfigured, match=r"store\.dsn is not set"):
            await store.counts()


async def test_a_closed_store_opens_nothing_again(store: PgVectorStore) -> None:
    await store.counts()
    await store.aclose()
    await store.aclose()
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.counts()


async def test_a_server_that_is_not_there_is_away() -> None:
    async with store_in("postgresql://user:hunter2@127.0.0.1:1/db") as store:
        for attempt in (store.about, store.counts):
            with pytest.raises(StoreUnavailable) as away:
                await attempt()
            assert "hunter2" not in "".join(traceback.format_exception(away.value))


async def test_a_database_without_the_extension_is_configuration(
    database: str, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await sql.execute("DROP EXTENSION vector CASCADE")
    async with store_in(database) as store:
        with pytest.raises(StoreMisconfigured, match="headrace init"):
            await store.write([put("a", "text", origin=at(1))])


async def test_a_copy_that_only_reads_is_away_and_comes_back(
    store: PgVectorStore, sql: "asyncpg.Connection[asyncpg.Record]", database: str
) -> None:
    name = urlsplit(database).path[1:]
    await sql.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    async with store_in(database) as reading:
        with pytest.raises(StoreUnavailable, match="25006"):
            await reading.write([put("a", "text", origin=at(1))])
    await sql.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    assert await store.write([put("a", "text", origin=at(1))]) == [Outcome.STORED]


async def test_connections_that_an_operator_ends_are_replaced(
    store: PgVectorStore, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await store.write([put("a", "text", origin=at(1))])
    await sql.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'headrace%'")
    async with asyncio.timeout(PATIENCE_S):
        assert await until_it_answers(store, put("b", "text", origin=at(2))) == [Outcome.STORED]


async def test_a_write_that_waits_for_a_row_and_is_cut_leaves_nothing(
    store: PgVectorStore, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await store.write([put("b", "text", origin=at(1))])
    async with sql.transaction():
        await sql.execute("SELECT FROM docs.documents WHERE id = 'b' FOR UPDATE")
        writing = asyncio.create_task(store.write([put("a", "new", origin=at(2)), put("b", "new", origin=at(3))]))
        await until_waiting(sql)
        await sql.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name LIKE 'headrace%' AND wait_event_type = 'Lock'"
        )
        with pytest.raises(StoreUnavailable):
            await writing
    assert (await texts(store, "a"), await texts(store, "b")) == ([], ["text"])


async def test_a_cancelled_write_leaves_nothing_and_its_connection_is_used_again(
    database: str, store: PgVectorStore, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await store.write([put("b", "text", origin=at(1))])
    async with store_in(database, pool_size=1) as single:
        async with sql.transaction():
            await sql.execute("SELECT FROM docs.documents WHERE id = 'b' FOR UPDATE")
            writing = asyncio.create_task(single.write([put("a", "new", origin=at(2)), put("b", "new", origin=at(3))]))
            await until_waiting(sql)
            writing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await writing
        async with asyncio.timeout(PATIENCE_S):
            assert await single.write([put("c", "text", origin=at(4))]) == [Outcome.STORED]
    assert (await texts(store, "a"), await texts(store, "b")) == ([], ["text"])


async def test_a_row_that_stays_locked_is_the_database_being_busy(
    database: str, store: PgVectorStore, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await store.write([put("b", "text", origin=at(1))])
    async with store_in(f"{database}?lock_timeout=200", pgbouncer=True) as hasty, sql.transaction():
        await sql.execute("SELECT FROM docs.documents WHERE id = 'b' FOR UPDATE")
        with pytest.raises(StoreUnavailable, match="55P03"):
            await hasty.write([put("b", "new", origin=at(2))])


async def test_a_deadlock_with_somebody_else_is_tried_again_at_once(
    store: PgVectorStore, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await store.write([put("a", "text", origin=at(1)), put("b", "text", origin=at(2))])
    # The stranger locks b, then wants a, which our group holds while it waits for b; ours is the one to be ended.
    await sql.execute("SET deadlock_timeout = '60s'")
    stranger = sql.transaction()
    await stranger.start()
    await sql.execute("SELECT FROM docs.documents WHERE id = 'b' FOR UPDATE")
    writing = asyncio.create_task(store.write([put("a", "new", origin=at(3)), put("b", "new", origin=at(4))]))
    await until_waiting(sql)
    await sql.execute("SELECT FROM docs.documents WHERE id = 'a' FOR UPDATE")
    assert not writing.done()
    await stranger.commit()
    assert await writing == [Outcome.STORED, Outcome.STORED]


async def test_tables_that_change_under_a_worker_do_not_stop_it(
    store: PgVectorStore, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await store.write([put("a", "text", origin=at(1))])
    await sql.execute("ALTER TABLE docs.documents ALTER COLUMN revision TYPE bigint")
    assert await store.write([put("a", "new", origin=at(2))]) == [Outcome.STORED]


async def until_waiting(sql: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Wait until a worker of ours waits for a row."""
    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'headrace%' AND wait_event_type = 'Lock'"
    )
    async with asyncio.timeout(PATIENCE_S):
        while not await sql.fetchval(waiting):
            await asyncio.sleep(0.02)
            # Within a transaction the server shows the same activity again and again unless told to forget it.
            await sql.execute("SELECT pg_stat_clear_snapshot()")


async def until_it_answers(store: PgVectorStore, change: Change) -> list[Outcome]:
    while True:
        try:
            return await store.write([change])
        except StoreUnavailable:
            await asyncio.sleep(0.05)
