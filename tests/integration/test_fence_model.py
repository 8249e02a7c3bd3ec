"""I3 and I2 of whole histories: whatever is read again, replayed, written late or twice at once, the right record wins.

Programs are drawn and run on the real store: publish, delete, read, write in any order and in parts, two workers at
once, begin again anywhere, replay (ours, by a plain tool, forged), make topics anew. After every step each row, with
its version, title, metadata, chunks and their vectors, has to be that of the one record that ``fence_model.py`` says.

Beside it, ``tests/unit/test_fence.py`` holds the order within a group to the fence, ``test_pgvector_fence.py`` the SQL
to its twin in Python, ``tests/contract/test_stores.py`` single pairs to the rules, and ``tests/simulation`` the whole
pipeline to a fence that it trusts. Here nothing is trusted: what wins follows from how it was published. What is broken
on purpose to see that it is found stands in ``BREAKS_IN_SQL`` and ``BREAKS_IN_PYTHON``.

Not promised, and so not played: a replay of what was never stored wins over a later record of its partition where the
clock ran backwards between the two, and reading began anew between them; records of a topic that was made anew on
producers' clocks win over later ones with lower offsets.

HEADRACE_TEST_FENCE_PROGRAMS sets how many programs are run, drawn anew each time; without it 1,000 are, the same each
time.
"""

import asyncio
import itertools
import os
import struct
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, NamedTuple
from unittest.mock import patch
from urllib.parse import urlsplit

import asyncpg
import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from consumers.core import decoding, fence
from consumers.core.decoding import origin_of
from consumers.core.tracking import PartitionTracker
from consumers.stores.pgvector import PgVectorStore
from schemas import headers
from schemas.dead_letters import Record
from schemas.messages import Message, Origin
from schemas.settings import StoreSettings
from tests.contract.changes import FINGERPRINT, vector
from tests.integration.fence_model import APPENDED, WORLDS, Model, Published, Row, Versions, World
from tests.integration.fence_workers import PLACES, Reader, Topic, as_replay, forged

ASKED = os.environ.get("HEADRACE_TEST_FENCE_PROGRAMS")
PROGRAMS = int(ASKED or 1000)
FOUND_WITHIN = 1000
WRONG = "these are not the rows of the right records"
DOCUMENTS = ("a", "b")
MOST_OFTEN = ("a", "a", "b")
WORKERS = 3
TEXTS = ("mill", "mill wheel", "mill", "wheel mill race")
SKEW_MS = 700
HOUR_MS = 3_600_000

small = st.integers(0, 7)
WORKER = st.integers(0, WORKERS - 1)
PUBLISH = st.tuples(st.just("publish"), st.sampled_from(MOST_OFTEN), small, small, small)
READ = st.tuples(st.just("read"), WORKER, small)
WRITE = st.tuples(st.just("write"), WORKER, small)
WORK = st.tuples(st.just("work"), WORKER, small)
STEPS = st.one_of(
    *(PUBLISH, PUBLISH, PUBLISH, READ, WRITE, WRITE, WORK, WORK, WORK),
    st.tuples(st.just("write together"), WORKER, WORKER),
    st.tuples(st.just("seek"), WORKER, small),
    *[st.tuples(st.just("replay"), st.integers(0, 31), small)] * 2,
    st.tuples(st.just("make anew"), small),
)


class Program(NamedTuple):
    """What is drawn: a world, what is done in it, and whether zombies write at the very end."""

    world: World
    steps: list[tuple[Any, ...]]
    zombies_last: bool


