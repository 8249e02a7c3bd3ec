"""What every store promises of what is embedded again on purpose, and of vectors that wait for their document."""

import asyncio
import math
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from pydantic import SecretStr

from consumers.stores.memory import MemoryStore
from consumers.stores.pgvector import PgVectorStore
from consumers.stores.protocol import Store
from schemas.errors import RowRejected
from schemas.index import Change, Outcome, Standing
from schemas.settings import StoreSettings
from tests.contract.changes import FINGERPRINT, at, delete, hashed, look_up, packed, put, texts, touch, vector

AGAIN, STORED, SUPERSEDED = Outcome.AGAIN, Outcome.STORED, Outcome.SUPERSEDED
DELETED, UNCHANGED = Outcome.DELETED, Outcome.UNCHANGED

Forcing = Callable[[datetime | None], Store]
"""The same index, as a store sees it that is to force what was embedded before a moment."""


async def write(store: Store, *changes: Change) -> list[Outcome]:
    return await store.write(changes)


async def standing(store: Store, change: Change) -> Standing:
    [found] = await look_up(store, [change])
    return found


async def moment() -> datetime:
    """Return a time that lies behind everything that was written and before everything that will be."""
    await asyncio.sleep(0.002)
    now = datetime.now(UTC)
    await asyncio.sleep(0.002)
    return now


def turned(change: Change) -> Change:
    """Return the same change with opposite vectors, as another version of a model would give them."""
    chunks = tuple(msgspec.structs.replace(one, vector=opposite(one.vector)) for one in change.chunks)
    return msgspec.structs.replace(change, chunks=chunks)


def opposite(stored: bytes | None) -> bytes | None:
    return None if stored is None else packed(*(-number for number in struct.unpack(">3f", stored)))


async def similarity(store: Store, text: str) -> float:
    """Say how near the vector of the chunk with *text* is to that of the text itself: 1, or -1 where it was turned."""
    [found] = [hit for hit in await store.search(vector(text), limit=100) if hit.text == text]
    assert math.isclose(abs(found.score), 1.0, abs_tol=1e-5)
    return round(found.score)


