"""What does an index hold before a run? Documents as an earlier run would have left them, written by ourselves."""

from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import islice
from typing import TypeAlias

import asyncpg
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from compose.bench.results import Case, Workload
from compose.bench.texts import before, documents
from consumers.core.chunking import Chunker, text_digest
from consumers.core.decoding import decode
from consumers.core.flight import content_hash
from consumers.providers.deterministic import vector_of
from consumers.stores.pgvector import PgVectorStore
from producers.connection import client_options
from schemas import sql
from schemas.documents import Document
from schemas.index import Change, ChangeKind, Fingerprint
from schemas.messages import Message, Origin, TimestampType
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
SELECT 'default', 'row-' || n, 0, 'row ' || n, decode(md5(n::text), 'hex'), 2, array_fill(0.1::real, ARRAY[$2]), now()
FROM generate_series(1, $1::integer) AS n
"""

Known: TypeAlias = tuple[Document, Origin]
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


async def fill(case: Case, settings: Settings, connection: Connection) -> None:
    """Write rows of documents that no message speaks of."""
    if case.rows:
        index = sql.identifier(settings.store.index)
        await connection.execute(FILL.format(index=index), case.rows)
        await connection.execute(FILL_CHUNKS.format(index=index), case.rows, case.dimensions)
        await connection.execute(f"ANALYZE {index}.documents, {index}.chunks")


async def stock(case: Case, settings: Settings, fingerprint: Fingerprint, store: PgVectorStore) -> None:
    """Write what the workload expects to find."""
    if case.workload in (Workload.LOAD, Workload.QUIET):
        return
    chunker, prefix = Chunker(settings.chunking), fingerprint.digest.encode()
    vectors = [vector_of(str(n), case.dimensions) for n in range(VECTORS)]
    async for group in _known(case, settings):
        changes = []
        for n, (document, origin) in enumerate(group):
            chunks = chunker.chunks(document.text, document.content_type)
            for place, chunk in enumerate(chunks):
                chunk.vector = vectors[(n + place) % VECTORS]
            hashed = content_hash(prefix, document.title, text_digest(document.text))
            key = (document.tenant, document.id, document.version)
            changes.append(Change(ChangeKind.PUT, *key, origin, origin.timestamp, None, None, hashed, chunks))
        await store.write(changes)


async def _known(case: Case, settings: Settings) -> AsyncIterator[Sequence[Known]]:
    if case.workload is Workload.UNCHANGED:
        async for group in _published(case, settings):
            yield group
        return
    earlier = _earlier(case)
    size = GROUP if case.sizes in ("fixed", "small") else 1
    while group := list(islice(earlier, size)):
        yield group


def _earlier(case: Case) -> Iterator[Known]:
    for n, document in enumerate(documents(case)):
        if (held := before(case, document, n)) is not None:
            yield held, Origin("earlier", 0, n, 1, TimestampType.LOG_APPEND_TIME)


async def _published(case: Case, settings: Settings) -> AsyncIterator[Sequence[Known]]:
    """Read what lies in the topic, behind a gate that is still closed."""
    kafka, count = settings.kafka, 0
    consumer = AIOKafkaConsumer(**client_options(kafka, "stock"), enable_auto_commit=False)
    async with consumer:
        places = [TopicPartition(kafka.topic, partition) for partition in range(kafka.partitions)]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        while count < case.published:
            for records in (await consumer.getmany(timeout_ms=POLL_MS, max_records=MAX_RECORDS)).values():
                group = [known(record) for record in records if record.value]
                count += len(group)
                yield group


def known(record: ConsumerRecord) -> Known:
    """Return the document of a record and where it lies."""
    place = (record.topic, record.partition, record.offset, record.timestamp, TimestampType.LOG_APPEND_TIME)
    decoded = decode(Message(*place, record.key, record.value, record.headers), record.timestamp, len(record.value) + 1)
    if not isinstance(decoded.subject, Document):
        raise TypeError("the benchmark publishes no deletions")
    return decoded.subject, decoded.origin
