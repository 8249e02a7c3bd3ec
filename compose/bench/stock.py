"""What does an index hold before a run? Documents as an earlier run would have left them, written by ourselves."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from itertools import cycle, islice
from typing import TypeAlias

import asyncpg
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from compose.bench.results import Case, Workload
from compose.bench.texts import before, documents
from consumers.core.chunking import Chunker
from consumers.core.decoding import decode
from consumers.core.flight import Flight
from consumers.core.tracking import PartitionTracker
from consumers.providers.deterministic import vector_of
from consumers.stores.pgvector import PgVectorStore
from producers.connection import client_options
from producers.documents import record_of
from schemas import sql
from schemas.documents import Document
from schemas.index import Change, Fingerprint
from schemas.messages import Message, TimestampType
from schemas.settings import Settings

GROUP = 500
POLL_MS, MAX_RECORDS = 1000, 1000
VECTORS = 256
"""Different ones that are written: what is in a vector does not matter to a table without a vector index."""
FILL = """
INSERT INTO {index}.documents (
    tenant, id, origin_topic, origin_partition, origin_offset, origin_timestamp, log_append_time, fence_ts,
    content_hash, chunk_count, embedded_at, stored_at, revision)
SELECT 'default', 'row-' || n, 'earlier', 0, n, 1, true, 1, decode(md5(n::text), 'hex'), 1, now(), now(), 1
FROM generate_series(1, $1::integer) AS n
"""
FILL_CHUNKS = """
INSERT INTO {index}.chunks (tenant, document_id, ordinal, text, hash, tokens, embedding, embedded_at)
SELECT 'default', 'row-' || n, 0, 'row ' || n, decode(md5(n::text), 'hex'), 2,
       array_fill(0.1::real, ARRAY[$2::integer]), now()
FROM generate_series(1, $1::integer) AS n
"""

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Work: TypeAlias = Callable[[Message], Change]


async def fill(case: Case, settings: Settings, connection: Connection) -> None:
    """Write rows of documents that no message speaks of."""
    if case.rows:
        index = sql.identifier(settings.store.index)
        await connection.execute(FILL.format(index=index), case.rows)
        await connection.execute(FILL_CHUNKS.format(index=index), case.rows, case.dimensions)
        await connection.execute(f"ANALYZE {index}.documents, {index}.chunks")


def writer_of(settings: Settings, fingerprint: Fingerprint, different: int = VECTORS) -> Work:
    """Return what makes of a message the change that stores its document, with so many *different* vectors."""
    chunker, prefix = Chunker(settings.chunking), fingerprint.digest.encode()
    tracker, most = PartitionTracker(0, 0), settings.worker.max_document_bytes
    vectors = cycle([vector_of(str(n), fingerprint.dimensions) for n in range(different)])

    def change_of(message: Message) -> Change:
        flight = Flight(tracker, message, decode(message, message.timestamp, most), 0.0)
        if not isinstance(flight.subject, Document):
            raise TypeError("the benchmark publishes no deletions")
        flight.hashed(prefix)
        flight.fan_out(chunker.chunks(flight.subject.text, flight.subject.content_type))
        for ordinal in range(len(flight.chunks)):
            flight.arrive(ordinal, next(vectors))
        return flight.put()

    return change_of


async def stock(case: Case, settings: Settings, fingerprint: Fingerprint, store: PgVectorStore) -> None:
    """Write what the workload expects to find."""
    if case.workload in (Workload.LOAD, Workload.QUIET):
        return
    change_of = writer_of(settings, fingerprint, case.documents if case.hnsw else VECTORS)
    async for messages in _published(case, settings) if case.workload is Workload.UNCHANGED else _earlier(case):
        await store.write([change_of(message) for message in messages])


async def _earlier(case: Case) -> AsyncIterator[Sequence[Message]]:
    messages = _of_another_topic(case)
    size = 1 if case.is_cut else GROUP
    while group := list(islice(messages, size)):
        yield group


def _of_another_topic(case: Case) -> Iterator[Message]:
    for n, document in enumerate(documents(case)):
        if (held := before(case, document, n)) is not None:
            record = record_of(held)
            place = ("earlier", 0, n, 1, TimestampType.LOG_APPEND_TIME)
            yield Message(*place, record.key, record.value, record.headers)


async def _published(case: Case, settings: Settings) -> AsyncIterator[Sequence[Message]]:
    """Read what lies in the topic, behind a gate that is still closed."""
    kafka, count = settings.kafka, 0
    consumer = AIOKafkaConsumer(**client_options(kafka, "stock"), enable_auto_commit=False)
    async with consumer:
        places = [TopicPartition(kafka.topic, partition) for partition in range(kafka.partitions)]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        while count < case.published:
            for records in (await consumer.getmany(timeout_ms=POLL_MS, max_records=MAX_RECORDS)).values():
                messages = [message_of(record) for record in records if record.value]
                count += len(messages)
                for start in range(0, len(messages), GROUP):
                    yield messages[start : start + GROUP]


def message_of(record: ConsumerRecord) -> Message:
    """Return a record as a message."""
    place = (record.topic, record.partition, record.offset, record.timestamp, TimestampType.LOG_APPEND_TIME)
    return Message(*place, record.key, record.value, record.headers)
