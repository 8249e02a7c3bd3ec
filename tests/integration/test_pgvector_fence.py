"""I3: the SQL that decides and its twin in Python say the same, of single records and of whole groups."""

import asyncio
from collections.abc import Sequence

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from consumers.core import fence
from consumers.core.fence import Mark
from consumers.stores.memory import MemoryStore
from consumers.stores.pgvector import PgVectorStore
from consumers.stores.protocol import Store
from schemas.index import Change, ChangeKind, Counts, Hit, Outcome, Standing
from schemas.messages import Origin, TimestampType
from schemas.settings import StoreSettings
from tests.contract.changes import FINGERPRINT, delete, hits, look_up, put, touch

TIMES = st.sampled_from([-1, 0, 1, 60_000, 60_001, 60_002, 120_001])
VERSIONS = st.none() | st.sampled_from([-(2**63), 1, 2, 2**63 - 1])
ORIGINS = st.builds(
    Origin,
    topic=st.sampled_from(["a", "b", "B", "é", "a.b", "\U0001f600", "\ufb01"]),
    partition=st.integers(0, 1),
    offset=st.integers(0, 2),
    timestamp=TIMES,
    timestamp_type=st.sampled_from(list(TimestampType)),
)
MARKS = st.builds(Mark, VERSIONS, ORIGINS, TIMES)

ASK = """
SELECT docs.fence($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
"""


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pairs=st.lists(st.tuples(MARKS, MARKS), min_size=20, max_size=60))
def test_sql_and_python_say_the_same_of_any_two_records(database: str, pairs: list[tuple[Mark, Mark]]) -> None:
    asked = asyncio.run(ask(database, pairs))
    assert asked == [fence.judge(coming, stored).value for coming, stored in pairs]


async def ask(database: str, pairs: Sequence[tuple[Mark, Mark]]) -> list[str]:
    async with store_in(database) as store:
        await store.create(FINGERPRINT)
    connection = await asyncpg.connect(database)
    try:
        return [await connection.fetchval(ASK, *arguments(coming, stored)) for coming, stored in pairs]
    finally:
        await connection.close()


def arguments(coming: Mark, stored: Mark) -> tuple[object, ...]:
    ours, theirs = coming.origin, stored.origin
    return (
        coming.version,
        *(ours.topic, ours.partition, ours.offset, ours.timestamp),
        ours.timestamp_type is TimestampType.LOG_APPEND_TIME,
        coming.fence_ts,
        stored.version,
        *(theirs.topic, theirs.partition, theirs.offset, theirs.timestamp),
        stored.fence_ts,
    )


TEXTS = st.lists(st.sampled_from(["one", "two", "three"]), min_size=1, max_size=3)
PLACES = st.builds(
    Origin,
    topic=st.just("docs.raw"),
    partition=st.integers(0, 1),
    offset=st.integers(0, 9),
    timestamp=st.sampled_from([1, 2, 3, 70_000]),
    timestamp_type=st.sampled_from(list(TimestampType)),
)
IDS = st.sampled_from("abc")
SMALL_VERSIONS = st.none() | st.integers(1, 3)
PUTS = st.builds(
    lambda document_id, texts, origin, version, kept: put(
        document_id, *texts, origin=origin, version=version, kept=kept
    ),
    IDS,
    TEXTS,
    PLACES,
    SMALL_VERSIONS,
    st.sampled_from([(), (), ("one",), ("two", "three")]),
)
TOUCHES = st.builds(
    lambda document_id, texts, origin, version: touch(document_id, *texts, origin=origin, version=version),
    IDS,
    TEXTS,
    PLACES,
    SMALL_VERSIONS,
)
DELETIONS = st.builds(
    lambda document_id, origin, version: delete(document_id, origin=origin, version=version),
    IDS,
    PLACES,
    SMALL_VERSIONS,
)
GROUPS = st.lists(st.lists(st.one_of(PUTS, PUTS, TOUCHES, DELETIONS), min_size=1, max_size=6), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(groups=GROUPS)
def test_postgres_and_memory_end_alike_whatever_is_written(database: str, groups: list[list[Change]]) -> None:
    in_postgres, in_memory = asyncio.run(both(database, groups))
    assert in_postgres == in_memory


Ending = tuple[list[list[Standing]], list[list[Outcome]], list[Hit], Counts]


async def both(database: str, groups: list[list[Change]]) -> tuple[Ending, Ending]:
    async with store_in(database) as store:
        await store.create(FINGERPRINT)
        connection = await asyncpg.connect(database)
        await connection.execute("TRUNCATE docs.documents, docs.chunks")
        await connection.close()
        return await ending(store, groups), await ending(MemoryStore(FINGERPRINT), groups)


async def ending(store: Store, groups: list[list[Change]]) -> Ending:
    standings, outcomes = [], []
    for group in groups:
        asked = [change for change in group if change.kind is not ChangeKind.DELETE]
        standings.append(await look_up(store, asked))
        outcomes.append(await store.write(group))
    found = [
        Hit(hit.tenant, hit.id, hit.ordinal, round(hit.score, 4), hit.title, hit.text, None)
        for hit in await hits(store)
    ]
    return standings, outcomes, found, await store.counts()


def store_in(database: str) -> PgVectorStore:
    return PgVectorStore(StoreSettings(dsn=SecretStr(database)))
