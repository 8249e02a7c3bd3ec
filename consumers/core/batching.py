"""Is this batch ready?

A batching policy without timers and without I/O: whoever owns one asks ``until_next`` how long it may sleep.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

Item = TypeVar("Item")


class ClosedBy(StrEnum):
    """Why a batch was closed."""

    ITEMS = "items"
    TOKENS = "tokens"
    BYTES = "bytes"
    LINGER = "linger"
    SPLIT = "split"
    ALONE = "alone"


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """What one call may hold. ``linger_s`` is how long the oldest item waits for company."""

    items: int
    tokens: int
    size: int
    linger_s: float


@dataclass(slots=True)
class Batch(Generic[Item]):
    """Items that travel in one call. ``fill`` is the share of the item limit that was used."""

    items: list[Item] = field(default_factory=list)
    tokens: int = 0
    size: int = 0
    closed_by: ClosedBy = ClosedBy.LINGER


class Batcher(Generic[Item]):
    """Gather items into batches that never pass a limit.

    A batch is closed before the item that would pass a limit, when a limit is reached exactly, or when its oldest item
    has lingered. An item that is larger than a limit by itself travels alone.
    """

    def __init__(self, limits: BatchLimits) -> None:
        """Begin with an empty batch."""
        self.limits = limits
        self._open: Batch[Item] = Batch()
        self._oldest = 0.0

    def __len__(self) -> int:
        return len(self._open.items)

    def add(self, item: Item, tokens: int, size: int, now: float) -> list[Batch[Item]]:
        """Take *item*; return the batches that this closed, none to two, oldest first."""
        closed: list[Batch[Item]] = []
        limits, batch = self.limits, self._open
        if batch.items:
            if batch.tokens + tokens > limits.tokens:
                closed.append(self._close(ClosedBy.TOKENS))
            elif batch.size + size > limits.size:
                closed.append(self._close(ClosedBy.BYTES))
            batch = self._open
        if not batch.items:
            self._oldest = now
        batch.items.append(item)
        batch.tokens += tokens
        batch.size += size
        if len(batch.items) >= limits.items:
            closed.append(self._close(ClosedBy.ITEMS))
        elif batch.tokens >= limits.tokens:
            closed.append(self._close(ClosedBy.TOKENS))
        elif batch.size >= limits.size:
            closed.append(self._close(ClosedBy.BYTES))
        return closed

    def until_next(self, now: float) -> float | None:
        """Return the seconds until the open batch has lingered, 0 if it has; None when there is none."""
        if not self._open.items:
            return None
        return max(0.0, self._oldest + self.limits.linger_s - now)

    def due(self, now: float) -> Batch[Item] | None:
        """Close and return the open batch if its oldest item has lingered."""
        return self._close(ClosedBy.LINGER) if self.until_next(now) == 0.0 else None

    def clear(self) -> list[Item]:
        """Take back what is in the open batch."""
        return self._close(ClosedBy.LINGER).items

    def _close(self, reason: ClosedBy) -> Batch[Item]:
        batch, self._open = self._open, Batch()
        batch.closed_by = reason
        return batch


def halves(batch: Batch[Item], sizes: list[int]) -> list[Batch[Item]]:
    """Split a batch of several in two; *sizes* are the bytes of its items, in order."""
    middle = len(batch.items) // 2
    parts = ((batch.items[:middle], sizes[:middle]), (batch.items[middle:], sizes[middle:]))
    return [Batch(items, sum(map(tokens_of, size)), sum(size), ClosedBy.SPLIT) for items, size in parts if items]


def tokens_of(size: int) -> int:
    """Estimate the tokens of a text of *size* bytes as OpenAI does for a call: bytes/4, rounded up."""
    return (size + 3) // 4
