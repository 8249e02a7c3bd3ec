"""What does a message say? A document, or its deletion."""

import msgspec

DEFAULT_TENANT = "default"
TENANT_PATTERN = r"[A-Za-z0-9._-]{1,64}"
MAX_ID_BYTES = 1024


class Document(msgspec.Struct, frozen=True, gc=False):
    """A document to be embedded.

    ``metadata`` is JSON text of an object, already free of NUL and of lone surrogates; ``content_type`` is a media
    type such as ``text/markdown``; ``version`` fits 64 bits.
    """

    tenant: str
    id: str
    text: str
    version: int | None = None
    title: str | None = None
    metadata: str | None = None
    content_type: str | None = None


class Deletion(msgspec.Struct, frozen=True, gc=False):
    """A document that is to be removed; its row stays as a tombstone, so that the fence holds."""

    tenant: str
    id: str
    version: int | None = None


def message_key(tenant: str, document_id: str) -> bytes:
    """Return the key under which our publisher sends a document.

    Keys never collide under compaction: ``id`` in the default tenant, ``tenant/id`` elsewhere, and ``/`` + id where
    an id of the default tenant holds a ``/`` itself.
    """
    if tenant != DEFAULT_TENANT:
        return f"{tenant}/{document_id}".encode()
    return (f"/{document_id}" if "/" in document_id else document_id).encode()
