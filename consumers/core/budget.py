"""May more be taken in?

Bytes and documents that are in flight are counted; intake stops before one more would pass the budget, and goes on
below seven eighths of it: soon enough that a backlog comes in steadily, and what was fetched meanwhile is not thrown
away. One document is always admitted when nothing is in flight, however large.
"""

GO_ON = 7 / 8


class InFlightBudget:
    """What a worker holds in memory between poll and resolution."""

    __slots__ = ("_full", "documents", "each", "max_documents", "max_size", "size")

    def __init__(self, max_size: int, max_documents: int) -> None:
        """Bound the bytes and the number of documents."""
        self.max_size = max_size
        self.max_documents = max_documents
        self.size = 0
        self.documents = 0
        self.each = max_size
        """What a document takes, on average of those in flight; of the first one nothing is known."""
        self._full = False

    def __repr__(self) -> str:
        return f"<InFlightBudget {self.size}/{self.max_size} bytes, {self.documents}/{self.max_documents} documents>"

    def take(self, size: int, documents: int = 1) -> None:
        """Count documents of *size* bytes together."""
        self.documents += documents
        self.grow(size)

    def grow(self, size: int) -> None:
        """Count *size* more bytes for a document that is in flight already."""
        self.size += size
        if self.documents:
            self.each = max(1, self.size // self.documents)

    def release(self, size: int, documents: int = 1) -> None:
        """Documents have left that were counted with *size* bytes in all."""
        self.documents -= documents
        self.size -= size

    def clear(self) -> int:
        """Count nothing any more: all that was in flight is abandoned. Return how many documents that were."""
        abandoned, self.documents, self.size = self.documents, 0, 0
        return abandoned

    @property
    def room(self) -> int:
        """How many more documents may be polled at once, if they are like those in flight; at least 1."""
        return max(1, min((self.max_size - self.size) // self.each, self.max_documents - self.documents))

    @property
    def room_bytes(self) -> int:
        """How many more bytes may be polled before the next look at the budget; at least 1."""
        return max(1, self.max_size - self.size)

    def is_full(self) -> bool:
        """Say whether intake must wait: from where one more would pass the budget until below seven eighths of it."""
        if self._full:
            self._full = self.size > GO_ON * self.max_size or self.documents > GO_ON * self.max_documents
        else:
            full = self.size + self.each > self.max_size or self.documents >= self.max_documents
            self._full = full and self.documents > 0
        return self._full
