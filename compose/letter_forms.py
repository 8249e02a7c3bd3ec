"""In what form is a dead letter shown, and exported?"""

import base64

import msgspec

from consumers.core.replaying import prospect
from consumers.core.selection import told_tenant
from schemas.dead_letters import DeadLetter, Failure, iso
from schemas.documents import Document
from schemas.errors import InvalidDocument
from schemas.fates import Fate
from schemas.messages import Origin

MAX_SHOWN_KEY = 200


class Letter(msgspec.Struct, frozen=True):
    """A dead letter in a line. ``key`` shows other bytes than text as escapes, ``tenant`` is None if nobody says."""

    partition: int
    offset: int
    origin: str
    key: str | None
    tenant: str | None
    stage: str
    code: str
    message: str
    attempts: int
    replays: int
    first_failed_at: str
    failed_at: str
    bytes: int
    fate: Fate | None = None


class Field(msgspec.Struct, frozen=True, omit_defaults=True):
    """Bytes as JSON can carry them: as text where they are UTF-8, else in base64."""

    text: str | None = None
    base64: str | None = None


class Whole(msgspec.Struct, frozen=True):
    """A dead letter with everything in it, and what decoding makes of the original today."""

    letter: Letter
    group: str
    index: str
    software: str
    key: Field | None
    value: Field | None
    headers: list[tuple[str, Field | None]]
    now: str


class Exported(msgspec.Struct, frozen=True):
    """A dead letter as it is written to a file: the record as it lies there, and what is known of it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: Field | None
    value: Field | None
    headers: list[tuple[str, Field | None]]
    failure: Failure
    origin: Origin
    replays: int
    fate: Fate | None


def in_a_line(letter: DeadLetter, fate: Fate | None) -> Letter:
    """Return what a list shows of a dead letter."""
    message, origin, failure = letter.message, letter.origin, letter.failure
    return Letter(
        partition=message.partition,
        offset=message.offset,
        origin=f"{origin.topic}/{origin.partition}/{origin.offset}",
        key=None if message.key is None else message.key[:MAX_SHOWN_KEY].decode("utf-8", "backslashreplace"),
        tenant=told_tenant(message),
        stage=failure.stage,
        code=failure.code,
        message=failure.message,
        attempts=failure.attempts,
        replays=letter.replays,
        first_failed_at=failure.first_failed_at,
        failed_at=failure.failed_at or iso(message.timestamp / 1000),
        bytes=message.size,
        fate=fate,
    )


def whole(letter: DeadLetter, fate: Fate | None, now: str) -> Whole:
    """Return everything in a dead letter, in a form that JSON can carry."""
    message = letter.message
    return Whole(
        in_a_line(letter, fate),
        letter.group,
        letter.index,
        letter.software,
        key=_field(message.key),
        value=_field(message.value),
        headers=[(name, _field(value)) for name, value in message.headers],
        now=now,
    )


def exported(letter: DeadLetter, fate: Fate | None) -> Exported:
    """Return a dead letter as it is written to a file."""
    message = letter.message
    return Exported(
        message.topic,
        message.partition,
        message.offset,
        message.timestamp,
        key=_field(message.key),
        value=_field(message.value),
        headers=[(name, _field(value)) for name, value in message.headers],
        failure=letter.failure,
        origin=letter.origin,
        replays=letter.replays,
        fate=fate,
    )


def today(letter: DeadLetter, now_ms: int, max_bytes: int) -> str:
    """Say in words what this version makes of the original."""
    found = prospect(letter, now_ms, max_bytes)
    if isinstance(found, InvalidDocument):
        return f"still {found.code}: {found}"
    subject = found.subject
    changed = f" ({', '.join(found.oddities)})" if found.oddities else ""
    whose = f"{subject.tenant}/{subject.id}"
    if isinstance(subject, Document):
        return f"would be embedded and stored as {whose}, {len(subject.text):,} characters{changed}"
    return f"would delete {whose}{changed}"


def _field(raw: bytes | None) -> Field | None:
    if raw is None:
        return None
    try:
        return Field(text=raw.decode("utf-8"))
    except UnicodeDecodeError:
        return Field(base64=base64.b64encode(raw).decode("ascii"))
