"""How fast is each stage alone?"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from compose.bench.results import Plan, Stage
from consumers.core.chunking import chunk_row
from consumers.core.decoding import Decoded, decode
from consumers.core.flight import content_hash
from consumers.kafka.source import MAX_RECORDS
from consumers.pipeline import WRITERS
from consumers.providers.deterministic import vector_of
from consumers.providers.openai import OpenAIProvider
from consumers.providers.profiles import limits_of
from consumers.stores.pgvector import PgVectorStore
from consumers.writing import MAX_GROUP
from producers.connection import client_options
from schemas.documents import Document
from schemas.index import Change, ChangeKind
from schemas.messages import Message, TimestampType
from schemas.settings import Settings

MOST = 20_000
"""Documents that a stage is measured with at most: they are all held in memory."""
POLL_MS = 1000
VECTORS = 256
"""Different ones that are written: what is in a vector does not matter to the database."""

Piece = TypeVar("Piece")


class Stages:
    """Measures one stage after another; each works on what an earlier one has made."""

    def __init__(self, settings: Settings, plan: Plan) -> None:
        self._settings = settings
        self._plan = plan
        self._count = min(plan.documents, MOST)

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
            return self._stage("drain", len(records), time.monotonic() - began), records

    def decode(self, records: Sequence[ConsumerRecord]) -> tuple[Stage, list[Decoded]]:
        """Turn records into documents."""
        messages = [_message(record) for record in records]
        now_ms, most = int(time.time() * 1000), self._settings.worker.max_document_bytes
        began = time.monotonic()
        decoded = [decode(message, now_ms, most) for message in messages]
        return self._stage("decode", len(decoded), time.monotonic() - began), decoded

    async def embed(self, texts: Sequence[str], latency_ms: int) -> Stage:
        """Send texts and unpack the replies, as many calls at once as the worker has."""
        provider = self._settings.provider
        items = limits_of(provider).items
        calls = [texts[start : start + items] for start in range(0, len(texts), items)]
        async with OpenAIProvider(provider) as client:
            await client.embed(calls[0])  # connects
            began = time.monotonic()
            await _at_once(provider.concurrency, client.embed, calls)
        return self._stage("embed", len(texts), time.monotonic() - began, latency_ms)

    async def write(self, decoded: Sequence[Decoded], store: PgVectorStore) -> Stage:
        """Write documents whose vectors are there."""
        vectors = [vector_of(str(n), self._plan.dimensions) for n in range(VECTORS)]
        changes = [_change(one, vectors[n % VECTORS]) for n, one in enumerate(decoded)]
        groups = [changes[start : start + MAX_GROUP] for start in range(0, len(changes), MAX_GROUP)]
        began = time.monotonic()
        await _at_once(WRITERS, store.write, groups)
        return self._stage("write", len(changes), time.monotonic() - began)

    @staticmethod
    def _stage(name: str, documents: int, seconds: float, latency_ms: int | None = None) -> Stage:
        rate = round(documents / seconds, 1)
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


def _message(record: ConsumerRecord) -> Message:
    place = (record.topic, record.partition, record.offset, record.timestamp, TimestampType.LOG_APPEND_TIME)
    return Message(*place, record.key, record.value, record.headers)


def _change(decoded: Decoded, vector: bytes) -> Change:
    document = decoded.subject
    if not isinstance(document, Document):
        raise TypeError("the benchmark publishes no deletions")
    chunk = chunk_row(document.text)
    chunk.vector = vector
    hashed = content_hash(b"", document.title, document.text)
    key = (document.tenant, document.id, document.version)
    return Change(ChangeKind.PUT, *key, decoded.origin, decoded.fence_ts, None, None, hashed, (chunk,))
