"""The least code that does the same work: pull, look up, embed, upsert, commit.

It guarantees nothing: it commits what it has read, not what it has stored, and a fault of any part ends it. What the
worker costs beyond this is the price of its guarantees. It writes the same rows by the same statements.
"""

import asyncio
import hashlib
import os
import signal
import time
from typing import Any

import aiohttp
import msgspec
import numpy as np
import orjson
import uvloop
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from compose.configuration import load
from consumers.stores.connections import Connections
from producers.connection import client_options
from schemas import sql
from schemas.settings import Settings

POLL_MS, MAX_RECORDS = 20, 1000
COMMIT_EVERY_S = 1.0


class Value(msgspec.Struct):
    """A document, as far as the bare loop cares."""

    id: str
    text: str


class Item(msgspec.Struct, gc=False):
    """A vector of a reply."""

    embedding: bytes


class Reply(msgspec.Struct):
    """A reply, whose vectors are believed to be in order."""

    data: list[Item]


class BareLoop:
    """Pull in one task; look up, embed and write in as many as the provider takes at once."""

    def __init__(self, settings: Settings, connections: Connections, session: aiohttp.ClientSession) -> None:
        self._settings = settings
        self._connections = connections
        self._session = session
        self._queries = sql.queries({"index": sql.identifier(settings.store.index), "vector_schema": ""})
        self._value = msgspec.json.Decoder(Value)
        self._reply = msgspec.json.Decoder(Reply)

    async def run(self, consumer: Any, stopping: asyncio.Event) -> None:  # noqa: ANN401 - aiokafka publishes no types
        """Work until *stopping*."""
        waiting: list[ConsumerRecord] = []
        size = self._settings.provider.max_items
        slots = asyncio.Semaphore(self._settings.provider.concurrency)
        committed_at = 0.0
        async with asyncio.TaskGroup() as tasks:
            under_way: set[asyncio.Task[None]] = set()
            while not stopping.is_set():
                got = await consumer.getmany(timeout_ms=POLL_MS, max_records=MAX_RECORDS)
                for records in got.values():
                    waiting += records
                while len(waiting) >= size or (waiting and not got):
                    await slots.acquire()
                    task = tasks.create_task(self._store(waiting[:size]))
                    under_way.add(task)
                    task.add_done_callback(under_way.discard)
                    task.add_done_callback(lambda _: slots.release())
                    del waiting[:size]
                idle = not got and not under_way
                if idle or time.monotonic() - committed_at > COMMIT_EVERY_S:
                    committed_at = time.monotonic()
                    await self._commit(consumer, save=idle)

    async def _store(self, records: list[ConsumerRecord]) -> None:
        values = [self._value.decode(record.value) for record in records]
        texts = [value.text for value in values]
        hashes = [hashlib.blake2b(text.encode(), digest_size=32).digest() for text in texts]
        columns = self._columns(records, [value.id for value in values], hashes)
        async with self._connections.one() as connection:
            await connection.fetch(self._queries["look_up"], *columns)
        vectors = await self._embed(texts)
        count = len(records)
        rows = [
            ("default", value.id, 0, value.text, digest[:16], len(value.text) // 4, vector, None)
            for value, digest, vector in zip(values, hashes, vectors, strict=True)
        ]
        async with self._connections.one() as connection, connection.transaction():
            none = [None] * count
            await connection.fetch(self._queries["write_documents"], *columns, [1] * count, none, none)
            await connection.executemany(self._queries["write_chunk"], rows)

    def _columns(self, records: list[ConsumerRecord], ids: list[str], hashes: list[bytes]) -> tuple[list[Any], ...]:
        count = len(records)
        timestamps = [record.timestamp for record in records]
        return (
            ["default"] * count,
            ids,
            [None] * count,
            [self._settings.kafka.topic] * count,
            [record.partition for record in records],
            [record.offset for record in records],
            timestamps,
            [True] * count,
            timestamps,
            hashes,
        )

    async def _embed(self, texts: list[str]) -> list[bytes]:
        provider = self._settings.provider
        request = {
            "model": provider.model,
            "input": texts,
            "encoding_format": "base64",
            "dimensions": provider.dimensions,
        }
        async with self._session.post(f"{provider.base_url}/embeddings", data=orjson.dumps(request)) as response:
            response.raise_for_status()
            reply = self._reply.decode(await response.read())
        packed = np.frombuffer(b"".join(item.embedding for item in reply.data), "<f4").astype(">f4").tobytes()
        width = len(packed) // len(texts)
        return [packed[start : start + width] for start in range(0, len(packed), width)]

    async def _commit(self, consumer: Any, *, save: bool) -> None:  # noqa: ANN401 - aiokafka publishes no types
        positions = {place.partition: await consumer.position(place) for place in consumer.assignment()}
        if not positions:
            return
        kafka = self._settings.kafka
        if save:
            async with self._connections.one() as connection:
                arguments = (self._settings.group, kafka.topic, [*positions], [*positions.values()])
                await connection.execute(self._queries["save_positions"], *arguments)
        await consumer.commit({TopicPartition(kafka.topic, p): position for p, position in positions.items()})


async def main() -> None:
    """Run the loop as the environment says, until SIGTERM."""
    settings = load(None, os.environ, {}).settings
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    connections = Connections(settings.store)
    consumer = AIOKafkaConsumer(
        settings.kafka.topic,
        **client_options(settings.kafka, "bare"),
        group_id=settings.group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    connector = aiohttp.TCPConnector(limit=settings.provider.concurrency)
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
    try:
        async with aiohttp.ClientSession(connector=connector, headers=headers) as session, consumer:
            await BareLoop(settings, connections, session).run(consumer, stopping)
    finally:
        await connections.aclose()


if __name__ == "__main__":
    uvloop.run(main())
