"""Kafka in memory: a topic, one consumer group, and the client that ``Source`` talks to it with.

The twin of aiokafka, in so far as ``Source`` uses it: the real ``Source`` runs on it, with its rebalances, seeks and
fenced commits. It shares what aiokafka does to its users, each point told in ``source.py`` and ``starting.py``:

- the assignment is live, and may be read from, before ``on_partitions_assigned`` is called; pauses are forgotten;
- a poll that meets a record it can not parse has moved the other partitions past what it throws away;
- a partition without a commit and without a seek raises NoOffsetForPartitionError, paused or not;
- an expelled member commits with generation -1, which an empty group accepts; a commit is tried again with whatever
  generation is in force then, and one that was sent goes on when whoever waited for it has gone;
- ``getmany`` gives back what is at hand without letting any other task run, and waits while partitions are assigned.

Whoever uses it may slow and break each request by ``Script``. One module, since broker and client are one protocol.
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

from schemas.messages import Headers, Message, TimestampType

NO_GENERATION = -1
EXPIRY_LOOK_S = 1.0
RETRY_S = 0.1


async def _at_once(request: str) -> None:
    del request


def _sound(partition: int, offset: int) -> Exception | None:
    del partition, offset
    return None


def _accept(member: str, generation: int, offsets: Mapping[int, int]) -> None:
    del member, generation, offsets


@dataclass
class Script:
    """How the broker behaves; each can be replaced at any time.

    ``meet`` is awaited where a request is on its way (``commit`` before and ``committed`` after it took effect,
    ``heartbeat``, ``join``, ``offsets``, ``ends``): it may wait, or raise what the client raises. ``parse`` is asked
    for each record and returns what its parser raises. ``fetch_s`` says how long a fetch takes from a new position on,
    ``fetch_records`` how many records it brings. ``accepted`` is told of each commit that took effect.
    """

    meet: Callable[[str], Awaitable[None]] = _at_once
    parse: Callable[[int, int], Exception | None] = _sound
    accepted: Callable[[str, int, Mapping[int, int]], None] = _accept
    fetch_s: Callable[[], float] = float
    fetch_records: int = 1000


@dataclass
class _Member:
    heard: float
    partitions: frozenset[int] = frozenset()
    joining: "asyncio.Future[None] | None" = None


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


class MemoryBroker:
    """A topic of *partitions* partitions and the group that reads it.

    An entry of ``log`` is a message, or None for an offset that a transaction marker or compaction has taken.
    ``committed`` holds next offset and metadata.
    """

    def __init__(self, topic: str, partitions: int, *, session_s: float = 10.0, rebalance_s: float = 30.0) -> None:
        self.topic = topic
        self.log: dict[int, list[Message | None]] = {partition: [] for partition in range(partitions)}
        self.committed: dict[int, tuple[int, str]] = {}
        self.script = Script()
        self.members: dict[str, _Member] = {}
        self.generation = 0
        self.consumers: list[MemoryConsumer] = []
        self._session_s = session_s
        self._rebalance_s = rebalance_s
        self._joined_by: float | None = None
        self._named = 0

    def __repr__(self) -> str:
        return f"<MemoryBroker {self.topic}, {sum(map(len, self.log.values()))} records, {len(self.members)} members>"

    def consumer(self, **options: object) -> "MemoryConsumer":
        """Return a client, as AIOKafkaConsumer does; the options have no effect."""
        del options
        return MemoryConsumer(self, self._session_s / 4)

    def admin(self, **options: object) -> "MemoryAdmin":
        """Return what reads the group's offsets, as AIOKafkaAdminClient does."""
        del options
        return MemoryAdmin(self)

    def append(
        self,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        timestamp: int,
        kind: TimestampType = TimestampType.LOG_APPEND_TIME,
    ) -> Message:
        """Append a record and wake whoever waits for one."""
        log = self.log[partition]
        message = Message(self.topic, partition, len(log), timestamp, kind, key, value, headers)
        log.append(message)
        self._wake()
        return message

    def append_gap(self, partition: int) -> None:
        """Append what is no record for us: a transaction marker."""
        self.log[partition].append(None)
        self._wake()

    def _wake(self) -> None:
        for consumer in self.consumers:
            consumer.news.set()

    @property
    def rebalancing(self) -> bool:
        """Whether the group waits for its members to join."""
        return self._joined_by is not None

    def expire(self) -> None:
        """Expel members that were silent for longer than the session timeout."""
        now = _now()
        silent = [
            name for name, one in self.members.items() if one.joining is None and now - one.heard > self._session_s
        ]
        for name in silent:
            self.leave(name)

    def leave(self, name: str) -> None:
        """Let a member go; the others share its partitions."""
        if self.members.pop(name, None) is not None:
            self._prepare()
            self._complete_if_all_joined()

    def heartbeat(self, name: str, generation: int) -> str:
        """Return ``ok``, ``rebalance`` or ``unknown``."""
        self.expire()
        member = self.members.get(name)
        if member is None or generation != self.generation:
            return "unknown"
        member.heard = _now()
        return "rebalance" if self.rebalancing else "ok"

    async def join(self, name: str) -> tuple[str, int, frozenset[int]]:
        """Wait until all members have joined, or are expelled; return name, generation and partitions."""
        self.expire()
        if name not in self.members:
            self._named += 1
            name = f"member-{self._named}"
            self.members[name] = _Member(_now())
        member = self.members[name]
        member.joining = joining = asyncio.get_running_loop().create_future()
        self._prepare()
        self._complete_if_all_joined()
        while not joining.done():
            await asyncio.wait([joining], timeout=EXPIRY_LOOK_S)
            member.heard = _now()
            self.expire()
            if self._joined_by is not None and _now() > self._joined_by:
                for absent in [other for other, one in self.members.items() if one.joining is None]:
                    self.members.pop(absent)
                self._complete_if_all_joined()
        return name, self.generation, member.partitions

    def _prepare(self) -> None:
        if self._joined_by is None:
            self._joined_by = _now() + self._rebalance_s

    def _complete_if_all_joined(self) -> None:
        if any(member.joining is None for member in self.members.values()):
            return
        self._joined_by = None
        self.generation += 1
        count = len(self.members)
        for place, member in enumerate(self.members.values()):
            # Partitions move from member to member with each generation.
            member.partitions = frozenset(p for p in self.log if (p + self.generation) % count == place)
            member.heard = _now()
            if member.joining is not None and not member.joining.done():
                member.joining.set_result(None)
            member.joining = None

    def commit(self, name: str, generation: int, offsets: Mapping[int, tuple[int, str]]) -> None:
        """Take a commit as a broker does. Raises CommitFailedError where the group does not count the sender in."""
        self.expire()
        is_simple = not self.members and generation == NO_GENERATION
        if not is_simple and (name not in self.members or generation != self.generation):
            raise CommitFailedError("the group has already rebalanced")
        self.committed.update(offsets)
        self.script.accepted(name, generation, {partition: offset for partition, (offset, _) in offsets.items()})


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

    def __init__(self, broker: MemoryBroker, heartbeat_s: float) -> None:
        self.news = asyncio.Event()
        self._broker = broker
        self._heartbeat_s = heartbeat_s
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
        self._broker.consumers.append(self)

    async def stop(self) -> None:
        """Leave the group, unless somebody took care of that already."""
        if self._closed:
            return
        self._closed = True
        for task in self._tasks:
            task.cancel()
        if self in self._broker.consumers:
            self._broker.consumers.remove(self)
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
            self.news.set()
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
        if self._fetch_ends <= _now():
            self._fetch_ends = _now() + self._broker.script.fetch_s()
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
        until = _now() + timeout_ms / 1000
        while True:
            if self._closed:
                raise ConsumerStoppedError
            if not self._is_assigned.is_set():
                await self._is_assigned.wait()
            self.news.clear()
            drained = self._drain(
                places or tuple(self._assignment.states), max_records or self._broker.script.fetch_records
            )
            now = _now()
            if drained or now >= until:
                return drained
            coming = [state.since for state in self._assignment.states.values() if state.since > now]
            with suppress(TimeoutError):
                async with asyncio.timeout(min([until, *coming]) - now):
                    await self.news.wait()

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
            if state.error is not None or state.paused or state.position is None or state.since > _now():
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
        if state.position is None and state.error is None and state.since <= _now():
            committed = self._broker.committed.get(place.partition)
            if committed is None:
                state.error = NoOffsetForPartitionError(place)
            else:
                state.position = committed[0]


class MemoryAdmin:
    """Tells what the group has committed, as AIOKafkaAdminClient does."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    async def start(self) -> None:
        """Connect."""
        await self._broker.script.meet("offsets")

    async def close(self) -> None:
        """Close nothing."""

    async def list_consumer_group_offsets(self, group: str) -> dict[TopicPartition, OffsetAndMetadata]:
        """Return next offset and metadata of each partition that was committed."""
        del group
        return {
            TopicPartition(self._broker.topic, partition): OffsetAndMetadata(offset, metadata)
            for partition, (offset, metadata) in self._broker.committed.items()
        }


def _record(message: Message) -> ConsumerRecord:
    kind = 1 if message.timestamp_type is TimestampType.LOG_APPEND_TIME else 0
    place = (message.topic, message.partition, message.offset, message.timestamp, kind)
    return ConsumerRecord(*place, message.key, message.value, None, -1, -1, message.headers)


def _now() -> float:
    return asyncio.get_running_loop().time()
