"""What is known of the indexes of a database, and how do two of them stand to each other?"""

from datetime import datetime
from enum import StrEnum

import msgspec

from schemas.index import Counts, Fingerprint

DEFAULT_PAIR = "default"
"""The views ``headrace.documents`` and ``headrace.chunks``; another pair has its name before theirs."""

LARGEST_INDEXED = {"vector": 2000, "halfvec": 4000}
"""Dimensions up to which pgvector makes an index over numbers of this type."""


def views_of(pair: str) -> tuple[str, str]:
    """Return the names of the two views of a pair in the schema ``headrace``: documents and chunks."""
    before = "" if pair == DEFAULT_PAIR else f"{pair}_"
    return f"{before}documents", f"{before}chunks"


class VectorIndex(msgspec.Struct, frozen=True):
    """An index of PostgreSQL over all vectors of an index of ours.

    One that is not valid and that no process (``builder``) is building is what an interrupted build left.
    """

    name: str
    kind: str
    valid: bool
    builder: int | None
    options: tuple[str, ...]
    bytes: int


class Described(msgspec.Struct, frozen=True):
    """An index: what it holds, what it takes on disk, and which pairs of views read it."""

    name: str
    fingerprint: Fingerprint
    counts: Counts
    bytes: int
    vector_indexes: tuple[VectorIndex, ...]
    promoted: tuple[str, ...]
    created_at: datetime
    purged_before: datetime | None

    @property
    def vector_index(self) -> VectorIndex | None:
        """The one that searches use, if there is one."""
        return next((one for one in self.vector_indexes if one.valid), None)


class State(StrEnum):
    """How a document of one index stands to the same document of another, which is the measure."""

    SAME = "same"
    """A reader sees the same: it comes from the same record, or has the same content."""
    MISSING = "missing"
    """Only the other index has it."""
    STALE = "stale"
    """It comes from an older record than the other's."""
    AHEAD = "ahead"
    """It comes from a newer record than the other's."""
    EXTRA = "extra"
    """The other index does not know it."""
    DIFFERING = "differing"
    """It comes from the same record, and says something else."""


class Coverage(msgspec.Struct, frozen=True):
    """How many documents of an index are in which state; deleted ones count only where the other still shows them.

    ``at`` is when it was looked at, by the database's clock.
    """

    at: datetime
    same: int = 0
    missing: int = 0
    stale: int = 0
    ahead: int = 0
    extra: int = 0
    differing: int = 0

    @property
    def lacking(self) -> int:
        """Documents that readers of the other index would miss, or see in an older version."""
        return self.missing + self.stale

    def lacks(self, other: str) -> str:
        """Say in words what readers of the index *other* would lose."""
        lacks = f"lacks {self.missing:,} documents of {other}" if self.missing else ""
        if not self.stale:
            return lacks
        older = f"{self.stale:,} in an older version"
        return f"{lacks} and has {older}" if lacks else f"has {older} than {other}"


class Difference(msgspec.Struct, frozen=True):
    """A document that is not the same in both: the place of the record that each has, as ``topic/partition/offset``."""

    state: State
    tenant: str
    id: str
    reference: str | None
    index: str | None


class Progress(msgspec.Struct, frozen=True):
    """How far the build of a vector index is: PostgreSQL's word for its phase, and the part of that which is done."""

    phase: str
    done: float | None
    seconds: float


class Switched(msgspec.Struct, frozen=True):
    """A pair of views and what it reads now and read before; ``attempts`` is how often its lock was asked for."""

    pair: str
    index: str
    previous: str | None
    attempts: int
