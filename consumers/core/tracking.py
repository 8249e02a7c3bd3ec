"""Which offset of a partition may be committed?

Work finishes out of order; Kafka keeps one position per partition. A tracker lives for one assignment of one
partition: a rebalance closes it, and with it ends the right to commit.
"""

from collections import deque
from collections.abc import Sequence
from itertools import islice
from operator import lt


class PartitionTracker:
    """Turn out-of-order completion into an in-order position.

    Only offsets that were received are tracked, so a gap left by compaction or a transaction marker never holds the
    position back. While nothing is unresolved the position is the consumer's own, as told by ``advance``, so that lag
    reaches 0 behind markers too.
    """

    __slots__ = ("_expected", "_newest", "_received", "_unresolved", "live", "partition")

    def __init__(self, partition: int, start: int) -> None:
        """Begin at *start*, the first offset that will be read."""
        self.partition = partition
        self.live = True
        self._expected = start
        self._newest = 0
        self._received: deque[int] = deque()
        """What was received, in order, from the position on that was asked for last."""
        self._unresolved: dict[int, float] = {}
        """When each of them was received that is not resolved, in order."""

    def __repr__(self) -> str:
        state = "live" if self.live else "closed"
        return f"<PartitionTracker {self.partition} {state} position={self.position} unresolved={self.unresolved}>"

    @property
    def expected(self) -> int:
        """The next offset to read: where to seek back to when a poll failed."""
        return self._expected

    @property
    def position(self) -> int:
        """The next offset to commit: everything below it is resolved."""
        received, unresolved = self._received, self._unresolved
        while received and received[0] not in unresolved:
            received.popleft()
        return received[0] if received else self._expected

    @property
    def unresolved(self) -> int:
        """How many received messages are not resolved."""
        return len(self._unresolved)

    @property
    def oldest(self) -> float | None:
        """When the oldest unresolved message was received, or None."""
        return self._unresolved.get(self.position)

    def late(self, before: float) -> int:
        """Return how many messages that were received *before* a time are not resolved."""
        count = 0
        for received in self._unresolved.values():
            if received > before:
                break
            count += 1
        return count

    def track_all(self, offsets: Sequence[int], now: float) -> None:
        """Hold the position at each of the *offsets* of one poll until it is resolved.

        Raises ValueError, and tracks none, where one was received before: the log is read in order.
        """
        if not offsets:
            return
        if offsets[0] < self._expected or not all(map(lt, offsets, islice(offsets, 1, None))):
            raise ValueError(f"offsets {offsets} of partition {self.partition} were received already, or run backwards")
        self._received.extend(offsets)
        self._unresolved.update(dict.fromkeys(offsets, now))
        self._expected = offsets[-1] + 1

    def advance(self, position: int) -> None:
        """Note that the consumer has read up to *position*, over gaps that hold no message for us."""
        self._expected = max(self._expected, position)

    def in_order(self, timestamp: int) -> int:
        """Return *timestamp*, or the greatest before it where producers' clocks ran backwards.

        What the fence goes by never falls from one offset of a partition to the next: else an earlier version that is
        written late could replace a later one.
        """
        self._newest = max(self._newest, timestamp)
        return self._newest

    def resolve(self, offset: int) -> None:
        """Mark *offset* resolved, so that the position may pass it.

        A closed tracker resolves nothing. Raises ValueError where the offset is not waiting to be resolved.
        """
        if self.live and self._unresolved.pop(offset, None) is None:
            raise ValueError(f"offset {offset} of partition {self.partition} is not waiting to be resolved")

    def close(self) -> None:
        """Give the partition up: whatever finishes later moves nothing."""
        self.live = False
