"""Documents for the tests of stores: short to write, three dimensions, vectors that follow from their text."""

import hashlib
import math
import struct
from collections.abc import Sequence

from consumers.stores.protocol import Store
from schemas.index import Candidate, Change, ChangeKind, ChunkRow, Fingerprint, Hit, Standing
from schemas.messages import Origin, TimestampType

TOPIC = "docs.raw"
FINGERPRINT = Fingerprint("openai", "tiny", 3, "vector", "auto/512/0", "characters/4")
APPENDED, CREATED = TimestampType.LOG_APPEND_TIME, TimestampType.CREATE_TIME


def at(
    offset: int, ts: int | None = None, *, partition: int = 0, topic: str = TOPIC, by: TimestampType = APPENDED
) -> Origin:
    """Return the origin at *offset*, appended at *ts*: 1,000 ms after the one before it, if not said."""
    return Origin(topic, partition, offset, 1_000_000 + offset * 1_000 if ts is None else ts, by)


def packed(*numbers: float) -> bytes:
    """Pack numbers as a provider's reply does."""
    return struct.pack(f">{len(numbers)}f", *numbers)


def vector(text: str) -> bytes:
    """Return the vector of a text: of length 1, and another for another text."""
    digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=3).digest()
    numbers = [byte - 127.5 for byte in digest]
    return packed(*(number / math.hypot(*numbers) for number in numbers))


def hashed(*texts: str, size: int = 16) -> bytes:
    """Hash texts as chunks (16 bytes) or contents (32) are hashed."""
    return hashlib.blake2b("\0".join(texts).encode("utf-8", "replace"), digest_size=size).digest()


def put(
    document_id: str,
    *texts: str,
    origin: Origin,
    version: int | None = None,
    tenant: str = "default",
    fence_ts: int | None = None,
    metadata: str | None = None,
    kept: Sequence[str] = (),
) -> Change:
    """Return the storing of a document whose chunks are *texts*; those in *kept* come without a vector."""
    chunks = tuple(ChunkRow(text, hashed(text), 1, None if text in kept else vector(text)) for text in texts)
    ts = origin.timestamp if fence_ts is None else fence_ts
    content = hashed(*texts, size=32)
    return Change(
        ChangeKind.PUT, tenant, document_id, version, origin, ts, f"title of {document_id}", metadata, content, chunks
    )


def touch(
    document_id: str,
    *texts: str,
    origin: Origin,
    version: int | None = None,
    tenant: str = "default",
    metadata: str | None = None,
) -> Change:
    """Return the touch of a document of which *texts* are thought to be stored."""
    content, ts = hashed(*texts, size=32), origin.timestamp
    return Change(
        ChangeKind.TOUCH, tenant, document_id, version, origin, ts, f"title of {document_id}", metadata, content
    )


def delete(document_id: str, *, origin: Origin, version: int | None = None, tenant: str = "default") -> Change:
    """Return the deletion of a document."""
    return Change(ChangeKind.DELETE, tenant, document_id, version, origin, origin.timestamp)


async def look_up(store: Store, changes: Sequence[Change]) -> list[Standing]:
    """Ask how changes stand to what is stored."""
    asked = [Candidate(one.tenant, one.id, one.version, one.origin, one.fence_ts) for one in changes]
    return await store.look_up(asked, lambda n: changes[n].content_hash or b"")


async def hits(store: Store) -> list[Hit]:
    """Return every chunk of the index, in the order of the keys."""
    found = await store.search(packed(1, 0, 0), limit=10_000)
    return sorted(found, key=lambda hit: (hit.tenant, hit.id, hit.ordinal))


async def texts(store: Store, document_id: str, tenant: str = "default") -> list[str]:
    """Return the texts of a document's chunks, in order."""
    return [hit.text for hit in await hits(store) if (hit.tenant, hit.id) == (tenant, document_id)]
