"""How much memory does a document take?"""

import sys
from collections.abc import Iterable
from operator import attrgetter

from consumers.core.budget import InFlightBudget
from consumers.core.chunking import Chunker
from consumers.core.flight import Flight, is_huge
from schemas.documents import Document

CHUNK_BYTES = 400
"""What the objects of a chunk take beside its text and its vector: its row, its hash, its place in the queue."""
LARGE = 1024 * 1024
"""Bytes above which documents are handled few at a time: what is done to them holds them several times meanwhile."""

_weight = attrgetter("weight")


class Footprint:
    """Counts what documents hold from their poll until they are resolved, in bytes.

    A short document is one chunk, and counts its message and one vector. A longer one counts its text and its chunks
    too: as many as there will be, to judge by its length, and as many as there are once it is cut. The vectors of a
    huge one are staged, and counted only meanwhile.
    """

    __slots__ = ("_chunker", "short", "vector_bytes")

    def __init__(self, chunker: Chunker, dimensions: int) -> None:
        """Count documents that are cut by *chunker*, and vectors of so many *dimensions*."""
        self._chunker = chunker
        self.vector_bytes = 4 * dimensions
        self.short = self.vector_bytes + chunker.whole
        """What a flight weighs at most, to begin with, whose document is sure to be short."""

    def expected(self, flight: Flight, document: Document) -> int:
        """Return what a document will take that was not cut yet."""
        return self.of(flight, document, self._chunker.expected(len(document.text)))

    def of(self, flight: Flight, document: Document, chunks: int) -> int:
        """Return what a document of so many *chunks* takes."""
        text = sys.getsizeof(document.text)  # one wide character makes all of them two or four bytes
        size = flight.message.size + text + sys.getsizeof(document.metadata)
        if chunks > 1:
            size += text + chunks * CHUNK_BYTES
        return size if is_huge(chunks) else size + chunks * self.vector_bytes


def heaviest(flights: Iterable[Flight]) -> int:
    """Return what the largest of them counts, in bytes."""
    return max(map(_weight, flights), default=0)


def grow(flight: Flight, size: int, budget: InFlightBudget) -> None:
    """Count *size* bytes more for a document that is in flight."""
    flight.weight += size
    budget.grow(size)
