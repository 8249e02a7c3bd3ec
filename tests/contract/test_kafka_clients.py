"""The client in memory does to ``Source`` what aiokafka does on a real broker."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import CommitFailedError, IllegalStateError, NoOffsetForPartitionError
from aiokafka.structs import OffsetAndMetadata

from compose.embedded.endpoints import Endpoints
from consumers.kafka.fetched import let_go
from consumers.kafka.memory import MemoryBroker
from consumers.kafka.memory_client import MemoryAdmin, MemoryConsumer
from schemas.messages import TimestampType
from tests.stack.topics import Topics

WITHIN_S = 20.0


class Told(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka publishes no types
    """Remembers what a member was told, in order."""

    def __init__(self) -> None:
        self.events: list[tuple[str, frozenset[int]]] = []

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self.events.append(("revoked", frozenset(place.partition for place in revoked)))

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self.events.append(("assigned", frozenset(place.partition for place in assigned)))

    async def until(self, what: str, count: int) -> frozenset[int]:
        """Wait until this was told so often; return the partitions of the last time."""
        async with asyncio.timeout(WITHIN_S):
            while len(found := [partitions for told, partitions in self.events if told == what]) < count:
                await asyncio.sleep(0.02)
        return found[-1]


@dataclass
class Kafka:
    """A topic of two partitions, and what its group is made of."""

    topic: str
    new_consumer: Callable[[], Any]
    new_admin: Callable[[], Any]
    write: Callable[[int, int], Awaitable[None]]
    """Append so many records to a partition, in a transaction: its marker takes the offset behind them."""
    opened: list[Any] = field(default_factory=list)

    def place(self, partition: int) -> TopicPartition:
        return TopicPartition(self.topic, partition)

    async def join(self) -> tuple[Any, Told]:
        consumer, told = self.new_consumer(), Told()
        self.opened.append(consumer)
        await consumer.start()
        consumer.subscribe(topics=[self.topic], listener=told)
        return consumer, told

    async def alone(self) -> Any:  # noqa: ANN401 - either client
        consumer, told = await self.join()
        assert await told.until("assigned", 1) == {0, 1}
        return consumer


@pytest.fixture(params=["aiokafka", "memory"])
async def kafka(request: pytest.FixtureRequest, stack: Endpoints, topics: Topics) -> AsyncIterator[Kafka]:
    made = _in_memory() if request.param == "memory" else await _real(stack, topics)
    yield made
    for consumer in made.opened:
        await consumer.stop()


def _in_memory() -> Kafka:
    broker = MemoryBroker("docs", 2, session_s=0.4)

    async def write(partition: int, count: int) -> None:
        for number in range(count):
            broker.append(partition, b"k", b"%d" % number, (), 1, TimestampType.LOG_APPEND_TIME)
        broker.append_gap(partition)

    return Kafka("docs", partial(MemoryConsumer, broker), partial(MemoryAdmin, broker), write)


async def _real(stack: Endpoints, topics: Topics) -> Kafka:
    topic, group = await topics.create(partitions=2), f"group-{uuid4()}"
    servers = stack.bootstrap_servers

    async def write(partition: int, count: int) -> None:
        async with (
            AIOKafkaProducer(bootstrap_servers=servers, transactional_id=f"t-{uuid4()}") as producer,
            producer.transaction(),
        ):
            for number in range(count):
                await producer.send_and_wait(topic, b"%d" % number, b"k", partition)

    def consumer() -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            bootstrap_servers=servers,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            session_timeout_ms=6000,
            heartbeat_interval_ms=200,
        )

    return Kafka(topic, consumer, lambda: AIOKafkaAdminClient(bootstrap_servers=servers), write)


async def read(consumer: Any, *places: TopicPartition, count: int) -> list[tuple[int, int]]:  # noqa: ANN401 - either
    """Return partition and offset of at least *count* records."""
    found: list[tuple[int, int]] = []
    async with asyncio.timeout(WITHIN_S):
        while len(found) < count:
            with suppress(NoOffsetForPartitionError):  # asked for before a seek, told after it
                for records in (await consumer.getmany(*places, timeout_ms=200)).values():
                    found += [(record.partition, record.offset) for record in records]
    return found


async def poll_on(consumer: Any) -> None:  # noqa: ANN401 - either client
    """Poll until that raises."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            await consumer.getmany(timeout_ms=100)


async def test_a_partition_without_a_commit_and_a_seek_raises_paused_or_not(kafka: Kafka) -> None:
    consumer = await kafka.alone()
    with pytest.raises(NoOffsetForPartitionError):
        await poll_on(consumer)
    consumer.pause(kafka.place(0), kafka.place(1))
    with pytest.raises(NoOffsetForPartitionError):
        await poll_on(consumer)


async def test_reading_begins_where_it_was_sought_and_again_after_seeking_back(kafka: Kafka) -> None:
    await kafka.write(0, 3)
    consumer = await kafka.alone()
    consumer.seek(kafka.place(0), 1)
    consumer.seek(kafka.place(1), 0)
    assert await read(consumer, count=2) == [(0, 1), (0, 2)]
    consumer.seek(kafka.place(0), 0)
    assert await read(consumer, count=3) == [(0, 0), (0, 1), (0, 2)]


