"""What does this message say?

One msgspec pass decodes and validates. Whatever can not be stored is an InvalidDocument with the code of its dead
letter; what can be stored after a change (a NUL removed, a content type not known) is stored, and the change is told.
"""

import re
from functools import lru_cache
from typing import Any

import msgspec

from consumers.core.chunking import is_known
from consumers.core.tracking import PartitionTracker
from schemas import headers
from schemas.dead_letters import told_origin
from schemas.documents import DEFAULT_TENANT, MAX_ID_BYTES, Deletion, Document
from schemas.errors import InvalidDocument
from schemas.messages import Headers, Message, Origin
from schemas.rules import document_id, tenant_of, version_of

BOM = b"\xef\xbb\xbf"
FUTURE_MS = 5 * 60 * 1000
"""A timestamp further ahead than this counts as received now."""

_LONG_NUMBER = re.compile(rb"\d{19}")
_INT64 = range(-(2**63), 2**63)
_TENANT, _ID, _VERSION = headers.TENANT, headers.ID, headers.VERSION
_SAYS = frozenset({_TENANT, _ID, _VERSION})
_TRAVELLED = (headers.ORIGIN_PREFIX, headers.DLQ_PREFIX)
_TENANTS = 1024

_tenant_of = lru_cache(_TENANTS)(tenant_of)
"""Most tenants have been looked at before."""


class Value(msgspec.Struct):
    """The JSON object of a message; unknown fields are ignored."""

    id: str | int | float | None = None
    text: str | None = None
    title: str | None = None
    metadata: dict[str, Any] | None = None
    tenant: str | None = None
    version: int | None = None
    content_type: str | None = None


class Decoded(msgspec.Struct, frozen=True, gc=False):
    """A message that can be stored.

    ``fence_ts`` is the origin's timestamp, or now where that lies in the future. ``oddities`` names what was changed
    or ignored: nul-removed, unknown-content-type, future-timestamp, origin-ignored.
    """

    subject: Document | Deletion
    origin: Origin
    fence_ts: int
    oddities: tuple[str, ...] = ()


_decoder = msgspec.json.Decoder(Value)
_encoder = msgspec.json.Encoder()


def origin_of(message: Message) -> tuple[Origin, bool]:
    """Return the first origin of a message, and whether one it told was not believed.

    Headers of a replay, or of a dead letter that a plain Kafka tool copied back, are believed only if they name
    something older than the message that carries them.
    """
    place = message.place
    told_any = False
    for prefix in (headers.ORIGIN_PREFIX, headers.DLQ_PREFIX):
        if not any(name.startswith(prefix) for name, _ in message.headers):
            continue
        told_any = True
        told = told_origin(message.headers, prefix)
        if told is not None and _is_older(told, place):
            return told, False
    return place, told_any


def decode(message: Message, now_ms: int, max_bytes: int, tracker: PartitionTracker | None = None) -> Decoded:
    """Say what *message* means. Raises InvalidDocument with the code of its dead letter.

    With the *tracker* of its partition the fence sees timestamps in the order of the offsets; a replayed record keeps
    its own.
    """
    raw = message.value
    if raw is not None and len(raw) > max_bytes:
        limit = f"the value has {len(raw)} bytes, max_document_bytes is {max_bytes}"
        raise InvalidDocument("document-too-large", limit)
    told, travelled = _told(message.headers) if message.headers else ({}, False)
    place = message.place
    origin, ignored = origin_of(message) if travelled else (place, False)
    oddities: list[str] = ["origin-ignored"] if ignored else []
    if raw is None:
        subject: Document | Deletion = _deletion(message, told, oddities)
    else:
        subject = _document(message, _value(raw), told, oddities)
    is_first = not travelled or origin == place
    fence_ts = origin.timestamp
    if fence_ts > now_ms + FUTURE_MS:
        # Received now, where this is its first time. When a replayed one was received nobody knows: offsets decide.
        fence_ts = now_ms if is_first else 0
        oddities.append("future-timestamp")
    if is_first and tracker is not None:
        fence_ts = tracker.in_order(fence_ts)
    return Decoded(subject, origin, fence_ts, tuple(oddities))


def _is_older(told: Origin, place: Origin) -> bool:
    if told.timestamp != place.timestamp:
        return told.timestamp < place.timestamp
    return (told.topic, told.partition) == (place.topic, place.partition) and told.offset < place.offset


