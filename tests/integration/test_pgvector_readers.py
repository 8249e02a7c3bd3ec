"""I2: a reader sees all chunks of one version of a document or all of another, never a mixture, never orphans.

Writers on overlapping keys, in opposite orders, at once: readers poll meanwhile, nothing deadlocks, the newest is left.
"""

import asyncio
import random
from collections.abc import AsyncIterator

import asyncpg
import pytest
from pydantic import SecretStr

from consumers.stores.pgvector import PgVectorStore
from schemas.index import Change, Outcome
from schemas.settings import StoreSettings
from tests.contract.changes import FINGERPRINT, at, delete, put, texts

KEYS = [f"doc-{n}" for n in range(12)]
WRITERS, GROUPS, GROUP = 4, 25, 20

SEEN = """
SELECT d.id, d.chunk_count, d.origin_offset, d.deleted_at IS NOT NULL AS deleted,
       array_agg(c.text ORDER BY c.ordinal) FILTER (WHERE c.text IS NOT NULL) AS texts
FROM docs.documents AS d
FULL JOIN docs.chunks AS c ON c.tenant = d.tenant AND c.document_id = d.id
GROUP BY d.id, d.chunk_count, d.origin_offset, d.deleted_at
"""


@pytest.fixture
async def store(database: str) -> AsyncIterator[PgVectorStore]:
    async with PgVectorStore(StoreSettings(dsn=SecretStr(database), pool_size=WRITERS)) as store:
        await store.create(FINGERPRINT)
        yield store


def version(document_id: str, offset: int) -> Change:
    """Return version *offset* of a document: every chunk says which, and lengths differ from one to the next."""
    if offset % 7 == 0:
        return delete(document_id, origin=at(offset))
    return put(document_id, *(f"{offset} {ordinal}" for ordinal in range(1 + offset % 5)), origin=at(offset))


def expected(offset: int) -> list[str] | None:
    return [chunk.text for chunk in version("any", offset).chunks] or None


async def test_a_reader_never_sees_a_mixture_or_orphans_while_writers_race(store: PgVectorStore, database: str) -> None:
    done = asyncio.Event()
    polls = asyncio.create_task(read_until(done, database))
    chance = random.Random(11)
    numbers = list(range(1, WRITERS * GROUPS * GROUP + 1))
    chance.shuffle(numbers)
    work = [[(chance.choice(KEYS), offset) for offset in numbers[n::WRITERS]] for n in range(WRITERS)]
    outcomes = await asyncio.gather(*(write_all(store, part) for part in work))
    done.set()
    assert await polls > 10
    written = [one for part in outcomes for one in part]
    assert len(written) == len(numbers)
    assert set(written) <= {Outcome.STORED, Outcome.DELETED, Outcome.SUPERSEDED}
    newest = {key: max(offset for part in work for k, offset in part if k == key) for key in KEYS}
    for key, offset in newest.items():
        assert (await texts(store, key) or None) == expected(offset)


async def write_all(store: PgVectorStore, part: list[tuple[str, int]]) -> list[Outcome]:
    outcomes = []
    for start in range(0, len(part), GROUP):
        outcomes += await store.write([version(key, offset) for key, offset in part[start : start + GROUP]])
    return outcomes


async def read_until(done: asyncio.Event, database: str) -> int:
    connection = await asyncpg.connect(database)
    polls = 0
    while not done.is_set():
        for row in await connection.fetch(SEEN):
            assert row["id"] is not None, "chunks without a document"
            assert row["texts"] == expected(row["origin_offset"]), "chunks of another version"
            assert row["chunk_count"] == len(row["texts"] or ())
            assert row["deleted"] == (row["texts"] is None)
        polls += 1
    await connection.close()
    return polls


async def test_writers_that_share_keys_in_opposite_orders_do_not_deadlock(store: PgVectorStore, database: str) -> None:
    async def write(forwards: bool, first: int) -> None:  # noqa: FBT001 - one call below
        for round_ in range(20):
            keys = KEYS if forwards else list(reversed(KEYS))
            group = [put(key, f"{round_}", origin=at(first + round_ * 2)) for key in keys]
            await store.write(group)

    await asyncio.gather(*(write(n % 2 == 0, n) for n in range(WRITERS)))
    connection = await asyncpg.connect(database)
    # The server counts them, also those that were retried; it may tell a moment later.
    await asyncio.sleep(1.2)
    deadlocks = await connection.fetchval("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    await connection.close()
    assert deadlocks == 0
