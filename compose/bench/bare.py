"""The least code that does the same work: pull, look up, embed, upsert, commit.

It guarantees nothing: it commits what it has read, not what it has stored, and a fault of any part ends it. What the
worker costs beyond this is the price of its guarantees. It fills the same tables with statements of its own, so that it
stays what it is when the worker's are changed.
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
from consumers.providers.profiles import limits_of
from consumers.stores.connections import Connections
from producers.connection import client_options
from schemas import sql
from schemas.settings import Settings

POLL_MS, MAX_RECORDS = 20, 1000
COMMIT_EVERY_S = 1.0

LOOK_UP = """
SELECT k.n, d.content_hash = k.hash
FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY AS k(id, hash, n)
JOIN {index}.documents AS d ON d.tenant = 'default' AND d.id = k.id
"""
WRITE_DOCUMENTS = """
INSERT INTO {index}.documents (
    tenant, id, origin_topic, origin_partition, origin_offset, origin_timestamp, log_append_time, fence_ts,
    content_hash, chunk_count, embedded_at, stored_at, revision)
SELECT 'default', id, $6, partition, "offset", "timestamp", true, "timestamp", hash, 1, now(), now(), 1
FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::bigint[], $5::bytea[])
     AS k(id, partition, "offset", "timestamp", hash)
ON CONFLICT (tenant, id) DO UPDATE SET
    origin_topic = excluded.origin_topic,
    origin_partition = excluded.origin_partition,
    origin_offset = excluded.origin_offset,
    origin_timestamp = excluded.origin_timestamp,
    content_hash = excluded.content_hash,
    stored_at = excluded.stored_at
"""
WRITE_CHUNK = """
INSERT INTO {index}.chunks (tenant, document_id, ordinal, text, hash, tokens, embedding, embedded_at)
VALUES ('default', $1, 0, $2, $3, $4, $5, now())
ON CONFLICT (tenant, document_id, ordinal) DO UPDATE SET
    text = excluded.text,
    hash = excluded.hash,
    tokens = excluded.tokens,
    embedding = excluded.embedding,
    embedded_at = excluded.embedded_at
"""
SAVE_POSITIONS = """
INSERT INTO {index}.positions (consumer_group, topic, partition, next_offset, saved_at)
SELECT $1, $2, partition, next_offset, now() FROM unnest($3::integer[], $4::bigint[]) AS k(partition, next_offset)
ON CONFLICT (consumer_group, topic, partition) DO UPDATE SET next_offset = excluded.next_offset
"""


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
        index = sql.identifier(settings.store.index)
        statements = (LOOK_UP, WRITE_DOCUMENTS, WRITE_CHUNK, SAVE_POSITIONS)
        self._look_up, self._write_documents, self._write_chunk, self._save_positions = (
            statement.format(index=index) for statement in statements
        )
        self._value = msgspec.json.Decoder(Value)
        self._reply = msgspec.json.Decoder(Reply)

    async def run(self, consumer: Any, stopping: asyncio.Event) -> None:  # noqa: ANN401 - aiokafka publishes no types
        """Work until *stopping*."""
        waiting: list[ConsumerRecord] = []
        size = limits_of(self._settings.provider).items
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
        ids, texts = [value.id for value in values], [value.text for value in values]
        hashes = [hashlib.blake2b(text.encode(), digest_size=32).digest() for text in texts]
        async with self._connections.one() as connection:
            await connection.fetch(self._look_up, ids, hashes)
        vectors = await self._embed(texts)
        rows = [
            (value.id, value.text, digest[:16], len(value.text) // 4, vector)
            for value, digest, vector in zip(values, hashes, vectors, strict=True)
        ]
        origins = (
            [record.partition for record in records],
            [record.offset for record in records],
            [record.timestamp for record in records],
        )
        async with self._connections.one() as connection, connection.transaction():
            await connection.execute(self._write_documents, ids, *origins, hashes, self._settings.kafka.topic)
            await connection.executemany(self._write_chunk, rows)

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
                await connection.execute(self._save_positions, *arguments)
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
