"""What comes from the topic, and what may be committed to it?

Non-obvious, each the cause of a loss in some other program:

- The assignment changes in a background task, and a poll may return records of the new one at once: nothing is taken
  before ``_begin`` has decided where to start, built the trackers and sought there.
- aiokafka moves its positions past records that it throws away when a poll raises: after any exception every
  partition is put back to what its tracker expects.
- ``getmany`` is awaited directly, never in a task: a cancelled one loses what it had drained.
- Nothing is called on ``stop``: whoever owns a source drains and commits first.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Container, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import (
    CorruptRecordException,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    RecordTooLargeError,
    UnsupportedCodecError,
)

from consumers.core.membership import Membership
from consumers.core.positions import Because, Start, commit_metadata
from consumers.core.tracking import PartitionTracker
from consumers.kafka.commits import Commits, Ledger, fence
from consumers.kafka.fetched import let_go
from consumers.kafka.starting import committed_offsets, find_starts
from producers.connection import client_options
from producers.errors import FOREIGN, broker_errors, translated
from schemas.errors import BrokerMisconfigured
from schemas.events import Assigned, LostToRetention, Observer, PollFailed, Rewound
from schemas.messages import Message, TimestampType
from schemas.settings import Settings

POLL_MS = 250
PAUSED_S = POLL_MS / 1000
"""Between two polls in a pause; what comes of a fetch that was under way is let go."""
MAX_RECORDS = 1000
MAX_SINGLY_BYTES = 64 * 1024 * 1024
ONE_BY_ONE_MS = 300
UNREADABLE_AGAIN_S = 30.0
STOP_TIMEOUT_S = 10.0
REBALANCE_MARGIN_S = 10.0
METADATA_MAX_AGE_S = 30.0

UNREADABLE = (CorruptRecordException, UnsupportedCodecError, RecordTooLargeError)
"""Errors of Kafka's client that speak of a record; any exception that is not of the client or the network does too."""

_TIMESTAMP_TYPES = (TimestampType.CREATE_TIME, TimestampType.LOG_APPEND_TIME)


@dataclass(frozen=True, slots=True)
class Delivery:
    """Records of one partition, and the tracker that answers for them."""

    tracker: PartitionTracker
    messages: list[Message]

    @property
    def size(self) -> int:
        """Bytes of the messages."""
        return sum([message.size for message in self.messages])


