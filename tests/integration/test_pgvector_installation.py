"""An index comes to be once, whoever asks and however often, or it is said what an operator has to do."""

import asyncio
import unittest.mock
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import msgspec
import pytest
from pydantic import SecretStr

from consumers.stores.pgvector import PgVectorStore
from schemas import sql as statements
from schemas.errors import StoreMisconfigured
from schemas.index import Outcome
from schemas.settings import StoreSettings
from schemas.spending import Spent
from tests.contract.changes import FINGERPRINT, at, put, texts

MIGRATIONS = statements.migrations()
COLUMNS = """
SELECT table_schema, table_name, column_name, data_type, is_nullable, collation_name, column_default
FROM information_schema.columns
WHERE table_schema IN ('docs', 'headrace')
ORDER BY table_schema, table_name, ordinal_position
"""


def store_in(database: str, *, index: str = "docs", ddl: bool = True) -> PgVectorStore:
    return PgVectorStore(StoreSettings(dsn=SecretStr(database), index=index, ddl=ddl))


@pytest.fixture
async def sql(database: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


async def test_an_index_is_made_once_and_says_what_was_done(database: str) -> None:
    async with store_in(database) as store:
        assert await store.about() is None
        done = await store.create(FINGERPRINT)
        assert done[:2] == ["created the index docs", "applied migration 0001_index"]
        assert await store.about() == FINGERPRINT
        assert await store.create(FINGERPRINT) == []


async def test_the_extension_is_made_where_it_is_missing(
    database: str, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await sql.execute("DROP EXTENSION vector")
    async with store_in(database) as store:
        assert (await store.create(FINGERPRINT))[0] == "created the extension vector"
        assert await store.write([put("a", "text", origin=at(1))]) == [Outcome.STORED]


async def test_an_extension_in_a_schema_of_its_own_is_found(
    database: str, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await sql.execute('DROP EXTENSION vector; CREATE SCHEMA "Ext"; CREATE EXTENSION vector SCHEMA "Ext"')
    async with store_in(database) as store:
        await store.create(FINGERPRINT)
        await store.write([put("a", "text", origin=at(1))])
        assert await store.write([put("a", "new", "text", origin=at(2), kept=("text",))]) == [Outcome.STORED]
        assert await texts(store, "a") == ["new", "text"]


async def test_inits_at_the_same_time_do_not_collide(database: str, sql: "asyncpg.Connection[asyncpg.Record]") -> None:
    await sql.execute("DROP EXTENSION vector")
    stores = [store_in(database, index=f"index_{n % 2}") for n in range(6)]
    try:
        done = await asyncio.gather(*(store.create(FINGERPRINT) for store in stores))
    finally:
        for store in stores:
            await store.aclose()
    said = [word for words in done for word in words]
    assert said.count("created the extension vector") == 1
    assert sum(word.startswith("promoted") for word in said) == 1
    assert sum(word.startswith("created the index") for word in said) == 2


async def test_the_first_index_is_the_promoted_one(database: str, sql: "asyncpg.Connection[asyncpg.Record]") -> None:
    other = msgspec.structs.replace(FINGERPRINT, model="it's another", dimensions=4)
    async with store_in(database, index="first") as first, store_in(database, index="second") as second:
        await first.create(FINGERPRINT)
        await second.create(other)
        await first.write([put("a", "text", origin=at(1))])
        assert (await first.about(), await second.about()) == (FINGERPRINT, other)
        assert (await first.counts()).documents == 1
        assert (await second.counts()).documents == 0
    assert await sql.fetchval("SELECT DISTINCT index FROM headrace.documents") == "first"


@pytest.mark.parametrize(
    "difference",
    [{"model": "x"}, {"dimensions": 4}, {"chunking": "x"}, {"tokenizer": "x"}, {"provider": "x"}],
    ids=lambda difference: next(iter(difference)),
)
async def test_an_index_of_another_fingerprint_is_refused_and_left_alone(
    database: str, difference: dict[str, object]
) -> None:
    async with store_in(database) as store:
        await store.create(FINGERPRINT)
        with pytest.raises(StoreMisconfigured, match="name another index"):
            await store.create(msgspec.structs.replace(FINGERPRINT, **difference))
        assert await store.about() == FINGERPRINT


async def test_the_script_for_a_dba_makes_what_init_makes_and_may_be_run_twice(
    database: str, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async with store_in(database) as store:
        await store.create(FINGERPRINT)
        made = await sql.fetch(COLUMNS)
        await sql.execute("DROP SCHEMA docs CASCADE; DROP SCHEMA headrace CASCADE")
        script = store.ddl_script(FINGERPRINT)
        await sql.execute(script)
        assert await sql.fetch(COLUMNS) == made
        await store.write([put("a", "text", origin=at(1))])
        await sql.execute(script)
        assert await store.create(FINGERPRINT) == []
        assert await texts(store, "a") == ["text"]


async def test_without_ddl_nothing_is_made_and_what_is_there_is_enough(
    database: str, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async with store_in(database, ddl=False) as store:
        with pytest.raises(StoreMisconfigured, match=r"store\.ddl is false"):
            await store.create(FINGERPRINT)
        assert await sql.fetchval("SELECT to_regnamespace('docs')") is None
        await sql.execute(store.ddl_script(FINGERPRINT))
        assert await store.create(FINGERPRINT) == []


async def test_a_role_that_may_not_create_the_extension_is_told_who_may(
    database: str, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async with Role(database, sql) as dsn, store_in(dsn) as store:
        await sql.execute("DROP EXTENSION vector")
        with pytest.raises(StoreMisconfigured, match="superuser"):
            await store.create(FINGERPRINT)


async def test_a_role_that_may_not_create_schemas_is_told_what_to_do(
    database: str, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async with Role(database, sql) as dsn, store_in(dsn) as store:
        with pytest.raises(StoreMisconfigured, match=r"42501.*store\.ddl"):
            await store.create(FINGERPRINT)


async def test_a_failed_init_leaves_nothing(database: str, sql: "asyncpg.Connection[asyncpg.Record]") -> None:
    async with store_in(database) as store:
        with pytest.raises(StoreMisconfigured):
            await store.create(msgspec.structs.replace(FINGERPRINT, vector_type="no_such_type"))
        assert await sql.fetchval("SELECT to_regnamespace('docs')") is None
        await store.create(FINGERPRINT)


@pytest.mark.parametrize(("version", "words"), [("0.7.4", None), ("0.8.1", "warning"), ("0.8.10", "")])
async def test_an_old_pgvector_is_refused_or_warned_of(
    database: str, sql: "asyncpg.Connection[asyncpg.Record]", version: str, words: str | None
) -> None:
    await sql.execute("UPDATE pg_extension SET extversion = $1 WHERE extname = 'vector'", version)
    async with store_in(database) as store:
        if words is None:
            with pytest.raises(StoreMisconfigured, match=r"pgvector 0\.7\.4 is too old"):
                await store.create(FINGERPRINT)
        else:
            done = await store.create(FINGERPRINT)
            assert any("0.8.4" in line for line in done) == (words == "warning")


async def test_a_worker_behind_pgbouncer_prepares_nothing_that_stays(database: str) -> None:
    async with PgVectorStore(StoreSettings(dsn=SecretStr(database), pgbouncer=True)) as store:
        await store.create(FINGERPRINT)
        await store.write([put("a", "one", "two", origin=at(1))])
        await store.write([put("a", "new", "one", origin=at(2), kept=("one",))])
        assert await texts(store, "a") == ["new", "one"]
        async with store._connections.one() as connection:
            assert await connection.fetchval("SELECT count(*) FROM pg_prepared_statements WHERE name <> ''") == 0
            assert await connection.fetchval("SHOW enable_seqscan") == "on"


def test_names_and_words_are_quoted() -> None:
    assert statements.identifier('a"b') == '"a""b"'
    assert statements.literal("it's") == "'it''s'"


def test_every_migration_has_its_number_once() -> None:
    numbers = [migration.number for migration in statements.migrations()]
    assert numbers == list(range(1, len(numbers) + 1))


class Role:
    """A role that may log in and nothing else, while it lasts; gives its dsn."""

    def __init__(self, database: str, sql: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._parts = urlsplit(database)
        self._sql = sql
        self._name = f"role_{self._parts.path[1:]}"

    async def __aenter__(self) -> str:
        await self._sql.execute(f"CREATE ROLE {self._name} LOGIN PASSWORD 'weak'")
        host = self._parts.netloc.rpartition("@")[2]
        return urlunsplit(self._parts._replace(netloc=f"{self._name}:weak@{host}"))

    async def __aexit__(self, *_: object) -> None:
        await self._sql.execute(f"DROP ROLE {self._name}")


async def test_an_index_of_an_earlier_version_says_what_it_lacks_and_keeps_its_rows_through_init(
    database: str,
) -> None:
    async with store_in(database) as store:
        with unittest.mock.patch.object(statements, "migrations", return_value=MIGRATIONS[:1]):
            await store.create(FINGERPRINT)
        await store.write([put("a", "text", origin=at(1))])
        with pytest.raises(StoreMisconfigured, match="0002_spending: run headrace init"):
            await store.see_that_it_is_up_to_date()
        async with store_in(database, ddl=False) as unable:
            with pytest.raises(StoreMisconfigured, match="0002_spending"):
                await unable.create(FINGERPRINT)
        assert await store.create(FINGERPRINT) == ["applied migration 0002_spending"]
        await store.see_that_it_is_up_to_date()
        assert await texts(store, "a") == ["text"]
        assert await store.create(FINGERPRINT) == []


async def test_the_script_for_a_dba_brings_an_index_of_an_earlier_version_up_to_date(
    database: str, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async with store_in(database) as store:
        with unittest.mock.patch.object(statements, "migrations", return_value=MIGRATIONS[:1]):
            await store.create(FINGERPRINT)
        await sql.execute(store.ddl_script(FINGERPRINT))
        await store.see_that_it_is_up_to_date()


async def test_days_of_spending_are_those_of_the_database_and_end_where_they_were_asked_to(
    database: str, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async with store_in(database) as store:
        await store.create(FINGERPRINT)
        await store.spend({"a": Spent(7, 1)})
        await sql.execute("UPDATE docs.spent SET day = day - 1")
        assert await store.spend({"a": Spent(1, 1)}) == Spent(1, 1)
        assert [row.spent.tokens for row in await store.spent(1)] == [1]
        assert [row.spent.tokens for row in await store.spent(2)] == [1, 7]


async def test_nothing_spent_is_lost_where_many_spend_at_once(database: str) -> None:
    async with store_in(database) as store:
        await store.create(FINGERPRINT)
        tenants = ["b", "a", "c"]
        await asyncio.gather(
            *(store.spend({tenant: Spent(1, 1) for tenant in tenants[n % 3 :] + tenants[: n % 3]}) for n in range(30))
        )
        assert await store.spend({}) == Spent(90, 90)
