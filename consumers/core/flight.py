"""What is known of a message between its poll and its resolution?"""

import hashlib
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from consumers.core.chunking import text_digest
from consumers.core.decoding import Decoded, origin_of
from consumers.core.tracking import PartitionTracker
from schemas.documents import Deletion, Document
from schemas.index import Candidate, Change, ChangeKind, ChunkRow
from schemas.messages import Message, Origin

NO_TITLE = b"-1:0:"
"""The lengths of a title that is not there; most documents have none."""
HUGE = 256
"""A document of more chunks is huge: its vectors are staged in the index as they come, and never wait in memory."""


class Fate(Enum):
    """Where a flight stands."""

    IN_FLIGHT = auto()
    CONDEMNED = auto()
    """On its way to the dead-letter topic: no more work is done for it."""
    RESOLVED = auto()


_IN_FLIGHT = Fate.IN_FLIGHT  # asked for many times a document; Python 3.11 takes 0.1 us to find it in its class


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a message can not be stored: stage and code of its dead letter, what was said, after how many tries."""

    stage: str
    code: str
    message: str
    attempts: int = 1


class Flight:
    """One message on its way to be resolved, with the chunks it fans out to.

    A flight belongs to one assignment by its tracker. It is resolved once, when its last chunk is stored or when it is
    dead-lettered; with a closed tracker it is abandoned, and its message will be delivered again.
    """

    __slots__ = (
        "chunks",
        "content_hash",
        "decoded",
        "digest",
        "fate",
        "is_huge",
        "message",
        "missing",
        "received",
        "subject",
        "tracker",
        "weight",
    )

    subject: Document | Deletion
    """What the message says; there is none where it could not be decoded."""

    def __init__(
        self,
        tracker: PartitionTracker,
        message: Message,
        decoded: Decoded | None,
        received: float,
        vector_bytes: int = 0,
    ) -> None:
        """Begin with what was polled; *decoded* is None for a message that is to be dead-lettered.

        *vector_bytes* are counted beside the message's own size: what is polled is seldom less than one chunk. What
        more a long document holds, a Footprint says.
        """
        self.tracker = tracker
        self.message = message
        self.decoded = decoded
        if decoded is not None:
            self.subject = decoded.subject
        self.received = received
        self.weight = vector_bytes + (0 if message.value is None else len(message.value))
        self.chunks: tuple[ChunkRow, ...] = ()
        self.missing = 0
        self.is_huge = False
        """Whether the vectors of this document are staged."""
        self.digest = b""
        self.content_hash = b""
        self.fate = _IN_FLIGHT

    def __repr__(self) -> str:
        place = f"{self.message.topic}/{self.message.partition}/{self.message.offset}"
        return f"<Flight {place} {self.fate.name.lower()} missing={self.missing}>"

    @property
    def live(self) -> bool:
        """Whether work on this flight is of any use."""
        return self.fate is _IN_FLIGHT and self.tracker.live

    @property
    def counted(self) -> bool:
        """Whether the budget counts this flight: until it is resolved, or its partition is given up."""
        return self.fate is not Fate.RESOLVED and self.tracker.live

    @property
    def origin(self) -> Origin:
        """The message that first carried this one, as far as it says."""
        return origin_of(self.message)[0] if self.decoded is None else self.decoded.origin

    def candidate(self) -> Candidate:
        """Return what the look-up has to know."""
        known, document = self.decoded, self.subject
        if known is None or not isinstance(document, Document):
            raise TypeError(f"{self!r} is no document")
        return Candidate(document.tenant, document.id, document.version, known.origin, known.fence_ts)

    def hashed(self, fingerprint: bytes) -> bytes:
        """Return a document's content hash, which a change needs; computed when it is first asked for."""
        if not self.content_hash:
            document: Any = self.subject  # a deletion has no content
            self.digest = text_digest(document.text)
            self.content_hash = content_hash(fingerprint, document.title, self.digest)
        return self.content_hash

    def fan_out(self, chunks: tuple[ChunkRow, ...]) -> None:
        """Wait for a vector for each of *chunks*."""
        self.chunks = chunks
        self.missing = len(chunks)
        self.is_huge = self.missing > HUGE

    def arrive(self, ordinal: int, vector: bytes) -> bool:
        """Take the vector of a chunk; say whether it was the last one missing."""
        chunk = self.chunks[ordinal]
        if chunk.vector is not None:
            return False
        chunk.vector = vector
        self.missing -= 1
        return self.missing == 0

    def arrive_in_index(self) -> bool:
        """Count the vector of a chunk that was staged; say whether it was the last one missing."""
        self.missing -= 1
        return self.missing == 0

    def put(self) -> Change:
        """Return the change that stores this document with its chunks."""
        return self._change(ChangeKind.PUT, self.chunks)

    def touch(self) -> Change:
        """Return the change that moves the fence of an unchanged document forward and writes its metadata."""
        return self._change(ChangeKind.TOUCH, ())

    def _change(self, kind: ChangeKind, chunks: tuple[ChunkRow, ...]) -> Change:
        known, document = self.decoded, self.subject
        if known is None or not isinstance(document, Document) or not self.content_hash:
            raise TypeError(f"{self!r} is no document, or was not hashed")
        return Change(
            kind,
            document.tenant,
            document.id,
            document.version,
            known.origin,
            known.fence_ts,
            document.title,
            document.metadata,
            self.content_hash,
            chunks,
        )

    def removal(self) -> Change:
        """Return the change that deletes the document."""
        known = self.decoded
        if known is None:
            raise TypeError(f"{self!r} was not decoded")
        subject = known.subject
        return Change(ChangeKind.DELETE, subject.tenant, subject.id, subject.version, known.origin, known.fence_ts)


def is_huge(chunks: int) -> bool:
    """Say whether a document of so many *chunks* is huge."""
    return chunks > HUGE


def hash_of(fingerprint: bytes, document: Document) -> bytes:
    """Return the content hash of a document."""
    return content_hash(fingerprint, document.title, text_digest(document.text))


def content_hash(fingerprint: bytes, title: str | None, digest: bytes) -> bytes:
    """Return blake2b-256 over (fingerprint, title, the text's *digest*): equal hashes need no new vectors.

    Lengths stand before the parts, so that no two different documents write the same bytes.
    """
    told = NO_TITLE
    if title is not None:
        encoded = title.encode()
        told = b"%d:%d:" % (len(encoded), len(encoded)) + encoded
    return hashlib.blake2b(fingerprint + told + digest, digest_size=32).digest()