class Play:
    """One program on the store, with a tenant of its own."""

    _numbers = itertools.count()

    def __init__(self, program: Program, store: PgVectorStore, connection: "asyncpg.Connection[Any]") -> None:
        self._program = program
        self._world = program.world
        self._tenant = f"t{next(Play._numbers)}"
        self._connection = connection
        self._store = store
        self._topic = Topic(program.world)
        self._model = Model(program.world)
        self._readers = [Reader(store, self._topic, self._model) for _ in range(WORKERS)]
        self._counts = dict.fromkeys(DOCUMENTS, 0)

    async def run(self) -> None:
        """Do every step, let everybody finish, and look at the rows each time."""
        steps: dict[str, Callable[..., Awaitable[bool]]] = {
            "publish": self._publish,
            "read": self._read,
            "write": self._write,
            "work": self._work,
            "write together": self._write_together,
            "seek": self._seek,
            "replay": self._replay,
            "make anew": self._make_anew,
        }
        for what, *drawn in self._program.steps:
            if await steps[what](*drawn) and not self._world.ahead:
                await self._look()
        last = Reader(self._store, self._topic, self._model)
        everybody = [*self._readers, last] if not self._program.zombies_last else [last, *self._readers]
        for reader in everybody:
            await (reader.finish() if reader is last else reader.write_all())
        await self._look()

    async def _publish(self, name: str, say: int, place: int, odd: int) -> bool:
        """Publish a version of a document, or its deletion, in the batch before or some time later."""
        topic, number = self._topic, self._counts[name]
        self._counts[name] += 1
        topic.now_ms += (0, 1, 400)[odd % 3]
        where = PLACES[place % len(PLACES) if self._world.wanders else DOCUMENTS.index(name)]
        version = self._version(number, odd)
        told = [(headers.ID, name), (headers.TENANT, self._tenant)]
        told += [(headers.VERSION, str(version))] if version is not None else []
        says = {"text": TEXTS[say % 4], "title": f"title {say // 4}", "metadata": {"number": number}}
        value = msgspec.json.encode(says) if say < len(TEXTS) + 2 else None
        record = Record(name.encode(), value, tuple((key, text.encode()) for key, text in told))
        self._note(topic.append(where, record, self._timestamp(odd)), version)
        return False

    def _version(self, number: int, odd: int) -> int | None:
        kind = self._world.versions
        if kind is Versions.NONE or (kind is Versions.MIXED and odd % 2):
            return None
        if kind is Versions.GROWING:
            return number // 2
        return number ^ 1 if odd < 4 or kind is Versions.DISTINCT else odd

    def _timestamp(self, odd: int) -> int:
        skew = (odd % 3 - 1) * (HOUR_MS if self._world.ahead and odd > 3 else SKEW_MS) if self._world.skewed else 0
        return self._topic.now_ms + skew

    def _note(self, message: Message, version: int | None) -> None:
        """Tell the model of a record that was published, not replayed."""
        told = {name: (value or b"").decode() for name, value in message.headers}
        says = msgspec.json.decode(message.value) if message.value is not None else {}
        metadata = says.get("metadata")
        row = Row(
            (message.topic, message.partition, message.offset, message.timestamp),
            version,
            says.get("title"),
            None if metadata is None else msgspec.json.encode(metadata).decode(),
            message.value is None,
            tuple((text, struct.unpack(">3f", vector(text))) for text in says.get("text", "").split()),
        )
        self._model.publish(Published(told[headers.ID], message.place, version, self._topic.incarnation, row))

    async def _read(self, worker: int, count: int) -> bool:
        resolved = self._model.count
        await self._readers[worker].read(count // 2 + 1)
        return self._model.count > resolved

    async def _write(self, worker: int, pick: int) -> bool:
        turn = self._readers[worker:] + self._readers[:worker]
        reader = next((one for one in turn if one.hand), turn[0])
        hand = reader.hand
        ways = (hand, hand[::-1], hand[: pick // 4 + 1], hand[-1 - pick // 4 :])
        await reader.write(ways[pick % 4])
        return True

    async def _work(self, worker: int, count: int) -> bool:
        """Read a little and write it, as a worker does that is alone."""
        reader = self._readers[worker]
        await reader.read(count // 3 + 1)
        await reader.write(reader.hand)
        return True

    async def _write_together(self, one: int, other: int) -> bool:
        """Write what two workers hold at the same time; one after the other where only the rules say what wins."""
        both = [self._readers[number] for number in sorted({one, other})]
        writes = [reader.write(reader.hand) for reader in both]
        if self._world.is_ordered:
            await asyncio.gather(*writes)
        else:
            for write in writes:
                await write
        return True

    async def _seek(self, worker: int, offset: int) -> bool:
        self._readers[worker].seek(offset if self._world.seeks_anywhere else 0)
        return False

    async def _replay(self, which: int, how: int) -> bool:
        """Publish again what was published before: as a replay, as a plain tool does, or with a forged origin."""
        topic = self._topic
        if not topic.history:
            return False
        message = topic.history[which % len(topic.history)]
        topic.now_ms += how % 2
        place = (message.topic, message.partition)
        timestamp = topic.now_ms
        if how == 7:
            record = forged(message, Origin(*place, 10**6, timestamp + 1, self._world.clock))
        else:
            record = as_replay(message, by_headrace=how < 4)
        first = origin_of(message)[0]
        if self._world.clock is not APPENDED and how < 4:
            timestamp = max(timestamp, first.timestamp + 1)
        ordinal = len(topic.logs[place])
        believed = how != 7 and (
            first.timestamp < timestamp
            or (first.timestamp == timestamp and (first.topic, first.partition) == place and first.offset < ordinal)
        )
        if believed or self._world.versions in {Versions.NONE, Versions.MIXED}:
            carrier = topic.append(place, record, timestamp)
            if not believed:
                self._note(carrier, self._model.records[first].version)
        return False

    async def _make_anew(self, odd: int) -> bool:
        del odd
        if self._world.made_anew:
            self._topic.make_anew()
            for reader in self._readers:
                reader.begin_anew()
        return False

    async def _look(self) -> None:
        stored, expected = await self._rows(), self._model.expected()
        assert stored == expected, WRONG

    async def _rows(self) -> dict[str, Row]:
        documents = await self._connection.fetch(DOCUMENT_ROWS, self._tenant)
        chunks: dict[str, list[tuple[str, tuple[float, ...]]]] = {}
        for document, ordinal, text, embedding in await self._connection.fetch(CHUNK_ROWS, self._tenant):
            of_document = chunks.setdefault(document, [])
            assert len(of_document) == ordinal, f"a chunk of {document} is missing before {ordinal}"
            of_document.append((text, tuple(embedding)))
        rows = {
            name: Row(
                (topic, partition, offset, timestamp),
                version,
                title,
                metadata,
                is_deleted,
                tuple(chunks.pop(name, ())),
                None if self._world.is_ordered else greatest,
            )
            for name, version, greatest, title, metadata, is_deleted, topic, partition, offset, timestamp in documents
        }
        assert not chunks, "chunks of no document"
        return rows


DOCUMENT_ROWS = """
SELECT id, version, fence_ts, title, replace(metadata::text, ' ', ''), deleted_at IS NOT NULL,
       origin_topic, origin_partition, origin_offset, origin_timestamp
FROM docs.documents WHERE tenant = $1
"""
CHUNK_ROWS = """
SELECT document_id, ordinal, text, embedding::real[] FROM docs.chunks WHERE tenant = $1 ORDER BY document_id, ordinal
"""


Spoil = Callable[[PgVectorStore, "asyncpg.Connection[Any]"], Coroutine[Any, Any, None]]


def play_all(database: str, how_many: int, worlds: Sequence[World], spoil: Spoil | None = None) -> None:
    """Run so many programs on one database, spoilt first; raises the AssertionError of one that ends wrong."""
    drawn = st.builds(Program, st.sampled_from(worlds), st.lists(STEPS, min_size=16, max_size=40), st.booleans())
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(database))
        runner.run(connection.execute(f"ALTER DATABASE {urlsplit(database).path[1:]} SET synchronous_commit = off"))
        store = PgVectorStore(StoreSettings(dsn=SecretStr(database)))
        runner.run(store.create(FINGERPRINT))
        if spoil is not None:
            runner.run(spoil(store, connection))

        @settings(
            max_examples=how_many,
            derandomize=ASKED is None,
            database=None,
            deadline=None,
            phases=[Phase.generate, Phase.shrink] if spoil is None else [Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(program=drawn)
        def play(program: Program) -> None:
            runner.run(Play(program, store, connection).run())

        try:
            play()
        finally:
            runner.run(connection.close())
            runner.run(store.aclose())


@pytest.mark.timeout(900)
def test_the_right_record_wins_whatever_is_done(database: str) -> None:
    play_all(database, PROGRAMS, WORLDS)


MIXED, SKEWED, ONE, ANY = (WORLDS[number] for number in (7, 3, 0, 1))
BREAKS_IN_SQL = {
    "whatever is written last wins": (ONE, "write_documents", "ELSE false", "ELSE true"),
    "offsets alone decide": (ONE, "fence", "AND fence_ts <= row_fence_ts THEN 'stale'", "THEN 'stale'"),
    "a topic made anew is not noticed": (ONE, "fence", "WHEN log_append_time AND", "WHEN false AND"),
    "a tie goes to the smaller partition": (ANY, "fence", "WHEN partition < row_p", "WHEN partition > row_p"),
    "lower versions win": (MIXED, "fence", "WHEN version < row_version", "WHEN false"),
    "a deletion forgets the version": (MIXED, "write_documents", "coalesce(excluded.version, d.version)", "NULL"),
    "not the greatest timestamp": (MIXED, "write_documents", "greatest(d.fence_ts, excluded.fence_ts)", "d.fence_ts"),
    "a deletion keeps its hash": (
        ONE,
        "write_documents",
        "    content_hash = excluded.content_hash",
        "    content_hash = coalesce(excluded.content_hash, d.content_hash)",
    ),
    "a longer version's chunks stay": (ONE, "remove_surplus", "c.ordinal >= k.kept", "c.ordinal > k.kept"),
    "a chunk keeps the vector of another text": (ONE, "write_chunk", "embedding = excluded.emb", "embedding = c.emb"),
}
BREAKS_IN_PYTHON: dict[str, tuple[World, object, str, object]] = {
    "a replay is a record of its own": (ONE, decoding, "origin_of", lambda message: (message.place, False)),
    "whatever origin is told is believed": (ONE, decoding, "_is_older", lambda told, place: told != place),
    "clocks that run backwards are followed": (SKEWED, PartitionTracker, "in_order", lambda _, timestamp: timestamp),
    "all but the last of a group are left out": (MIXED, fence, "surpasses", lambda later, earlier: later != earlier),
}


@pytest.mark.parametrize("what", BREAKS_IN_SQL)
def test_a_break_in_sql_is_found(database: str, what: str) -> None:
    world, query, right, wrong = BREAKS_IN_SQL[what]

    async def spoil(store: PgVectorStore, connection: "asyncpg.Connection[Any]") -> None:
        of_fence = await connection.fetchval("SELECT pg_get_functiondef('docs.fence'::regproc)")
        source = of_fence if query == "fence" else store._queries[query]
        assert source.count(right) == 1
        store._queries = {**store._queries, query: source.replace(right, wrong)}
        await connection.execute(store._queries.get("fence", "SELECT"))

    with pytest.raises(AssertionError, match=WRONG):
        play_all(database, FOUND_WITHIN, [world], spoil)


@pytest.mark.parametrize("what", BREAKS_IN_PYTHON)
def test_a_break_in_python_is_found(database: str, what: str) -> None:
    world, owner, name, broken = BREAKS_IN_PYTHON[what]
    with patch.object(owner, name, broken), pytest.raises(AssertionError, match=f"{WRONG}|is no record"):
        play_all(database, FOUND_WITHIN, [world], _nothing)


async def _nothing(*told: object) -> None:
    del told
