"""Kafka's client without Kafka: what aiokafka is to ``Source``, on a MemoryBroker.

The real ``Source`` runs on it, with its rebalances, seeks and fenced commits. It shares what aiokafka does to its
users, each point told in ``source.py`` and ``starting.py``:

- the assignment is live, and may be read from, before ``on_partitions_assigned`` is called; pauses are forgotten;
- a poll that meets a record it can not parse has moved the other partitions past what it throws away;
- a partition without a commit and without a seek raises NoOffsetForPartitionError, paused or not;
- an expelled member commits with generation -1, which an empty group accepts; a commit is tried again with whatever
  generation is in force then, and one that was sent goes on when whoever waited for it has gone;
- ``getmany`` gives back what is at hand without letting any other task run, and waits while partitions are assigned.

One module, since it is one client.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from aiokafka import ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    ConsumerStoppedError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
)
from aiokafka.structs import OffsetAndMetadata

from consumers.kafka.memory import NO_GENERATION, MemoryBroker, now
from schemas.messages import Message, TimestampType

RETRY_S = 0.1


@dataclass
class _State:
    """A partition as one assignment of a consumer sees it."""

    since: float
    position: int | None = None
    paused: bool = False
    error: Exception | None = None


@dataclass
class _Assignment:
    """What one generation gave us; ``active`` until the next one does."""

    states: dict[TopicPartition, _State] = field(default_factory=dict)
    active: bool = True


@dataclass
class _Coordinator:
    """The part of aiokafka's coordinator that ``Source`` fences its commits with."""

    broker: MemoryBroker
    generation: int = NO_GENERATION
    name: str = ""
    rejoin: asyncio.Event = field(default_factory=asyncio.Event)
    connection: asyncio.Lock = field(default_factory=asyncio.Lock)
    _do_commit_offsets: Callable[..., Awaitable[None]] = field(init=False)

    def __post_init__(self) -> None:
        self._do_commit_offsets = self._send

    async def _send(self, assignment: "_Assignment", offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> None:
        del assignment
        name, generation = self.name, self.generation
        told = {place.partition: (one.offset, one.metadata) for place, one in offsets.items()}
        try:
            async with self.connection:  # which keeps requests in order
                await self.broker.script.meet("commit")
                self.broker.commit(name, generation, told)
        except CommitFailedError:
            self.forget()
            raise
        await self.broker.script.meet("committed")

    def forget(self) -> None:
        """The group does not know us: join anew."""
        self.generation, self.name = NO_GENERATION, ""
        self.rejoin.set()


class MemoryConsumer:
    """A client of a MemoryBroker, with the methods of AIOKafkaConsumer that ``Source`` calls."""

    def __init__(self, broker: MemoryBroker, **options: object) -> None:
        """Prepare, as AIOKafkaConsumer does; the options have no effect."""
        del options
        self._broker = broker
        self._news = asyncio.Event()
        self._heartbeat_s = broker.session_s / 4
        self._coordinator = _Coordinator(broker)
        self._assignment = _Assignment()
        self._is_assigned = asyncio.Event()
        self._closed = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = 0
        self._fetch_ends = 0.0

    def __repr__(self) -> str:
        return f"<MemoryConsumer {self._coordinator.name or 'no member'} {sorted(self._assignment.states)}>"

    async def start(self) -> None:
        """Connect."""
        await self._broker.script.meet("start")
        self._broker.news.append(self._news)

    async def stop(self) -> None:
        """Leave the group, unless somebody took care of that already."""
        if self._closed:
            return
        self._closed = True
        for task in self._tasks:
            task.cancel()
        if self._news in self._broker.news:
            self._broker.news.remove(self._news)
        await self._broker.script.meet("leave")
        self._broker.leave(self._coordinator.name)

    async def topics(self) -> set[str]:
        """Return the names of all topics."""
        return {self._broker.topic}

    def subscribe(self, topics: Iterable[str], listener: ConsumerRebalanceListener) -> None:
        """Join the group, in the background."""
        del topics
        self._own(self._coordinate(listener))

    def _own(self, work: "Awaitable[None]") -> "asyncio.Task[None]":
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _coordinate(self, listener: ConsumerRebalanceListener) -> None:
        """Join whenever that is needed, calling the listener in the order that aiokafka keeps."""
        beating: asyncio.Task[None] | None = None
        told = self._coordinator
        while True:
            self._is_assigned.clear()
            await listener.on_partitions_revoked(set(self._assignment.states))
            if beating is not None:
                beating.cancel()
            told.rejoin.clear()
            told.name, told.generation, partitions = await self._broker.join(told.name)
            self._assignment.active = False
            places = [TopicPartition(self._broker.topic, partition) for partition in sorted(partitions)]
            self._assignment = _Assignment({place: _State(self._fetched_at()) for place in places})
            self._is_assigned.set()
            self._news.set()
            await asyncio.sleep(0)  # the assignment is live before the listener knows of it
            await listener.on_partitions_assigned(set(self._assignment.states))
            beating = self._own(self._beat())
            await told.rejoin.wait()

    async def _beat(self) -> None:
        told = self._coordinator
        while told.name:
            await asyncio.sleep(self._heartbeat_s)
            with suppress(KafkaError):
                await self._broker.script.meet("heartbeat")
                answer = self._broker.heartbeat(told.name, told.generation)
                if answer == "unknown":
                    told.forget()
                elif answer == "rebalance":
                    told.rejoin.set()

    def assignment(self) -> set[TopicPartition]:
        """Return what is assigned to us."""
        return set(self._assignment.states)

    def pause(self, *places: TopicPartition) -> None:
        """Return nothing from these partitions, and throw away what was fetched."""
        for place in places:
            state = self._state(place)
            self._note_missing(place, state)
            state.paused = True

    def resume(self, *places: TopicPartition) -> None:
        """Return from these partitions again."""
        for place in places:
            state = self._state(place)
            if state.paused:
                state.paused = False
                state.since = self._fetched_at()

    def seek(self, place: TopicPartition, offset: int) -> None:
        """Read from *offset* on."""
        state = self._state(place)
        state.position = offset
        state.since = self._fetched_at()

    def _fetched_at(self) -> float:
        """Return when the fetch that is on its way will be here: it brings all partitions."""
        if self._fetch_ends <= now():
            self._fetch_ends = now() + self._broker.script.fetch_s()
        return self._fetch_ends

    def _state(self, place: TopicPartition) -> _State:
        if place not in self._assignment.states:
            raise IllegalStateError(f"{place} is not assigned")
        return self._assignment.states[place]

    async def position(self, place: TopicPartition) -> int:
        """Return the offset of what is read next. Raises IllegalStateError for what is not assigned."""
        while (position := self._state(place).position) is None:  # noqa: ASYNC110 - rare, and aiokafka waits as well
            await asyncio.sleep(self._heartbeat_s)
        return position

    async def committed(self, place: TopicPartition) -> int | None:
        """Return the group's commit."""
        await self._broker.script.meet("offsets")
        return self._broker.committed.get(place.partition, (None, ""))[0]

    def last_stable_offset(self, place: TopicPartition) -> int | None:
        """Return the end, as the last fetch told it."""
        self._state(place)
        return len(self._broker.log[place.partition])

    def partitions_for_topic(self, topic: str) -> set[int]:
        """Return the partitions of the topic."""
        del topic
        return set(self._broker.log)

    async def beginning_offsets(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the first offsets: nothing is ever deleted."""
        await self._broker.script.meet("ends")
        return dict.fromkeys(places, 0)

    async def end_offsets(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the next offsets to be written."""
        await self._broker.script.meet("ends")
        return {place: len(self._broker.log[place.partition]) for place in places}

    async def commit(self, offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> None:
        """Commit, as often as it takes; a request goes on where its caller does not wait for the answer."""
        assignment = self._assignment
        for place in offsets:
            self._state(place)
        while True:
            send = self._coordinator._do_commit_offsets  # noqa: SLF001 - named as in aiokafka, where Source wraps it
            try:
                await asyncio.shield(self._own(send(assignment, offsets)))
            except KafkaError as error:
                if not error.retriable:
                    raise
                await asyncio.sleep(RETRY_S)
            else:
                return

    async def getmany(
        self, *places: TopicPartition, timeout_ms: int = 0, max_records: int | None = None
    ) -> dict[TopicPartition, list[ConsumerRecord]]:
        """Return what is at hand, or comes within the timeout; raises what a record or a partition makes of it."""
        until = now() + timeout_ms / 1000
        while True:
            if self._closed:
                raise ConsumerStoppedError
            if not self._is_assigned.is_set():
                await self._is_assigned.wait()
            self._news.clear()
            drained = self._drain(
                places or tuple(self._assignment.states), max_records or self._broker.script.fetch_records
            )
            moment = now()
            if drained or moment >= until:
                return drained
            coming = [state.since for state in self._assignment.states.values() if state.since > moment]
            with suppress(TimeoutError):
                async with asyncio.timeout(min([until, *coming]) - moment):
                    await self._news.wait()

    def _drain(
        self, places: tuple[TopicPartition, ...], max_records: int
    ) -> dict[TopicPartition, list[ConsumerRecord]]:
        drained: dict[TopicPartition, list[ConsumerRecord]] = {}
        self._turn += 1
        turn = self._turn % max(1, len(places))
        for place in places[turn:] + places[:turn]:
            state = self._assignment.states.get(place)
            if state is None:
                continue
            self._note_missing(place, state)
            if state.error is not None and not drained:
                error, state.error = state.error, None
                raise error
            if state.error is not None or state.paused or state.position is None or state.since > now():
                continue
            records, state.position = self._records(place, state.position, max_records)
            if records:
                drained[place] = records
                max_records -= len(records)
                if max_records == 0:
                    break
        return drained

    def _records(self, place: TopicPartition, start: int, most: int) -> tuple[list[ConsumerRecord], int]:
        """Return records from *start* on and the position behind them; raises what a record's parser raises."""
        script, log = self._broker.script, self._broker.log[place.partition]
        records: list[ConsumerRecord] = []
        position = start
        for message in log[start : start + script.fetch_records]:
            position += 1
            if message is None:
                continue
            if (error := script.parse(place.partition, message.offset)) is not None:
                raise error
            records.append(_record(message))
            if len(records) == most:
                break
        return records, position

    def _note_missing(self, place: TopicPartition, state: _State) -> None:
        """Do what aiokafka does in the background for a partition without a position."""
        if state.position is None and state.error is None and state.since <= now():
            committed = self._broker.committed.get(place.partition)
            if committed is None:
                state.error = NoOffsetForPartitionError(place)
            else:
                state.position = committed[0]


class MemoryAdmin:
    """Tells what the group has committed, as AIOKafkaAdminClient does."""

    def __init__(self, broker: MemoryBroker, **options: object) -> None:
        """Prepare, as AIOKafkaAdminClient does; the options have no effect."""
        del options
        self._broker = broker

    async def start(self) -> None:
        """Connect."""
        await self._broker.script.meet("offsets")

    async def close(self) -> None:
        """Close nothing."""

    async def list_consumer_group_offsets(self, group: str) -> dict[TopicPartition, OffsetAndMetadata]:
        """Return next offset and metadata of each partition that was committed; nothing in place of an error."""
        del group
        try:
            await self._broker.script.meet("list")
        except KafkaError:
            return {}
        return {
            TopicPartition(self._broker.topic, partition): OffsetAndMetadata(offset, metadata)
            for partition, (offset, metadata) in self._broker.committed.items()
        }


def _record(message: Message) -> ConsumerRecord:
    kind = 1 if message.timestamp_type is TimestampType.LOG_APPEND_TIME else 0
    place = (message.topic, message.partition, message.offset, message.timestamp, kind)
    return ConsumerRecord(*place, message.key, message.value, None, -1, -1, message.headers)
