"""The topic's account of its documents, reduced in PostgreSQL as the worker would reduce it."""

import random
from collections.abc import AsyncIterator

import asyncpg
import pytest
from pydantic import SecretStr

from consumers.core import fence
from consumers.core.fence import Mark, Verdict
from consumers.core.reconciling import Finding, Letter, Row, Sighting, finding_of
from consumers.stores.pgvector import PgVectorStore
from consumers.stores.reconciliation import PAGE, Comparison
from schemas.errors import StoreMisconfigured
from schemas.index import Change
from schemas.messages import Origin, TimestampType
from schemas.settings import StoreSettings
from tests.contract.changes import FINGERPRINT, TOPIC, at, delete, put

KEPT = 'SELECT id, version, topic, partition, "offset", "timestamp", fence_ts FROM sightings'


@pytest.fixture
async def settings(database: str) -> StoreSettings:
    settings = StoreSettings(dsn=SecretStr(database))
    async with PgVectorStore(settings) as store:
        await store.create(FINGERPRINT)
    return settings


@pytest.fixture
async def comparison(settings: StoreSettings) -> AsyncIterator[Comparison]:
    async with Comparison(settings) as comparison:
        yield comparison


def sighting(change: Change, *, lies_at: int | None = None, due: bool = True) -> Sighting:
    """Return what a record says that would make *change*."""
    origin = change.origin
    offset = origin.offset if lies_at is None else lies_at
    return Sighting(
        change.tenant, change.id, change.version, origin, change.fence_ts, origin.timestamp, change.content_hash,
        origin.partition, offset, due,
    )  # fmt: skip


def somehow(chance: random.Random) -> Change:
    """Return any change: few values, so that ties and equal places are common."""
    origin = Origin(
        chance.choice(["a", "b"]),
        chance.randrange(2),
        chance.randrange(4),
        chance.choice([0, 1, 60_000, 60_001, 120_002]),
        chance.choice(list(TimestampType)),
    )
    version, name = chance.choice([None, None, 1, 2]), f"d{chance.randrange(150)}"
    if chance.random() < 0.3:
        return delete(name, origin=origin, version=version)
    return put(name, f"text {chance.random()}", origin=origin, version=version)


async def test_the_record_that_stays_is_the_one_that_the_worker_would_leave(comparison: Comparison) -> None:
    chance = random.Random(3)
    marks: dict[str, Mark] = {}
    for _ in range(15):
        group = [somehow(chance) for _ in range(100)]
        for change in group:
            mark = marks.get(change.id)
            if mark is None or fence.judge(change, mark) is Verdict.NEWER:
                marks[change.id] = fence.moved(mark, change)
        await comparison.note([sighting(change) for change in group])
    async with comparison._connection() as connection:
        rows = await connection.fetch(KEPT)
    kept = {row["id"]: tuple(row)[1:] for row in rows}
    assert kept == {
        name: (m.version, m.origin.topic, m.origin.partition, m.origin.offset, m.origin.timestamp, m.fence_ts)
        for name, m in marks.items()
    }
    assert len(kept) > 100


async def test_a_copy_of_a_record_that_is_not_due_makes_it_wait_again(comparison: Comparison) -> None:
    first, other = put("a", "text", origin=at(1)), put("b", "text", origin=at(2))
    await comparison.note([sighting(first), sighting(first, lies_at=9, due=False), sighting(other)])
    await comparison.note([sighting(other, lies_at=8)])
    await comparison.compare()
    [page] = [page async for page in comparison.pages()]
    assert [(pair.id, one.offset, one.due) for pair in page if (one := pair.sighting)] == [
        ("b", 8, True),
        ("a", 9, False),
    ]


async def test_only_what_differs_comes_back_and_a_page_at_a_time(
    comparison: Comparison, settings: StoreSettings
) -> None:
    changes = [put(f"d{number}", "text", origin=at(number)) for number in range(PAGE + 50)]
    async with PgVectorStore(settings) as store:
        await store.write(changes[:20])
        await store.write([delete("d5", origin=at(5_000)), delete("gone", origin=at(5_001))])
    await comparison.note([sighting(change) for change in changes])
    await comparison.note_undecodable([(0, 77)])
    await comparison.note_letters([(at(30), Letter.GIVEN_UP), (at(30), Letter.OPEN), (at(31), Letter.GIVEN_UP)])
    seen = await comparison.compare()
    assert (seen.sightings, seen.deletions, seen.undecodable, seen.live) == (PAGE + 50, 0, 1, 19)
    pages = [page async for page in comparison.pages()]
    assert [len(page) for page in pages] == [PAGE, 31]
    pairs = {pair.id: pair for page in pages for pair in page}
    assert set(pairs) == {"d5", *(f"d{number}" for number in range(20, PAGE + 50))}
    assert (pairs["d30"].letter, pairs["d31"].letter, pairs["d32"].letter) == (Letter.OPEN, Letter.GIVEN_UP, None)
    assert pairs["d5"].row == Row(at(5_000), None, deleted=True, chunk_count=0, chunks=0, revision=2)
    assert finding_of(pairs["d5"], TOPIC, {}) is Finding.NEWER


async def test_a_row_that_is_forgotten_takes_its_record_again_unless_it_has_changed(
    comparison: Comparison, settings: StoreSettings, database: str
) -> None:
    one, two = put("a", "text", origin=at(1)), put("b", "text", origin=at(2))
    async with PgVectorStore(settings) as store:
        await store.write([one, two])
        somebody = await asyncpg.connect(database)
        await somebody.execute("DELETE FROM docs.chunks")
        await somebody.close()
        await comparison.note([sighting(one), sighting(two)])
        await comparison.compare()
        [page] = [page async for page in comparison.pages()]
        assert [finding_of(pair, TOPIC, {}) for pair in page] == [Finding.DIFFERS, Finding.DIFFERS]
        newer = put("b", "newer", origin=at(3))
        await store.write([newer])
        await comparison.forget(page)
        async with comparison._connection() as connection:
            rows = await connection.fetch("SELECT id, origin_timestamp, content_hash FROM docs.documents ORDER BY id")
        assert [row["origin_timestamp"] for row in rows] == [one.origin.timestamp - 1, newer.origin.timestamp]
        assert [row["content_hash"] for row in rows] == [b"", newer.content_hash]
        await store.write([one])
        assert (await store.counts()).chunks == 2


async def test_behind_a_pooler_it_is_refused_with_what_to_do(settings: StoreSettings) -> None:
    with pytest.raises(StoreMisconfigured, match=r"store\.pgbouncer=false"):
        async with Comparison(settings.model_copy(update={"pgbouncer": True})):
            pass
