"""The model is changed while documents are published all the time, and while a reader polls the views all the time.

Invariant: no statement and no transaction of a reader sees rows of two models, chunks without their documents, an empty
result or an error; what is promoted is complete; the index that was left serves again after ``promote --back``.
Fault: an index of another model is filled from the start of the topic by a second group, promoted, left, promoted
again, and the first one dropped.
"""

import asyncio
import json
import random
import struct
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg

from compose.embedded.endpoints import Endpoints
from compose.fake_provider.process import FakeProvider
from consumers.providers.deterministic import vector_of
from tests.scenarios.harness import Harness, document
from tests.scenarios.replaying import WITHIN_S, headrace
from tests.stack.topics import Topics

WIDER = 24
FIRST_LOAD = 200
PAUSE_S = 0.05
PUBLISH_S = 0.3
DIMENSIONS = {"fake": 8, "wider": WIDER}

ONE_STATEMENT = """
SELECT d.index, d.model, d.id, c.index AS chunk_index, c.model AS chunk_model, c.dimensions,
       vector_dims(c.embedding) AS length
FROM headrace.documents AS d
FULL JOIN headrace.chunks AS c ON c.tenant = d.tenant AND c.document_id = d.id
"""
DOCUMENTS = "SELECT index, model, id FROM headrace.documents"
CHUNKS = "SELECT index, model, dimensions, document_id AS id, vector_dims(embedding) AS length FROM headrace.chunks"


class Reader:
    """An application that reads the views all the time, in one statement or in two of one transaction."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self.polls = 0
        self.seen: list[str] = []
        """The indexes that were read, each time that it was another one than before."""

    async def run(self, over: asyncio.Event) -> None:
        """Read until it is over; raise at the first thing that no reader should see."""
        connection = await asyncpg.connect(self._dsn)
        try:
            for views in self._orders():
                if over.is_set():
                    break
                index = await (self._at_once(connection) if views is None else self._in_turn(connection, views))
                if self.seen[-1:] != [index]:
                    self.seen.append(index)
                self.polls += 1
                await asyncio.sleep(PAUSE_S)
        finally:
            await connection.close()

    @staticmethod
    def _orders() -> Iterator[tuple[str, str] | None]:
        chance = random.Random(7)
        ways = (None, ("documents", "chunks"), ("chunks", "documents"))
        return (chance.choice(ways) for _ in count())

    async def _at_once(self, connection: "asyncpg.Connection[asyncpg.Record]") -> str:
        rows = await connection.fetch(ONE_STATEMENT)
        [(index, model)] = {(row["index"], row["model"]) for row in rows}
        assert {(row["chunk_index"], row["chunk_model"]) for row in rows} == {(index, model)}
        assert {row["length"] for row in rows} == {row["dimensions"] for row in rows} == {DIMENSIONS[model]}
        return str(index)

    async def _in_turn(self, connection: "asyncpg.Connection[asyncpg.Record]", views: tuple[str, str]) -> str:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            rows = {}
            for view in views:
                rows[view] = await connection.fetch(DOCUMENTS if view == "documents" else CHUNKS)
                await asyncio.sleep(PAUSE_S / 2)
        [(index, model)] = {(row["index"], row["model"]) for row in [*rows["documents"], *rows["chunks"]]}
        assert {row["id"] for row in rows["documents"]} == {row["id"] for row in rows["chunks"]}
        assert {row["length"] for row in rows["chunks"]} == {DIMENSIONS[model]}
        return str(index)


async def test_a_model_is_changed_under_load_and_no_reader_notices_more_than_that(
    stack: Endpoints, database: str, topics: Topics, folder: Path
) -> None:
    async with (
        FakeProvider(dimensions=WIDER) as provider,
        Harness(stack.bootstrap_servers, database, topics.name(""), folder) as harness,
    ):
        await harness.publish(document(n) for n in range(FIRST_LOAD))
        first = harness.worker()
        await harness.wait_until(harness.caught_up, "the first load is stored")
        reader = Reader(database)
        async with going_on(reader.run), going_on(lambda over: publish(harness, over)):
            wider = {
                "provider__base_url": provider.base_url,
                "provider__model": "wider",
                "provider__dimensions": WIDER,
                "store__index": "docs_v2",
                "kafka__group": f"{harness.settings().group}-v2",
            }
            flags = [word for name, value in wider.items() for word in ("--set", f"{name.replace('__', '.')}={value}")]
            await answer(harness, "index", "create", "docs_v2", *flags)
            second = harness.worker(**wider)
            done = json.loads(await answer(harness, "index", "promote", "docs_v2", "--json", after_refusals=True))
            assert done["switched"]["index"] == "docs_v2"
            assert done["coverage"]["missing"] == done["coverage"]["stale"] == 0
            await answer(harness, "index", "promote", "--back")
            await answer(harness, "index", "promote", "docs_v2")
            assert await first.stop() == 0
            await answer(harness, "index", "drop", "docs", "--yes")
            polls = reader.polls
            await harness.wait_until(lambda: later(reader, polls + 3), "the reader has read on")
        assert reader.seen == ["docs", "docs_v2", "docs", "docs_v2"]
        await harness.wait_until(lambda: is_whole(harness), "the second index holds all that was published last")
        assert await second.stop() == 0


@asynccontextmanager
async def going_on(work: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Let something go on meanwhile, until the event that it is given; what it raises is a failure."""
    over = asyncio.Event()
    task = asyncio.create_task(work(over))
    try:
        yield
        assert not task.done()
    finally:
        over.set()
        await task


async def publish(harness: Harness, over: asyncio.Event) -> None:
    """Publish new documents and new versions of others."""
    for n in count(FIRST_LOAD):
        if over.is_set():
            break
        await harness.publish([document(n), *(document(m, f"version {n}") for m in range(n % 50, FIRST_LOAD, 50))])
        await asyncio.sleep(PUBLISH_S)


async def answer(harness: Harness, *arguments: str, after_refusals: bool = False) -> str:
    """Run a command that does what it is told, at once or in the end, and return what it said."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            process = await headrace(harness, *arguments)
            out, err = await process.communicate()
            if process.returncode == 0:
                return out.decode()
            assert after_refusals, err.decode()
            assert b"not promoted: " in err


async def later(reader: Reader, polls: int) -> bool:
    return reader.polls >= polls


async def is_whole(harness: Harness) -> bool:
    """Say whether the second index holds, for each document, the vector of the text that was published last."""
    rows = await harness.index.fetch("SELECT document_id AS id, text, embedding::real[] AS vector FROM headrace.chunks")
    stored = {row["id"]: (row["text"], struct.pack(f">{WIDER}f", *row["vector"])) for row in rows}
    return stored == {id_: (one.text, vector_of(one.text, WIDER)) for (_, id_), [one] in harness.expected.items()}
