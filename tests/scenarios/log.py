"""What does a scenario do with Kafka? It plays everybody but the worker: publishers, operators, and readers."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import GroupCoordinatorNotAvailableError
from aiokafka.structs import OffsetAndMetadata, RecordMetadata

from schemas.dead_letters import Record
from schemas.messages import Headers
from schemas.settings import Settings

MAX_REQUEST = 32 * 1024 * 1024


@dataclass(frozen=True)
class Sent:
    """A record that Kafka has acknowledged, and where it lies."""

    key: bytes | None
    value: bytes | None
    headers: Headers
    partition: int
    offset: int
    timestamp: int = 0


class Log:
    """The topics of one scenario and the offsets of its group."""

    def __init__(self, settings: Settings) -> None:
        """Take the settings of the worker; nothing is connected before it is needed."""
        self._servers = settings.kafka.bootstrap_servers
        self._partitions = settings.kafka.partitions
        self.topic = settings.kafka.topic
        self.dlq_topic = settings.kafka.dlq_topic
        self.group = settings.group

    @asynccontextmanager
    async def producer(self, **options: object) -> AsyncIterator[AIOKafkaProducer]:
        """Lend a producer for whatever ``publish`` does not do."""
        usual = {"max_request_size": MAX_REQUEST, "linger_ms": 5, "acks": "all", "enable_idempotence": True}
        producer = AIOKafkaProducer(bootstrap_servers=self._servers, **(usual | options))
        async with producer:
            yield producer

    async def send_batch(
        self,
        producer: AIOKafkaProducer,
        records: Iterable[Record],
        partition: int,
        spoil: Callable[[Any], None] | None = None,
    ) -> "asyncio.Future[RecordMetadata]":
        """Send all records in one batch, *spoil* it before; the answer tells of the first one."""
        batch = producer.create_batch()
        for record in records:
            added = batch.append(key=record.key, value=record.value, timestamp=None, headers=list(record.headers))
            assert added is not None, "the batch is full"
        batch.close()
        if spoil is not None:
            spoil(batch)
        answer: asyncio.Future[RecordMetadata] = await producer.send_batch(batch, self.topic, partition=partition)
        return answer

    async def _send(
        self, producer: AIOKafkaProducer, records: Iterable[Record], partition: int
    ) -> "asyncio.Future[RecordMetadata]":
        [record] = records
        answer: asyncio.Future[RecordMetadata] = await producer.send(
            self.topic, record.value, record.key, partition=partition, headers=list(record.headers)
        )
        return answer

    async def publish(self, records: Iterable[Record], partition: int | None = None) -> list[Sent]:
        """Send records, to *partition* or by their keys; return where they lie when all are acknowledged."""
        async with self.producer() as producer:
            waiting = []
            for record in records:
                place = self.partition_of(record.key) if partition is None else partition
                # The client refuses to send a record that is all null; other clients do not.
                alone = record.key is None and record.value is None
                waiting.append((record, await (self.send_batch if alone else self._send)(producer, [record], place)))
            acknowledged = [(record, await sent) for record, sent in waiting]
        return [
            Sent(record.key, record.value, record.headers, told.partition, told.offset, told.timestamp)
            for record, told in acknowledged
        ]

    def partition_of(self, key: bytes | None) -> int:
        """Return where a key goes: always the same place."""
        return crc32(key or b"") % self._partitions

    async def ends(self) -> dict[int, int]:
        """Return the end of every partition of the source topic."""
        async with self._consumer() as consumer:
            ends = await consumer.end_offsets(self._places(self.topic, range(self._partitions)))
        return {place.partition: end for place, end in ends.items()}

    async def committed(self) -> dict[int, int]:
        """Return what the group has committed, by partition."""
        return {partition: told.offset for partition, told in (await self.commits()).items()}

    async def commits(self) -> dict[int, OffsetAndMetadata]:
        """Return the commits of the group with their metadata, by partition."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self._servers, request_timeout_ms=5_000)
        try:
            await admin.start()
            try:
                found = await admin.list_consumer_group_offsets(self.group)
            except GroupCoordinatorNotAvailableError:
                return {}  # a new broker that no group has asked for anything yet
        finally:
            await admin.close()
        return {place.partition: told for place, told in found.items() if told.offset >= 0}

    async def commit(self, positions: Mapping[int, int], metadata: str = "") -> None:
        """Commit for the group while it is empty, as Kafka's own tools do."""
        places = {TopicPartition(self.topic, p): OffsetAndMetadata(offset, metadata) for p, offset in positions.items()}
        async with self._consumer(group_id=self.group) as consumer:
            consumer.assign(list(places))
            await consumer.commit(places)

    async def delete_before(self, offsets: Mapping[int, int]) -> None:
        """Let the records below these offsets be gone, as retention does."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self._servers, request_timeout_ms=20_000)
        try:
            await admin.start()
            await admin.delete_records(
                {TopicPartition(self.topic, p): RecordsToDelete(offset) for p, offset in offsets.items()}
            )
        finally:
            await admin.close()

    async def join_and_leave(self) -> None:
        """Be a member of the group until partitions are assigned, and leave again: two rebalances."""
        async with self.member():
            pass

    @asynccontextmanager
    async def member(self) -> AsyncIterator[None]:
        """Be a member of the group, from the assignment of partitions on."""
        async with self._consumer(group_id=self.group) as consumer:
            consumer.subscribe([self.topic])
            async with asyncio.timeout(60):
                while not consumer.assignment():
                    await asyncio.sleep(0.1)
            yield

    async def dead_letters(self) -> list[Sent]:
        """Read the dead-letter topic from its start to its end."""
        found = []
        async with self._consumer(auto_offset_reset="earliest", max_partition_fetch_bytes=MAX_REQUEST) as consumer:
            places = self._places(self.dlq_topic, range(self._partitions))
            consumer.assign(places)
            ends = await consumer.end_offsets(places)
            async with asyncio.timeout(30):
                while any([await consumer.position(place) < end for place, end in ends.items()]):
                    got = await consumer.getmany(timeout_ms=200)
                    found += [record for records in got.values() for record in records]
        return [Sent(r.key, r.value, r.headers, r.partition, r.offset, r.timestamp) for r in found]

    @asynccontextmanager
    async def _consumer(self, group_id: str | None = None, **options: object) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._servers, group_id=group_id, enable_auto_commit=False, **options
        )
        async with consumer:
            yield consumer

    @staticmethod
    def _places(topic: str, partitions: Iterable[int]) -> list[TopicPartition]:
        return [TopicPartition(topic, partition) for partition in partitions]
