"""Tracker, batching and fan-out together, under any order of completions, failures and rebalances.

The position never passes a message that is not resolved, and reaches the end when all are resolved.
"""

from itertools import chain

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from consumers.core.batching import Batch, Batcher, BatchLimits, halves
from consumers.core.chunking import chunk_row
from consumers.core.decoding import Decoded
from consumers.core.flight import Fate, Flight
from consumers.core.tracking import PartitionTracker
from schemas.documents import Document
from schemas.messages import Message, TimestampType

PARTITIONS = 2
SIZE = 8
Item = tuple[Flight, int]


class Worker(RuleBasedStateMachine):
    """A log of documents with one to four chunks, and one worker that loses its partitions now and then.

    ``done`` is what the outside world has seen resolved: an offset is added before the tracker is told.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log: list[list[int | None]] = [[] for _ in range(PARTITIONS)]  # chunks of each document, None is a gap
        self.committed = [0] * PARTITIONS
        self.done: list[set[int]] = [set() for _ in range(PARTITIONS)]
        self.batches: list[Batch[Item]] = []
        self.now = 0.0
        self.assign()

    def assign(self) -> None:
        self.batcher: Batcher[Item] = Batcher(BatchLimits(items=3, tokens=5, size=100, linger_s=1.0))
        self.trackers = [PartitionTracker(p, self.committed[p]) for p in range(PARTITIONS)]

    @rule(partition=st.integers(0, PARTITIONS - 1), chunks=st.one_of(st.none(), st.integers(1, 4)))
    def publish(self, partition: int, chunks: int | None) -> None:
        self.log[partition].append(chunks)

    @rule(partition=st.integers(0, PARTITIONS - 1), most=st.integers(1, 5))
    def poll(self, partition: int, most: int) -> None:
        tracker = self.trackers[partition]
        end = min(tracker.expected + most, len(self.log[partition]))
        for offset in range(tracker.expected, end):
            chunks = self.log[partition][offset]
            if chunks is None:
                self.done[partition].add(offset)
                continue
            tracker.track_all([offset], self.now)
            carried = Message("docs.raw", partition, offset, offset, TimestampType.LOG_APPEND_TIME, b"k", b"v")
            decoded = Decoded(Document("default", "a", "text"), carried.place, offset)
            self.fan_out(Flight(tracker, carried, decoded, self.now), chunks)
        tracker.advance(end)

    def fan_out(self, flight: Flight, chunks: int) -> None:
        flight.fan_out(tuple(chunk_row(f"chunk {n}") for n in range(chunks)))
        for ordinal in range(chunks):
            text = flight.chunks[ordinal]
            self.batcher.add("default", [(SIZE, self.now, text.hash, (flight, ordinal))])
        self.compose()

    def compose(self) -> None:
        while (batch := self.batcher.next(self.now)) is not None:
            self.batches.append(batch)

    @rule(seconds=st.floats(0, 2))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.compose()

    @precondition(lambda self: self.batches)
    @rule(data=st.data())
    def succeed(self, data: st.DataObject) -> None:
        self.arrive(self.take(data))

    def arrive(self, batch: Batch[Item]) -> None:
        for flight, ordinal in chain(*batch.texts):
            if flight.live and flight.arrive(ordinal, b"vector"):
                self.resolve(flight)

    @precondition(lambda self: self.batches)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        batch = self.take(data)
        if len(batch.texts) > 1:
            self.batches += halves(batch.texts, [SIZE] * len(batch.texts))
            return
        for flight, _ in batch.texts[0]:
            if flight.live:
                self.resolve(flight)  # acknowledged by the dead-letter topic

    @rule()
    def commit(self) -> None:
        for partition, tracker in enumerate(self.trackers):
            self.committed[partition] = tracker.position

    @rule()
    def rebalance(self) -> None:
        for tracker in self.trackers:
            tracker.close()
        self.assign()  # batches of the old assignment go on, and must move nothing

    def take(self, data: st.DataObject) -> Batch[Item]:
        return self.batches.pop(data.draw(st.integers(0, len(self.batches) - 1)))

    def resolve(self, flight: Flight) -> None:
        flight.fate = Fate.RESOLVED
        self.done[flight.message.partition].add(flight.message.offset)
        flight.tracker.resolve(flight.message.offset)

    @invariant()
    def no_position_passes_an_unresolved_message(self) -> None:
        for partition, tracker in enumerate(self.trackers):
            reached = set(range(max(tracker.position, self.committed[partition])))
            assert reached <= self.done[partition]

    def teardown(self) -> None:
        """Let everything succeed: the positions reach the ends."""
        for partition in range(PARTITIONS):
            self.poll(partition, len(self.log[partition]) + 1)
        while self.batches or len(self.batcher):
            self.wait(2.0)
            for batch in self.batches:
                self.arrive(batch)
            self.batches.clear()
        assert [tracker.position for tracker in self.trackers] == [len(log) for log in self.log]
        assert [tracker.unresolved for tracker in self.trackers] == [0] * PARTITIONS


TestPosition = Worker.TestCase
TestPosition.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