async def test_the_position_follows_over_a_transaction_marker(kafka: Kafka) -> None:
    await kafka.write(0, 2)
    consumer = await kafka.alone()
    consumer.seek(kafka.place(0), 0)
    consumer.seek(kafka.place(1), 0)
    await read(consumer, count=2)
    async with asyncio.timeout(WITHIN_S):
        while await consumer.position(kafka.place(0)) != 3:
            await consumer.getmany(timeout_ms=100)
    assert consumer.last_stable_offset(kafka.place(0)) == 3
    assert await consumer.end_offsets([kafka.place(0)]) == {kafka.place(0): 3}
    assert await consumer.beginning_offsets([kafka.place(1)]) == {kafka.place(1): 0}


async def test_a_paused_partition_gives_nothing_until_it_is_resumed(kafka: Kafka) -> None:
    await kafka.write(0, 1)
    await kafka.write(1, 1)
    consumer = await kafka.alone()
    consumer.seek(kafka.place(0), 0)
    consumer.seek(kafka.place(1), 0)
    consumer.pause(kafka.place(0))
    assert await read(consumer, count=1) == [(1, 0)]
    with suppress(NoOffsetForPartitionError):
        assert await consumer.getmany(timeout_ms=500) == {}
    consumer.resume(kafka.place(0))
    assert await read(consumer, count=1) == [(0, 0)]


async def test_what_was_fetched_of_a_paused_partition_is_freed_and_comes_again(kafka: Kafka) -> None:
    await kafka.write(0, 3)
    consumer = await kafka.alone()
    consumer.seek(kafka.place(0), 0)
    consumer.seek(kafka.place(1), 0)
    async with asyncio.timeout(WITHIN_S):
        while not await consumer.getmany(timeout_ms=200, max_records=1):
            pass
    in_memory = isinstance(consumer, MemoryConsumer)  # which fetches nothing ahead
    fetched = () if in_memory else consumer._fetcher._records.values()
    lying = [weakref.ref(one._partition_records) for one in fetched]
    assert len(lying) == (0 if in_memory else 1)
    gc.disable()
    try:
        consumer.pause(kafka.place(0), kafka.place(1))
        let_go(consumer)
        assert await consumer.getmany(timeout_ms=0) == {}
        assert [one() for one in lying] == [None] * len(lying)
    finally:
        gc.enable()
    consumer.resume(kafka.place(0), kafka.place(1))
    assert await read(consumer, count=2) == [(0, 1), (0, 2)]


async def test_no_more_records_than_asked_for_are_given(kafka: Kafka) -> None:
    await kafka.write(0, 3)
    consumer = await kafka.alone()
    consumer.seek(kafka.place(0), 0)
    consumer.seek(kafka.place(1), 0)
    await read(consumer, count=3)
    consumer.seek(kafka.place(0), 0)
    async with asyncio.timeout(WITHIN_S):
        while not (got := await consumer.getmany(kafka.place(0), timeout_ms=200, max_records=2)):
            pass
    assert [record.offset for record in got[kafka.place(0)]] == [0, 1]
    assert await consumer.position(kafka.place(0)) == 2


async def test_a_commit_is_kept_with_its_metadata(kafka: Kafka) -> None:
    consumer = await kafka.alone()
    assert await consumer.committed(kafka.place(0)) is None
    await consumer.commit({kafka.place(0): OffsetAndMetadata(0, "ours")})
    assert await consumer.committed(kafka.place(0)) == 0
    admin = kafka.new_admin()
    await admin.start()
    found = await admin.list_consumer_group_offsets("any" if isinstance(admin, MemoryAdmin) else consumer._group_id)
    await admin.close()
    assert {place: (one.offset, one.metadata) for place, one in found.items()} == {kafka.place(0): (0, "ours")}


async def test_a_second_member_takes_its_part_and_what_is_not_ours_can_neither_be_committed_nor_paused(
    kafka: Kafka,
) -> None:
    consumer, told = await kafka.join()
    assert await told.until("assigned", 1) == {0, 1}
    consumer.seek(kafka.place(0), 0)
    consumer.seek(kafka.place(1), 0)
    consumer.pause(kafka.place(0), kafka.place(1))
    _, other = await kafka.join()
    ours, theirs = await told.until("assigned", 2), await other.until("assigned", 1)
    assert [what for what, _ in told.events] == ["revoked", "assigned", "revoked", "assigned"]
    assert told.events[0][1] == frozenset()
    assert told.events[2][1] == {0, 1}, "everything is given up, also what comes back"
    assert len(ours) == len(theirs) == 1
    assert ours | theirs == {0, 1}
    (lost,), (kept,) = theirs, ours
    with pytest.raises(IllegalStateError):
        await consumer.commit({kafka.place(lost): OffsetAndMetadata(0, "")})
    with pytest.raises(IllegalStateError):
        consumer.pause(kafka.place(lost))
    with pytest.raises(IllegalStateError):
        consumer.seek(kafka.place(lost), 0)
    await kafka.write(kept, 1)
    consumer.seek(kafka.place(kept), 0)
    assert await read(consumer, count=1) == [(kept, 0)], "a pause is forgotten with its assignment"


async def test_a_commit_without_a_generation_is_refused_by_a_group_with_members(kafka: Kafka) -> None:
    consumer = await kafka.alone()
    coordinator = consumer._coordinator
    coordinator.generation = -1
    with pytest.raises(CommitFailedError):
        await consumer.commit({kafka.place(0): OffsetAndMetadata(0, "")})
