"""Which texts travel in the next call?

A batching policy without timers and without I/O. A batch is composed when a call may be sent, not before: who comes
late can still be in the next one. Whoever owns a batcher asks ``until_next`` how long it may sleep.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

from consumers.core.fair import FairQueue

Item = TypeVar("Item")

QUANTUM = 2_048
"""Bytes of a tenant's texts before it is the next tenant's turn: a chunk of the default size."""


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


Gathered = tuple[int, float, bytes, Item]
"""The bytes of a text, when it came, a key that equal texts share, and the item that waits for its vector."""


@dataclass(slots=True)
class Batch(Generic[Item]):
    """Texts that travel in one call, each as all the items that wait for its vector; their tokens and bytes."""

    texts: list[list[Item]] = field(default_factory=list)
    tokens: int = 0
    size: int = 0
    closed_by: ClosedBy = ClosedBy.LINGER


class Batcher(Generic[Item]):
    """Gather items, and compose batches of their texts that never pass a limit.

    A batch is due when what waits reaches a limit, or when its oldest item has lingered; tenants take turns in it.
    Items with one *key* that come into the same batch are one text of it. A text that is larger than a limit by itself
    travels alone.
    """

    def __init__(self, limits: BatchLimits) -> None:
        """Begin with nothing."""
        self.limits = limits
        self._waiting: FairQueue[Gathered[Item]] = FairQueue(QUANTUM)

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, tenant: str, gathered: Sequence[Gathered[Item]]) -> None:
        """Take what was gathered of a tenant, in this order."""
        self._waiting.extend(tenant, gathered)

    def items(self) -> Iterator[Item]:
        """Yield every item that waits."""
        return (item for _, _, _, item in self._waiting)

    def keep(self, wanted: Callable[[Item], bool]) -> None:
        """Forget the items that are not *wanted*."""
        self._waiting.keep(lambda gathered: wanted(gathered[3]))

    def until_next(self, now: float) -> float | None:
        """Return the seconds until a batch is due, 0 if one is; None when nothing waits."""
        waiting, limits = self._waiting, self.limits
        if not waiting:
            return None
        if len(waiting) >= limits.items or waiting.cost >= limits.size or tokens_of(waiting.cost) >= limits.tokens:
            return 0.0
        # Less waits than one call may hold, so that there are few tenants to look at.
        oldest = min(since for _, since, _, _ in waiting.heads())
        return max(0.0, oldest + limits.linger_s - now)

    def next(self, now: float) -> Batch[Item] | None:
        """Compose and return the next batch if it is due."""
        return self._compose() if self.until_next(now) == 0.0 else None

    def clear(self) -> None:
        """Forget what waits."""
        self._waiting.clear()

    def _compose(self) -> Batch[Item]:
        limits = self.limits
        most, most_tokens, most_size = limits.items, limits.tokens, limits.size
        texts: dict[bytes, list[Item]] = {}
        tokens = size = 0
        for of_one, _, key, item in self._waiting.served():
            places = texts.get(key)
            if places is not None:
                places.append(item)
                continue
            more = (of_one + 3) // 4  # as tokens_of, which costs more to call than to compute
            if texts and (len(texts) >= most or tokens + more > most_tokens or size + of_one > most_size):
                closed_by = _reached(limits, len(texts), tokens + more, size + of_one)
                break
            texts[key] = [item]
            tokens += more
            size += of_one
        else:
            closed_by = _reached(limits, len(texts), tokens, size)
        return Batch(list(texts.values()), tokens, size, closed_by)


def _reached(limits: BatchLimits, texts: int, tokens: int, size: int) -> ClosedBy:
    if texts >= limits.items:
        return ClosedBy.ITEMS
    if tokens >= limits.tokens:
        return ClosedBy.TOKENS
    return ClosedBy.BYTES if size >= limits.size else ClosedBy.LINGER


def halves(texts: list[list[Item]], sizes: list[int]) -> list[Batch[Item]]:
    """Split the texts of a call in two; *sizes* are their bytes, in order."""
    middle = len(texts) // 2
    parts = ((texts[:middle], sizes[:middle]), (texts[middle:], sizes[middle:]))
    return [Batch(half, sum(map(tokens_of, size)), sum(size), ClosedBy.SPLIT) for half, size in parts if half]


def tokens_of(size: int) -> int:
    """Estimate the tokens of a text of *size* bytes as OpenAI does for a call: bytes/4, rounded up."""
    return (size + 3) // 4


def size_of(text: str) -> int:
    """Return the bytes of a text in UTF-8. Python knows which texts are ASCII; only the others are encoded to count."""
    return len(text) if text.isascii() else len(text.encode())
