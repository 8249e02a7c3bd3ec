"""What is an export? A matrix of vectors, a line for each of its rows, and a manifest that says what they are."""

from datetime import datetime
from typing import Literal

import msgspec

from schemas.index import DocumentKey, Fingerprint

VECTORS, ROWS, MANIFEST = "vectors.npy", "rows.jsonl", "manifest.json"

DType = Literal["float32", "float16"]


class Scope(msgspec.Struct, frozen=True):
    """Which documents are meant: a tenant's, those whose metadata contains one of ``where`` (JSON objects); or all."""

    tenant: str | None = None
    where: tuple[str, ...] = ()


class DocumentState(msgspec.Struct, frozen=True):
    """What changes whenever a document's row is written: two equal ones are one state of it.

    ``origin`` is topic, partition, offset and timestamp of the record that it comes from.
    """

    tenant: str
    id: str
    revision: int
    origin: tuple[str, int, int, int]
    chunks: int

    @property
    def key(self) -> DocumentKey:
        """The document."""
        return self.tenant, self.id


class Place(msgspec.Struct, frozen=True):
    """Whose vector stands in a row: a chunk of a document, which has ``chunks`` rows, and the state it was read in."""

    tenant: str
    id: str
    ordinal: int
    revision: int
    origin: tuple[str, int, int, int]
    chunks: int

    @property
    def state(self) -> DocumentState:
        """The state of the document."""
        return DocumentState(self.tenant, self.id, self.revision, self.origin, self.chunks)


class Row(Place, frozen=True, omit_defaults=True):
    """A line of ``rows.jsonl``: what belongs to the vector in the same place of the matrix.

    ``text`` is there if it was asked for.
    """

    version: int | None = None
    title: str | None = None
    metadata: msgspec.Raw | None = None
    text: str | None = None


class Position(msgspec.Struct, frozen=True):
    """Everything of a partition below ``next_offset`` was resolved by the group when the snapshot was taken."""

    group: str
    topic: str
    partition: int
    next_offset: int


class Manifest(msgspec.Struct, frozen=True):
    """What an export is. It is one only when ``complete``: until then the matrix has rows that are not filled.

    ``snapshot_at`` is when the database was looked at: every row is of that moment, also the first ``kept_rows``, which
    an earlier run wrote and which were the same then. ``index_created_at`` tells an index from one made anew.
    """

    complete: bool
    software: str
    index: str
    index_created_at: datetime
    fingerprint: Fingerprint
    digest: str
    scope: Scope
    dtype: DType
    with_text: bool
    rows: int
    dimensions: int
    snapshot_at: datetime
    positions: tuple[Position, ...]
    kept_rows: int = 0
    vectors: str = VECTORS
    lines: str = ROWS
