"""What is stored, what is asked of a store, and what does it answer?"""

import hashlib
from enum import Enum, auto

import msgspec

from schemas.messages import Origin

DocumentKey = tuple[str, str]
"""(tenant, document id)"""


class Fingerprint(msgspec.Struct, frozen=True):
    """What makes two vectors comparable: an index holds vectors of one fingerprint only.

    ``chunking`` is written as ``kind/max_tokens/overlap``; ``tokenizer`` names what counted the tokens.
    """

    provider: str
    model: str
    dimensions: int
    vector_type: str
    chunking: str
    tokenizer: str

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that name this fingerprint in commit metadata and content hashes."""
        return hashlib.blake2b(msgspec.json.encode(self), digest_size=8).hexdigest()


class Standing(Enum):
    """How a document stands to what the index holds of it."""

    ABSENT = auto()
    """Nothing is stored, or only a tombstone: everything has to be embedded."""
    CHANGED = auto()
    """Another content is stored: chunks with a stored text can be reused."""
    UNCHANGED = auto()
    """The same content is stored under an older origin: a fenced narrow update resolves it."""
    REDELIVERED = auto()
    """This very origin is stored: nothing is written."""
    SUPERSEDED = auto()
    """Something newer is stored."""


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """What the look-up needs to know of a document. ``fence_ts``: the timestamp the fence goes by, in milliseconds."""

    tenant: str
    id: str
    version: int | None
    origin: Origin
    fence_ts: int


class ChunkRow(msgspec.Struct, gc=False):
    """A chunk to be stored; its ordinal is its place in the document.

    ``text`` is exactly what the provider was sent, ``hash`` is blake2b-128 of it, ``vector`` is packed big-endian
    float32 of 4 x dimensions bytes, or None where the vector stored under the same hash is to be kept.
    """

    text: str
    hash: bytes
    tokens: int
    vector: bytes | None = None


class ChangeKind(Enum):
    """What is to be done to a document's rows."""

    PUT = auto()
    TOUCH = auto()
    """Same content: move the fence forward and write title and metadata; no chunk is read or written."""
    DELETE = auto()


class Change(msgspec.Struct, frozen=True, gc=False):
    """One document's part of a write group. ``content_hash`` is None for a deletion, ``chunks`` is for PUT alone."""

    kind: ChangeKind
    tenant: str
    id: str
    version: int | None
    origin: Origin
    fence_ts: int
    title: str | None = None
    metadata: str | None = None
    content_hash: bytes | None = None
    chunks: tuple[ChunkRow, ...] = ()


class Outcome(Enum):
    """What became of a message. All but AGAIN resolve it."""

    STORED = "stored"
    UNCHANGED = "unchanged"
    SUPERSEDED = "superseded"
    DELETED = "deleted"
    DEAD_LETTERED = "dead_lettered"
    AGAIN = "again"
    """The rows changed since the look-up: the document has to be looked up and embedded once more."""


class Hit(msgspec.Struct, frozen=True):
    """A chunk found by a search. ``score`` is cosine similarity, 1 is the same direction."""

    tenant: str
    id: str
    ordinal: int
    score: float
    title: str | None
    text: str
    metadata: str | None


class Counts(msgspec.Struct, frozen=True):
    """How much an index holds. ``documents`` leaves tombstones out; ``estimated`` says that large numbers are rough."""

    documents: int
    chunks: int
    tombstones: int
    estimated: bool = False
