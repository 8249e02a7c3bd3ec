"""How far is a group, and what do the topics hold? Looks only: joins no group and commits nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NoError,
    NotCoordinatorForGroupError,
    UnknownTopicOrPartitionError,
    for_code,
)

from producers.connection import client_options
from producers.errors import broker_errors
from schemas.settings import KafkaSettings

COORDINATING = (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
)
AGAIN_S = 0.2

T = TypeVar("T")


class Extent(msgspec.Struct, frozen=True):
    """What a partition holds: offsets ``start`` to ``end``, without the latter."""

    partition: int
    start: int
    end: int


class PartitionLag(msgspec.Struct, frozen=True):
    """How far a group is in a partition. ``committed`` is None where it never committed; then all of it is lag."""

    partition: int
    start: int
    end: int
    committed: int | None
    lag: int


class Commit(msgspec.Struct, frozen=True):
    """What a group has committed for a partition: the next offset, and the words that came with it."""

    offset: int
    metadata: str


class Member(msgspec.Struct, frozen=True):
    """A live member of a group, and the partitions it has of the topic that was asked about."""

    client_id: str
    host: str
    partitions: tuple[int, ...]


class Group(msgspec.Struct, frozen=True):
    """A consumer group; ``state`` is Kafka's word, such as Stable, Empty or Dead (which is: never seen)."""

    name: str
    state: str
    members: tuple[Member, ...]


class KafkaView:
    """A look at a cluster, for as long as ``async with`` lasts.

    Every method raises BrokerUnavailable or BrokerMisconfigured, and gives up after ``timeout_s``.
    """

    def __init__(self, kafka: KafkaSettings, *, timeout_s: float = 8.0) -> None:
        self._kafka = kafka
        self._timeout_s = timeout_s
        self._admin: Any = None
        self._consumer: Any = None
        self._opened = AsyncExitStack()

    def __repr__(self) -> str:
        return f"<KafkaView of {self._kafka.bootstrap_servers}>"

    async def __aenter__(self) -> Self:
        """Connect."""
        async with AsyncExitStack() as opened:
            with broker_errors(f"connecting to {self._kafka.bootstrap_servers}"):
                async with asyncio.timeout(self._timeout_s):
                    self._admin = AIOKafkaAdminClient(**client_options(self._kafka, "view"))
                    opened.push_async_callback(self._admin.close)
                    await self._admin.start()
                    self._consumer = AIOKafkaConsumer(
                        **client_options(self._kafka, "view"),
                        isolation_level="read_committed",
                        enable_auto_commit=False,
                    )
                    opened.push_async_callback(self._consumer.stop)
                    await self._consumer.start()
            self._opened = opened.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._opened.aclose()

    async def extents(self, topics: Iterable[str]) -> dict[str, list[Extent]]:
        """Return what each partition holds; a topic that does not exist is left out."""
        with broker_errors("reading the offsets of topics"):
            async with asyncio.timeout(self._timeout_s):
                places = [
                    TopicPartition(topic, partition)
                    for topic, partitions in (await self._partitions(topics)).items()
                    for partition in partitions
                ]
                starts: Mapping[TopicPartition, int] = await self._consumer.beginning_offsets(places) if places else {}
                ends: Mapping[TopicPartition, int] = await self._consumer.end_offsets(places) if places else {}
        found: dict[str, list[Extent]] = {}
        for place in places:
            found.setdefault(place.topic, []).append(Extent(place.partition, starts[place], ends[place]))
        return found

    async def offsets_at(self, topic: str, partitions: Iterable[int], timestamp_ms: int) -> dict[int, int | None]:
        """Return for each partition the first offset that is not older than a timestamp; None where all are older."""
        asked = {TopicPartition(topic, partition): timestamp_ms for partition in partitions}
        if not asked:
            return {}
        with broker_errors(f"looking up times in {topic}"):
            async with asyncio.timeout(self._timeout_s):
                found = await self._consumer.offsets_for_times(asked)
        return {place.partition: told.offset if told is not None else None for place, told in found.items()}

    async def cluster_id(self) -> str:
        """Return the name that the cluster gave itself when it was made."""
        with broker_errors("asking for the id of the cluster"):
            async with asyncio.timeout(self._timeout_s):
                told = await self._admin.describe_cluster()
        return str(told["cluster_id"])

    async def committed(self, group: str, topic: str) -> dict[int, Commit]:
        """Return what the group has committed for each partition for which it did."""
        with broker_errors(f"reading the offsets of the group {group}"):
            async with asyncio.timeout(self._timeout_s):
                found = await patiently(lambda: self._admin.list_consumer_group_offsets(group))
        return {
            place.partition: Commit(told.offset, told.metadata or "")
            for place, told in found.items()
            if place.topic == topic and told.offset >= 0
        }

    async def group(self, group: str, topic: str) -> Group:
        """Return the state and the members of a group, a group that was never seen as well."""
        with broker_errors(f"describing the group {group}"):
            async with asyncio.timeout(self._timeout_s):
                return await patiently(lambda: self._describe(group, topic))

    async def _describe(self, group: str, topic: str) -> Group:
        [answer] = await self._admin.describe_consumer_groups([group])
        code, name, state, _, _, members, *_ = answer.groups[0]
        if (error := for_code(code)) is not NoError:
            raise error(f"group {group}")
        return Group(name, state, tuple(sorted((_member(one, topic) for one in members), key=lambda m: m.partitions)))

    async def _partitions(self, topics: Iterable[str]) -> dict[str, list[int]]:
        found = {}
        for topic in await self._admin.describe_topics(list(topics)):
            error = for_code(topic["error_code"])
            if error is NoError:
                found[topic["topic"]] = sorted(one["partition"] for one in topic["partitions"])
            elif error is not UnknownTopicOrPartitionError:
                raise error(f"topic {topic['topic']}")
        return found


def lags(extents: Iterable[Extent], committed: Mapping[int, Commit]) -> list[PartitionLag]:
    """Put ends and positions together. A position below the start counts from there: what is gone is no lag."""
    return [
        PartitionLag(one.partition, one.start, one.end, at, max(one.end - max(at or 0, one.start), 0))
        for one in extents
        for at in (committed[one.partition].offset if one.partition in committed else None,)
    ]


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask again while the broker still looks for the coordinator: the first question ever makes it create its topic."""
    while True:
        try:
            return await ask()
        except COORDINATING:
            await asyncio.sleep(AGAIN_S)


def _member(told: tuple[Any, ...], topic: str) -> Member:
    _, client_id, host, _, assignment = told
    places = ConsumerProtocolMemberAssignment.decode(assignment).partitions() if assignment else []
    return Member(client_id, host.lstrip("/"), tuple(sorted(p.partition for p in places if p.topic == topic)))
