"""How fast is each stage alone?"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from compose.bench.bare import WRITE_CHUNK
from compose.bench.results import Case, Stage
from compose.bench.site import Site, checkpoint
from compose.bench.stock import GROUP, message_of, writer_of
from compose.bench.texts import documents
from compose.service import fingerprint_of
from consumers.core.chunking import chunk_row
from consumers.core.decoding import Decoded, decode
from consumers.core.vectors import unpack
from consumers.kafka.source import MAX_RECORDS
from consumers.providers.deterministic import base64_of, digest_of, vector_of
from consumers.providers.openai import OpenAIProvider
from consumers.providers.profiles import limits_of, profile_of
from consumers.stores.connections import Connections
from consumers.stores.pgvector import PgVectorStore
from consumers.stores.vectors import stored_form
from producers.connection import client_options
from schemas import sql
from schemas.documents import Document
from schemas.settings import Settings

MOST = 20_000
"""Documents that a stage is measured with at most: they are all held in memory."""
POLL_MS = 1000
CONNECTIONS = 2
"""One prepares a transaction while the other waits for the disk."""

Piece = TypeVar("Piece")


class Stages:
    """Measures one stage after another; each works on what an earlier one has made."""

    def __init__(self, settings: Settings, case: Case) -> None:
        self._settings = settings
        self._case = case
        self._count = min(case.documents, MOST)

    async def drain(self) -> tuple[Stage, list[ConsumerRecord]]:
        """Pull records and do nothing with them."""
        kafka = self._settings.kafka
        consumer = AIOKafkaConsumer(
            **client_options(kafka, "drain"), enable_auto_commit=False, isolation_level="read_committed"
        )
        async with consumer:
            places = [TopicPartition(kafka.topic, partition) for partition in range(kafka.partitions)]
            consumer.assign(places)
            await consumer.seek_to_beginning(*places)
            records: list[ConsumerRecord] = []
            began = time.monotonic()
            while len(records) < self._count:
                for some in (await consumer.getmany(timeout_ms=POLL_MS, max_records=MAX_RECORDS)).values():
                    records += some
            return _stage("drain", len(records), began), records

    def decode(self, records: Sequence[ConsumerRecord]) -> tuple[Stage, list[Decoded]]:
        """Turn records into documents."""
        messages = [message_of(record) for record in records]
        now_ms, most = int(time.time() * 1000), self._settings.worker.max_document_bytes
        began = time.monotonic()
        decoded = [decode(message, now_ms, most) for message in messages]
        return _stage("decode", len(decoded), began), decoded

    async def embed(self, texts: Sequence[str], latency_ms: int | None) -> Stage:
        """Send texts and unpack the replies, as many calls at once as the worker has."""
        provider = self._settings.provider
        items = limits_of(provider).items
        calls = [texts[start : start + items] for start in range(0, len(texts), items)]
        async with OpenAIProvider(provider) as client:
            await client.embed(calls[0])  # connects
            began = time.monotonic()
            await _at_once(provider.concurrency, client.embed, calls)
        return _stage("embed", len(texts), began, latency_ms)

    def unpack(self) -> Stage:
        """Turn replies, which are here already, into checked and packed vectors."""
        items, dimensions = min(limits_of(self._settings.provider).items, self._count), self._case.dimensions
        vectors = base64_of([digest_of(str(n)) for n in range(items)], dimensions)
        data = b",".join(
            b'{"object":"embedding","index":%d,"embedding":"%b"}' % (n, vector) for n, vector in enumerate(vectors)
        )
        body = b'{"object":"list","data":[%b],"model":"fake","usage":{"prompt_tokens":1,"total_tokens":1}}' % data
        shape, replies = profile_of(self._settings.provider).shape, -(-self._count // items)
        began = time.monotonic()
        for _ in range(replies):
            unpack(body, items, dimensions, shape=shape)
        return _stage("unpack", replies * items, began)

    async def write(self, records: Sequence[ConsumerRecord], store: PgVectorStore) -> Stage:
        """Write documents whose vectors are there."""
        change_of = writer_of(self._settings, fingerprint_of(self._settings))
        changes = [change_of(message_of(record)) for record in records]
        groups = [changes[start : start + GROUP] for start in range(0, len(changes), GROUP)]
        began = time.monotonic()
        await _at_once(CONNECTIONS, store.write, groups)
        return _stage("write", len(changes), began)


async def write_directly(case: Case, settings: Settings, site: Site) -> Stage:
    """Upsert the chunks of all documents with new vectors and nothing beside them: what the table itself can take.

    A transaction holds as many rows as the worker's.
    """
    rows = [_row(document, case) for document in documents(case)]
    rows.sort()
    statement = WRITE_CHUNK.format(index=sql.identifier(settings.store.index))
    connections = Connections(settings.store)

    async def write(group: Sequence[tuple[object, ...]]) -> None:
        async with connections.one() as connection, connection.transaction():
            await connection.executemany(statement, group)

    try:
        await _at_once(CONNECTIONS, write, [[]] * CONNECTIONS)  # connects
        async with site.connection() as watcher:
            await checkpoint(watcher)
        began = time.monotonic()
        await _at_once(CONNECTIONS, write, [rows[start : start + GROUP] for start in range(0, len(rows), GROUP)])
        return _stage("direct writes", len(rows), began)
    finally:
        await connections.aclose()


def _row(document: Document, case: Case) -> tuple[object, ...]:
    chunk = chunk_row(document.text)
    [vector] = stored_form([vector_of(document.text, case.dimensions)], case.vector_type)
    return document.id, chunk.text, chunk.hash, chunk.tokens, vector


def _stage(name: str, documents: int, began: float, latency_ms: int | None = None) -> Stage:
    rate = round(documents / (time.monotonic() - began), 1)
    return Stage(name=name, documents=documents, documents_per_s=rate, latency_ms=latency_ms)


async def _at_once(most: int, work: Callable[[Piece], Awaitable[object]], pieces: Sequence[Piece]) -> None:
    """Do all the work, *most* pieces at a time."""
    waiting = iter(pieces)

    async def some() -> None:
        for piece in waiting:
            await work(piece)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(most):
            tasks.create_task(some())