def _value(raw: bytes) -> Value:
    try:
        return _decoder.decode(raw.removeprefix(BOM))
    except msgspec.MsgspecError as error:
        text, _, path = str(error).partition(" - at `")
        raise InvalidDocument("invalid-document", str(error) or text, path.rstrip("`") or None) from None
    except RecursionError:
        raise InvalidDocument("invalid-document", "the JSON is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise InvalidDocument("invalid-document", f"a string is not UTF-8: {error.reason}") from None


def _told(found: Headers) -> tuple[dict[str, str], bool]:
    """Return what our headers say of the document, and whether any speaks of an earlier place of the message.

    The last of repeated ones wins, as in JSON.
    """
    told: dict[str, str] = {}
    travelled = False
    for name, value in found:
        if name in _SAYS:
            if value is None:
                raise InvalidDocument("invalid-document", f"the header {name} has no value", name)
            try:
                told[name] = value.decode()
            except UnicodeDecodeError:
                raise InvalidDocument("invalid-document", f"the header {name} is not UTF-8", name) from None
        elif name.startswith(_TRAVELLED):
            travelled = True
    return told, travelled


def _document(message: Message, value: Value, told: dict[str, str], oddities: list[str]) -> Document:
    text, title = value.text, value.title
    if text is not None and "\0" in text:
        text = _clean(text, oddities)
    tenant, found_id, version = _identity(message, value, told, oddities)
    if not text or text.isspace():
        raise InvalidDocument("empty-text", "the document has no text", "$.text")
    if title is not None and "\0" in title:
        title = _clean(title, oddities)
    if value.content_type is not None and not is_known(value.content_type):
        oddities.append("unknown-content-type")
    return Document(
        tenant,
        found_id,
        text,
        version,
        title,
        None if value.metadata is None else _metadata(value.metadata, oddities),
        value.content_type,
    )


def _deletion(message: Message, told: dict[str, str], oddities: list[str]) -> Deletion:
    return Deletion(*_identity(message, Value(), told, oddities))


def _identity(message: Message, value: Value, told: dict[str, str], oddities: list[str]) -> tuple[str, str, int | None]:
    """Return tenant, id and version, from the value, the headers or the key, which may not disagree."""
    found, tenant = value.id, value.tenant
    if not isinstance(found, str):
        found = None if found is None else _number(found)
    version = None if value.version is None else version_of(value.version)
    if told:
        if (in_header := told.get(_ID)) is not None and in_header != found:
            found = _agreed("id", _ID, found or None, in_header)
        if (in_header := told.get(_TENANT)) is not None and in_header != tenant:
            tenant = _agreed("tenant", _TENANT, tenant, in_header)
        if (in_header := told.get(_VERSION)) is not None:
            _agreed("version", _VERSION, None if version is None else str(version), in_header)
            version = _integer(in_header)
    if not found:
        found = _key(message.key)
    if "\0" in found:
        found = _clean(found, oddities)
    if not found:
        raise InvalidDocument("missing-id", "neither the value, nor the header headrace-id, nor the key says the id")
    return (
        DEFAULT_TENANT if tenant is None else _tenant_of(tenant),
        found if len(found) <= MAX_ID_BYTES and found.isascii() else document_id(found),
        version,
    )


def _number(said: float) -> str:
    """Return an id that is a number as text."""
    if isinstance(said, int) and said not in _INT64:
        raise InvalidDocument("invalid-document", "id is an integer of more than 64 bits", "$.id")
    return document_id(said)


def _agreed(field: str, header: str, said: str | None, in_header: str) -> str:
    """Return what the header says of *field*, of which the value has to say the same or nothing."""
    if said is not None and said != in_header:
        raise InvalidDocument("invalid-document", f"{field} and the header {header} disagree", f"$.{field}")
    return in_header


def _integer(text: str) -> int:
    try:
        return version_of(int(text))
    except ValueError:
        raise InvalidDocument("invalid-document", f"{headers.VERSION} is not an integer", headers.VERSION) from None


def _key(key: bytes | None) -> str:
    try:
        return (key or b"").decode()
    except UnicodeDecodeError:
        raise InvalidDocument("invalid-document", "the key, which is to be the id, is not UTF-8") from None


def _clean(text: str, oddities: list[str]) -> str:
    oddities.append("nul-removed")
    return text.replace("\0", "")


def _metadata(metadata: dict[str, Any], oddities: list[str]) -> str:
    """Return metadata as JSON text that PostgreSQL takes as jsonb."""
    encoded = _encoder.encode(metadata)
    if _LONG_NUMBER.search(encoded):
        _refuse_long_numbers(metadata)
    if b"\\u0000" in encoded:
        cleaned = _without_nul(metadata)
        if cleaned != metadata:
            oddities.append("nul-removed")
        encoded = _encoder.encode(cleaned)
    return encoded.decode()


def _refuse_long_numbers(value: object, path: str = "$.metadata") -> None:
    if isinstance(value, dict):
        for name, inner in value.items():
            _refuse_long_numbers(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            _refuse_long_numbers(inner, f"{path}[{place}]")
    elif isinstance(value, int) and value not in _INT64:
        raise InvalidDocument("invalid-document", f"an integer of more than 64 bits at {path}", path)


def _without_nul(value: object) -> object:
    if isinstance(value, dict):
        return {str(_without_nul(name)): _without_nul(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_without_nul(inner) for inner in value]
    return value.replace("\0", "") if isinstance(value, str) else value