class Source(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka publishes no types
    """A topic as one member of a consumer group sees it.

    ``trackers`` holds the partitions of the assignment in force, ``unreadable`` those that can not go on because of a
    record. ``on_revoke`` is awaited before partitions are given up; it drains within its own deadline, and is told
    whether they stay ours.
    """

    def __init__(self, settings: Settings, digest: str, ledger: Ledger, observe: Observer) -> None:
        """Prepare; nothing is sent before ``start``."""
        self.trackers: dict[int, PartitionTracker] = {}
        self.ends: dict[int, int] = {}
        self.unreadable: dict[int, str] = {}
        self.on_revoke: Callable[[bool], Awaitable[None]] = _nothing
        self.rebalancing = True
        self._settings = settings
        self._topic: str = settings.kafka.topic
        self._metadata = commit_metadata(settings.store.index, digest)
        self._ledger = ledger
        self._observe = observe
        self._consumer: Any = None
        self._due: frozenset[int] | None = None
        self._generation = 0
        self._commits: Commits | None = None
        """Of the assignment that was begun."""
        self._revocations = 0
        self._paused = False
        self._held_back: set[int] = set()
        self._unreadable_since = 0.0
        self._commit_lock = asyncio.Lock()
        self._membership = Membership(settings.kafka.instance_id)

    def __repr__(self) -> str:
        return f"<Source {self._topic} {sorted(self.trackers)}>"

    async def start(self) -> None:
        """Join the group. Raises BrokerUnavailable or BrokerMisconfigured."""
        consumer = self._new_consumer()
        try:
            with broker_errors(f"joining the group {self._settings.group}"):
                await consumer.start()
                topics = await consumer.topics()
            self._see_that_it_exists(topics)
        except BaseException:
            await _stop(consumer)
            raise
        fence(consumer, lambda: self._commits is not None and self._commits.allowed)
        consumer.subscribe(topics=[self._topic], listener=self)
        self._consumer = consumer

    def _see_that_it_exists(self, topics: Container[str]) -> None:
        if self._topic not in topics:
            raise BrokerMisconfigured(f"the topic {self._topic} does not exist: run `headrace init`")

    async def stop(self) -> None:
        """Leave the group; commits nothing. Bounded, since the client's own stop can hang."""
        if self._consumer is not None:
            await _stop(self._consumer)

    async def poll(self, max_records: int = MAX_RECORDS, max_bytes: int = MAX_SINGLY_BYTES) -> list[Delivery]:
        """Return what came, tracked; an empty list after a while without any.

        *max_bytes* ends a reading record by record once so much came; a fetch is bounded by the client's own options.
        Raises BrokerUnavailable, BrokerMisconfigured or an error of the store that keeps our positions; the next poll
        goes on where this one would have.
        """
        if self._paused:
            await asyncio.sleep(PAUSED_S)
            let_go(self._consumer)
        if self._commits is not None and self._commits.in_doubt:
            await self._begin_again()
        if self._due is not None:
            await self._begin(self._due)
        try:
            timeout_ms = 0 if self._paused else POLL_MS
            got = await self._consumer.getmany(timeout_ms=timeout_ms, max_records=min(max_records, MAX_RECORDS))
        except Exception as error:  # noqa: BLE001 - aiokafka raises what a broken record makes its parser raise
            return await self._recover(error, max_records, max_bytes)
        deliveries = self._deliver(got) if self._due is None else []
        await self._advance()
        if self.unreadable and time.monotonic() - self._unreadable_since > UNREADABLE_AGAIN_S:
            left = max_bytes - sum([delivery.size for delivery in deliveries])
            deliveries += await self._one_by_one(tuple(self.unreadable), max_records, left)
        return _live(deliveries)

    def pause(self) -> None:
        """Fetch nothing more; polling must go on, or the member is expelled."""
        self._paused = True
        self._consumer.pause(*self._places(self.trackers))

    def resume(self) -> None:
        """Fetch again, but for partitions that are held back or have an unreadable record."""
        self._paused = False
        self._consumer.resume(*self._places(set(self.trackers) - set(self.unreadable) - self._held_back))

    def hold_back(self, partitions: set[int]) -> None:
        """Fetch nothing of these partitions, whatever becomes of the others."""
        if partitions == self._held_back:
            return
        self._held_back = set(partitions)
        self._consumer.pause(*self._places(self._held_back & set(self.trackers)))
        if not self._paused:
            self.resume()

    async def commit(self) -> None:
        """Commit every position that moved, to the index first.

        Raises StoreUnavailable or BrokerUnavailable: then the next commit says the same or more. Does nothing once
        the group has refused a commit in this assignment. Where the index does not hold what we left there, what it
        has acknowledged since may be gone: every partition begins again at what it knows.
        """
        async with self._commit_lock:
            if self._commits is not None:
                await self._commits.commit(self.trackers.values())

    async def end_offsets(self) -> dict[int, int]:
        """Ask the broker for the end of every partition of the topic, assigned to us or not."""
        with broker_errors(f"reading the end offsets of {self._topic}"):
            known = self._consumer.partitions_for_topic(self._topic) or ()
            ends = await self._consumer.end_offsets(self._places(known))
        return {place.partition: end for place, end in ends.items()}

    async def log_extents(self) -> dict[int, tuple[int, int]]:
        """Ask the broker for the first offset and the end of each of our partitions; nothing is fetched in a pause."""
        places = self._places(self.trackers)
        if not places:
            return {}
        with broker_errors(f"reading the extent of {self._topic}"):
            starts = await self._consumer.beginning_offsets(places)
            ends = await self._consumer.end_offsets(places)
        return {place.partition: (starts[place], ends[place]) for place in places}

    @property
    def contested(self) -> str | None:
        """Why our static id seems to be another process's as well, in words."""
        return self._membership.contested(time.monotonic())

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Drain and commit what can be, then give every partition up: the assignor is eager."""
        self._revocations += 1
        # The client has forgotten its generation where the group did not know it any more.
        if set(revoked) and self._consumer._coordinator.generation < 0:  # noqa: SLF001 - not public
            self._membership.lost(time.monotonic())
        await self._give_up()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Note the new assignment; the next poll begins it, so that heartbeats go on meanwhile."""
        self._due = frozenset(place.partition for place in assigned)
        self._generation = self._consumer._coordinator.generation  # noqa: SLF001 - not public

    async def _give_up(self, *, ours: bool = False) -> None:
        self.rebalancing = True
        self._due = None  # an assignment that was not begun yet is gone as well
        try:
            await self.on_revoke(ours)
        finally:
            for tracker in self.trackers.values():
                tracker.close()
            self.trackers, self.ends, self.unreadable = {}, {}, {}
            self._held_back = set()
            if self._commits is not None:
                self._commits.close()
            self._commits = None

    async def _begin_again(self) -> None:
        """Give every partition up and let the next poll begin with them, unless the group takes them meanwhile."""
        if self.rebalancing:
            return  # it is taking them already
        due, before = frozenset(self.trackers), self._revocations
        await self._give_up(ours=True)
        if self._revocations == before:
            self._due = due

    async def _begin(self, due: frozenset[int]) -> None:
        """Decide where each partition starts, seek there, and only then track."""
        places = self._places(due)
        try:
            ledger = self._ledger
            committed = await committed_offsets(self._settings) if places else {}
            server = await ledger.server()
            known = dict(await ledger.load())
            starts = await find_starts(self._consumer, self._settings, places, committed, known, ledger.has_documents)
        except Exception:
            # Nobody is to expel us as silent while we wait for Kafka or the index.
            self._consumer.pause(*(place for place in places if place in self._consumer.assignment()))
            # What comes of other partitions, of which a newer assignment may have some, is read again from their start.
            with suppress(Exception):  # aiokafka raises what a broken record makes its parser raise
                await self._consumer.getmany(timeout_ms=0)
            raise
        if self._due is not due:
            return
        commits = Commits(self._consumer, self._generation, self._topic, self._metadata, self._ledger, self._observe)
        for place, (start, end) in starts.items():
            self._consumer.seek(place, start.position)
            self.trackers[place.partition] = PartitionTracker(place.partition, start.position)
            self.ends[place.partition] = end
            if start.because is Because.COMMITTED:
                commits.committed[place.partition] = start.position
            self._tell(place.partition, start)
        commits.known, commits.server = known, server
        self._commits = commits
        self._due, self.rebalancing = None, False
        self._consumer.resume(*places)
        if self._paused:
            self._consumer.pause(*places)
        self._observe(Assigned({partition: tracker.position for partition, tracker in self.trackers.items()}))

    def _tell(self, partition: int, start: Start) -> None:
        if start.because is Because.REWOUND:
            self._observe(Rewound(partition, start.expected, start.position))
        elif start.because is Because.LOST:
            self._observe(LostToRetention(partition, start.expected, start.position))

    def _deliver(self, got: Mapping[TopicPartition, list[ConsumerRecord]]) -> list[Delivery]:
        now = time.monotonic()
        deliveries = []
        for place, records in got.items():
            tracker = self.trackers.get(place.partition)
            if tracker is None:
                continue
            messages = [_message(record) for record in records if record.offset >= tracker.expected]
            tracker.track_all([message.offset for message in messages], now)
            deliveries.append(Delivery(tracker, messages))
        return deliveries

    async def _advance(self) -> None:
        """Follow the consumer over transaction markers and gaps, and note the ends it was told."""
        for partition, tracker in self.trackers.items():
            place = TopicPartition(self._topic, partition)
            try:
                tracker.advance(await self._consumer.position(place))
                end = self._consumer.last_stable_offset(place)
            except IllegalStateError:
                return
            if end is not None and end >= 0:
                self.ends[partition] = max(end, tracker.expected)

    async def _recover(self, error: Exception, most: int, max_bytes: int) -> list[Delivery]:
        """Put every partition back to what its tracker expects, and find out what is wrong."""
        self._seek_back(self.trackers)
        if isinstance(error, NoOffsetForPartitionError):
            return []  # asked for before our own start was set; it is set now
        self._observe(PollFailed(type(error).__name__, str(error)))
        if isinstance(error, OffsetOutOfRangeError):
            await self._begin_again()
            return []
        if isinstance(error, FOREIGN) and not isinstance(error, UNREADABLE):
            raise translated(error, f"reading {self._topic}") from error
        return _live(await self._one_by_one(tuple(self.trackers), most, max_bytes))

    def _seek_back(self, partitions: Iterable[int]) -> None:
        for partition in partitions:
            place, tracker = TopicPartition(self._topic, partition), self.trackers.get(partition)
            if tracker is not None and place in self._consumer.assignment():
                self._consumer.seek(place, tracker.expected)

    async def _one_by_one(self, partitions: tuple[int, ...], most: int, max_bytes: int) -> list[Delivery]:
        """Read partitions singly, record by record up to one that can not be read: that partition waits there.

        At most *most* records in all, and none once *max_bytes* came; what is left is for the next poll, as is
        everything while the intake is paused.
        """
        deliveries: list[Delivery] = []
        left = max_bytes
        for partition in partitions:
            if self._paused or partition in self._held_back or len(deliveries) >= most or left <= 0:
                continue
            place = TopicPartition(self._topic, partition)
            try:
                self._consumer.resume(place)
                while len(deliveries) < most and left > 0 and self._due is None:
                    got = await self._consumer.getmany(place, timeout_ms=ONE_BY_ONE_MS, max_records=1)
                    if not got:
                        break
                    delivered = self._deliver(got)
                    deliveries += delivered
                    left -= sum([delivery.size for delivery in delivered])
                self.unreadable.pop(partition, None)
            except IllegalStateError:
                break  # given up meanwhile
            except Exception as error:  # noqa: BLE001 - aiokafka raises what a broken record makes its parser raise
                if isinstance(error, FOREIGN) and not isinstance(error, UNREADABLE):
                    self._seek_back((partition,))
                    break  # the network or the broker: the next poll will tell
                self._hold(partition, error)
        return deliveries

    def _hold(self, partition: int, error: Exception) -> None:
        tracker = self.trackers.get(partition)
        if tracker is None:
            return
        self._seek_back((partition,))
        at = tracker.expected
        said = f"{type(error).__name__}: {error}"
        self.unreadable[partition] = f"unreadable record in partition {partition} at or behind offset {at}: {said}"
        self._unreadable_since = time.monotonic()
        self._consumer.pause(TopicPartition(self._topic, partition))

    def _places(self, partitions: Iterable[int]) -> list[TopicPartition]:
        return [TopicPartition(self._topic, partition) for partition in sorted(partitions)]

    def _new_consumer(self) -> Any:  # noqa: ANN401 - aiokafka publishes no types
        kafka = self._settings.kafka
        return AIOKafkaConsumer(
            **client_options(kafka, "worker"),
            group_id=self._settings.group,
            group_instance_id=kafka.instance_id,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            session_timeout_ms=int(kafka.session_timeout_s * 1000),
            heartbeat_interval_ms=int(kafka.session_timeout_s * 1000 / 4),
            rebalance_timeout_ms=int((kafka.drain_timeout_s + REBALANCE_MARGIN_S) * 1000),
            metadata_max_age_ms=int(METADATA_MAX_AGE_S * 1000),
        )


def _message(record: ConsumerRecord) -> Message:
    return Message(
        record.topic,
        record.partition,
        record.offset,
        record.timestamp,
        _TIMESTAMP_TYPES[record.timestamp_type == 1],
        record.key,
        record.value,
        record.headers,
    )


def _live(deliveries: list[Delivery]) -> list[Delivery]:
    """Leave out what belongs to partitions that were given up while others were read."""
    return [delivery for delivery in deliveries if delivery.tracker.live]


async def _nothing(_: bool) -> None:  # noqa: FBT001 - a callback
    """Drain nothing."""


async def _stop(consumer: Any) -> None:  # noqa: ANN401 - aiokafka publishes no types
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await consumer.stop()
    except asyncio.CancelledError:
        # With the broker away aiokafka lets the cancellation of its own tasks out.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
    except (TimeoutError, KafkaError):
        return  # the group will notice by itself when the session times out