class ForcingAndStaging:
    """Every test here runs against each store."""

    # What was embedded before a moment

    async def test_what_was_embedded_earlier_is_absent_and_what_is_stale_stays_so(
        self, store: Store, forcing: Forcing
    ) -> None:
        await write(store, put("a", "text", origin=at(2)), put("gone", "text", origin=at(3)))
        await write(store, delete("gone", origin=at(4)))
        forced = forcing(await moment())
        assert await standing(forced, put("a", "text", origin=at(2))) is Standing.ABSENT
        assert await standing(forced, put("a", "text", origin=at(5))) is Standing.ABSENT
        assert await standing(forced, put("a", "new", origin=at(5))) is Standing.ABSENT
        assert await standing(forced, put("a", "text", origin=at(1))) is Standing.SUPERSEDED
        assert await standing(forced, put("gone", "text", origin=at(3))) is Standing.SUPERSEDED
        assert await write(forced, turned(put("a", "text", origin=at(1)))) == [SUPERSEDED]
        assert await write(forced, delete("gone", origin=at(4))) == [DELETED]
        assert await similarity(forced, "text") == 1

    async def test_the_same_record_is_written_anew_once_vectors_and_all(self, store: Store, forcing: Forcing) -> None:
        first = put("a", "one", "two", origin=at(1))
        await write(store, first)
        forced = forcing(await moment())
        assert await write(forced, turned(first)) == [STORED]
        assert [await similarity(forced, text) for text in ("one", "two")] == [-1, -1]
        assert await standing(forced, first) is Standing.REDELIVERED
        assert await write(forced, first) == [UNCHANGED]
        assert await similarity(forced, "one") == -1
        assert await standing(forcing(None), first) is Standing.REDELIVERED

    async def test_a_newer_record_of_the_same_content_is_written_anew(self, store: Store, forcing: Forcing) -> None:
        await write(store, put("a", "text", origin=at(1)))
        forced = forcing(await moment())
        assert await write(forced, turned(put("a", "text", origin=at(2)))) == [STORED]
        assert await similarity(forced, "text") == -1
        assert await standing(forced, put("a", "text", origin=at(3))) is Standing.UNCHANGED

    async def test_the_same_record_twice_in_a_group_is_written_once(self, store: Store, forcing: Forcing) -> None:
        first = put("a", "text", origin=at(1))
        await write(store, first)
        forced = forcing(await moment())
        assert await write(forced, turned(first), first) == [STORED, UNCHANGED]
        assert await similarity(forced, "text") == -1

    async def test_a_moment_that_lies_ahead_is_met_by_what_is_written_for_its_sake(
        self, store: Store, forcing: Forcing
    ) -> None:
        first = put("a", "text", origin=at(1))
        await write(store, first)
        forced = forcing(datetime.now(UTC) + timedelta(hours=1))
        assert await write(forced, first) == [STORED]
        assert await standing(forced, first) is Standing.REDELIVERED
        assert await write(forced, put("a", "text", "more", origin=at(2), kept=("text",))) == [STORED]

    async def test_a_touch_of_what_is_too_old_falls_back_and_what_it_surpassed_is_written(
        self, store: Store, forcing: Forcing
    ) -> None:
        await write(store, put("a", "text", origin=at(1)), put("b", "text", origin=at(2)))
        forced = forcing(await moment())
        group = [put("a", "new", origin=at(3)), touch("a", "text", origin=at(4)), touch("b", "text", origin=at(2))]
        assert await write(forced, *group) == [STORED, AGAIN, AGAIN]
        assert await texts(forced, "a") == ["new"]

    async def test_a_vector_that_is_too_old_is_not_kept(self, store: Store, forcing: Forcing) -> None:
        await write(store, put("a", "one", "two", origin=at(1)))
        forced = forcing(await moment())
        assert await forced.stored_hashes([("default", "a")]) == {}
        assert await write(forced, put("a", "new", "two", origin=at(2), kept=("two",))) == [AGAIN]
        assert await write(forced, turned(put("a", "new", "two", origin=at(2)))) == [STORED]
        assert [await similarity(forced, text) for text in ("new", "two")] == [-1, -1]

    async def test_a_chunk_that_was_embedded_since_is_kept_in_a_document_that_was_not(
        self, store: Store, forcing: Forcing
    ) -> None:
        await write(store, put("a", "one", "two", origin=at(1)))
        between = await moment()
        await write(store, put("a", "one", "new", origin=at(2), kept=("one",)))
        forced = forcing(between)
        assert await standing(forced, put("a", "x", origin=at(3))) is Standing.ABSENT
        assert await forced.stored_hashes([("default", "a")]) == {("default", "a"): frozenset({hashed("new")})}
        assert await write(forced, put("a", "new", "one", origin=at(3), kept=("new",))) == [STORED]
        assert await standing(forced, put("a", "x", origin=at(3))) is Standing.REDELIVERED

    async def test_a_document_is_as_old_as_its_oldest_chunk(self, store: Store, forcing: Forcing) -> None:
        await write(store, put("kept", "one", "two", origin=at(1)), put("all new", "one", origin=at(2)))
        await write(store, put("deleted", "one", origin=at(3)), put("touched", "one", origin=at(4)))
        between = await moment()
        await write(store, put("kept", "one", "new", origin=at(5), kept=("one",)), put("all new", "new", origin=at(6)))
        await write(store, delete("deleted", origin=at(7)), touch("touched", "one", origin=at(8)))
        await write(store, put("deleted", "one", origin=at(9)))
        forced = forcing(between)
        assert await standing(forced, put("kept", "x", origin=at(10))) is Standing.ABSENT
        assert await standing(forced, put("touched", "x", origin=at(10))) is Standing.ABSENT
        assert await standing(forced, put("all new", "x", origin=at(10))) is Standing.CHANGED
        assert await standing(forced, put("deleted", "x", origin=at(10))) is Standing.CHANGED

    async def test_the_same_content_written_again_is_as_old_as_before(self, store: Store, forcing: Forcing) -> None:
        await write(store, put("a", "one", "two", origin=at(1)))
        between = await moment()
        assert await write(store, turned(put("a", "one", "two", origin=at(2)))) == [STORED]
        assert await similarity(store, "one") == 1
        assert await standing(forcing(between), put("a", "one", "two", origin=at(2))) is Standing.ABSENT

    async def test_a_chunk_left_in_its_place_by_another_writer_does_not_make_a_new_document_older(
        self, store: Store, forcing: Forcing
    ) -> None:
        await write(store, put("a", "one", "two", origin=at(1)))
        between = await moment()
        assert await write(store, turned(put("a", "one", "new", origin=at(2)))) == [STORED]
        forced = forcing(between)
        assert await standing(forced, put("a", "x", origin=at(3))) is Standing.CHANGED
        assert await similarity(forced, "one") == -1

    # Vectors that wait for their document

    async def test_a_document_takes_what_was_staged_and_nobody_finds_it_afterwards(self, store: Store) -> None:
        await store.stage({hashed(text): vector(text) for text in ("one", "two", "other")})
        wanted = [hashed(text) for text in ("one", "two", "unknown")]
        assert await store.staged(wanted) == {hashed("one"), hashed("two")}
        change = put("a", "one", "new", "two", "one", origin=at(1), kept=("one", "two"))
        assert await write(store, change) == [STORED]
        assert await texts(store, "a") == ["one", "new", "two", "one"]
        assert await store.staged([*wanted, hashed("other")]) == {hashed("other")}
        assert [await similarity(store, text) for text in ("two", "new")] == [1, 1]

    async def test_of_two_documents_with_a_staged_text_the_later_one_is_embedded_again(self, store: Store) -> None:
        await store.stage({hashed("shared"): vector("shared")})
        first, second = (put(name, "shared", origin=at(n), kept=("shared",)) for n, name in enumerate("ab"))
        assert await write(store, first) == [STORED]
        assert await write(store, second, put("c", "x", origin=at(9))) == [AGAIN, STORED]
        assert await standing(store, second) is Standing.ABSENT
        await store.stage({hashed("shared"): vector("shared")})
        assert await write(store, second) == [STORED]

    async def test_two_documents_of_a_group_take_the_same_staged_text(self, store: Store) -> None:
        await store.stage({hashed("shared"): vector("shared")})
        group = [put(name, "shared", name, origin=at(n), kept=("shared",)) for n, name in enumerate("ab")]
        assert await write(store, *group) == [STORED, STORED]
        assert await texts(store, "b") == ["shared", "b"]
        assert await store.staged([hashed("shared")]) == frozenset()

    async def test_a_vector_of_the_document_itself_goes_before_a_staged_one(self, store: Store) -> None:
        await write(store, put("a", "one", "two", origin=at(1)))
        opposite_one = opposite(vector("one"))
        assert opposite_one is not None
        await store.stage({hashed("one"): opposite_one})
        assert await write(store, put("a", "new", "one", origin=at(2), kept=("one",))) == [STORED]
        assert await similarity(store, "one") == 1
        assert await store.staged([hashed("one")]) == {hashed("one")}

    async def test_what_was_staged_replaces_what_stood_in_its_place(self, store: Store) -> None:
        await write(store, put("a", "one", "two", origin=at(1)))
        await store.stage({hashed("new"): vector("new")})
        assert await write(store, put("a", "new", "two", origin=at(2), kept=("new", "two"))) == [STORED]
        assert await texts(store, "a") == ["new", "two"]

    async def test_nothing_is_taken_from_what_was_staged_by_a_group_that_fails(self, store: Store) -> None:
        await store.stage({hashed("one"): vector("one")})
        bad = put("bad", "x\0", origin=at(2))
        with pytest.raises(RowRejected):
            await write(store, put("a", "one", origin=at(1), kept=("one",)), bad)
        assert await store.staged([hashed("one")]) == {hashed("one")}

    async def test_a_vector_that_can_not_be_stored_can_not_be_staged(self, store: Store) -> None:
        with pytest.raises(RowRejected):
            await store.stage({hashed("a"): vector("a"), hashed("b"): packed(1, float("nan"), 0)})
        assert await store.staged([hashed("a"), hashed("b")]) == frozenset()

    async def test_what_was_staged_earlier_is_as_absent_as_what_is_stored(self, store: Store, forcing: Forcing) -> None:
        await write(store, put("a", "one", origin=at(1)))
        await store.stage({hashed("one"): vector("one")})
        forced = forcing(await moment())
        assert await forced.staged([hashed("one")]) == frozenset()
        assert await write(forced, put("a", "one", origin=at(1), kept=("one",))) == [AGAIN]
        turned_one = opposite(vector("one"))
        assert turned_one is not None
        await forced.stage({hashed("one"): turned_one})
        assert await forced.staged([hashed("one")]) == {hashed("one")}
        assert await write(forced, put("a", "one", origin=at(1), kept=("one",))) == [STORED]
        assert await similarity(forced, "one") == -1
        assert await standing(forced, put("a", "one", origin=at(1))) is Standing.REDELIVERED

    async def test_a_document_of_staged_vectors_is_as_old_as_the_oldest_of_them(
        self, store: Store, forcing: Forcing
    ) -> None:
        await store.stage({hashed("early"): vector("early")})
        between = await moment()
        await store.stage({hashed("late"): vector("late"), hashed("early"): vector("early")})
        await write(store, put("a", "early", "late", origin=at(1), kept=("early", "late")))
        await store.stage({hashed("late"): vector("late")})
        await write(store, put("b", "late", "now", origin=at(2), kept=("late",)))
        forced = forcing(between)
        assert await standing(forced, put("a", "x", origin=at(3))) is Standing.ABSENT
        assert await standing(forced, put("b", "x", origin=at(3))) is Standing.CHANGED


class TestMemory(ForcingAndStaging):
    """The store in memory."""

    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore(FINGERPRINT)

    @pytest.fixture
    def forcing(self, store: MemoryStore) -> Forcing:
        def force(before: datetime | None) -> Store:
            store.force_before = before
            return store

        return force


class TestPgVector(ForcingAndStaging):
    """The store in PostgreSQL."""

    @pytest.fixture
    async def opened(self) -> AsyncIterator[AsyncExitStack]:
        async with AsyncExitStack() as opened:
            yield opened

    @pytest.fixture
    async def store(self, database: str, opened: AsyncExitStack) -> Store:
        store = PgVectorStore(StoreSettings(dsn=SecretStr(database)))
        opened.push_async_callback(store.aclose)
        await store.create(FINGERPRINT)
        return store

    @pytest.fixture
    def forcing(self, database: str, opened: AsyncExitStack) -> Forcing:
        def force(before: datetime | None) -> Store:
            store = PgVectorStore(StoreSettings(dsn=SecretStr(database)), force_before=before)
            opened.push_async_callback(store.aclose)
            return store

        return force
