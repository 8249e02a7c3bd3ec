"""What may a tenant, an id, a version and a text be? The same for who publishes and for who consumes."""

import math
import re
from decimal import Decimal

from schemas.documents import DEFAULT_TENANT, MAX_ID_BYTES, TENANT_PATTERN
from schemas.errors import InvalidDocument

_TENANT = re.compile(TENANT_PATTERN)
_MIN_VERSION, _MAX_VERSION = -(2**63), 2**63 - 1
_MAX_NUMBER = 2**64 - 1


def tenant_of(value: str | None) -> str:
    """Return the tenant, the default one where none is named."""
    if value is None:
        return DEFAULT_TENANT
    if _TENANT.fullmatch(value) is None:
        said = ascii(value[:80])
        raise InvalidDocument("invalid-document", f"tenant {said} does not match {TENANT_PATTERN}", "$.tenant")
    return value


def document_id(value: str | float) -> str:
    """Return the id: a number becomes its decimal string, text stays as it is (the caller has removed NUL).

    Raises ``missing-id`` for an empty one and ``invalid-document`` for one that can not be stored and indexed.
    """
    if isinstance(value, bool):
        raise InvalidDocument("invalid-document", "id is neither text nor a number", "$.id")
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidDocument("invalid-document", f"id {value} is no finite number", "$.id")
    if isinstance(value, int) and not _MIN_VERSION <= value <= _MAX_NUMBER:
        raise InvalidDocument("invalid-document", "id is an integer of more than 64 bits", "$.id")
    text = value if isinstance(value, str) else format(Decimal(repr(value)), "f")
    if not text:
        raise InvalidDocument("missing-id", "id is empty", "$.id")
    if (size := _bytes_of(text, "id", "$.id")) > MAX_ID_BYTES:
        raise InvalidDocument("invalid-document", f"id has {size} bytes, {MAX_ID_BYTES} at most", "$.id")
    return text


def version_of(value: int) -> int:
    """Return the version, an integer of 64 bits with a sign."""
    if isinstance(value, bool) or not _MIN_VERSION <= value <= _MAX_VERSION:
        said = "a truth value" if isinstance(value, bool) else "outside of 64 bits"
        raise InvalidDocument("invalid-document", f"version is {said}, an integer of 64 bits is wanted", "$.version")
    return value


def text_of(value: str | None) -> str:
    """Return the text; ``empty-text`` where there is nothing to embed."""
    if value is None or not value.strip():
        raise InvalidDocument("empty-text", "text is missing or empty", "$.text")
    _bytes_of(value, "text", "$.text")
    return value


def _bytes_of(text: str, name: str, path: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidDocument(
            "invalid-document", f"{name} holds a lone surrogate at character {error.start}: it is not UTF-8", path
        ) from None
