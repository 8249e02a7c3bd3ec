"""What does a dead letter say, and how is it written as a record?"""

from datetime import UTC, datetime

import msgspec

from schemas import headers
from schemas.messages import Headers, Message, Origin, TimestampType


class Failure(msgspec.Struct, frozen=True, gc=False):
    """Why a message could not be stored. Times are ISO 8601 UTC; ``stage`` is decode, embed, write or provider."""

    stage: str
    code: str
    message: str
    attempts: int
    first_failed_at: str
    failed_at: str


class DeadLetter(msgspec.Struct, frozen=True):
    """A message that could not be stored, its first origin, and why."""

    message: Message
    origin: Origin
    failure: Failure
    group: str
    index: str
    replays: int
    software: str


class Record(msgspec.Struct, frozen=True):
    """A record to be produced."""

    key: bytes | None
    value: bytes | None
    headers: Headers


def iso(seconds: float) -> str:
    """Write seconds since the epoch as ISO 8601 UTC with milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def cut(text: str) -> bytes:
    """Encode text for a header, at most MAX_TEXT_HEADER_BYTES long and never in the middle of a character."""
    return text.encode("utf-8", "replace")[: headers.MAX_TEXT_HEADER_BYTES].decode("utf-8", "ignore").encode()


def to_record(letter: DeadLetter) -> Record:
    """Write a dead letter: the original key, value and headers, and ours behind them, none of them twice.

    A message with neither key nor value gets an empty key, marked as such, since Kafka clients refuse to send it.
    """
    origin, failure = letter.origin, letter.failure
    first = original(letter.message)
    nothing = first.key is None and first.value is None
    ours = {
        "topic": origin.topic,
        "partition": str(origin.partition),
        "offset": str(origin.offset),
        "timestamp": str(origin.timestamp),
        "timestamp-type": origin.timestamp_type.value,
        "group": letter.group,
        "index": letter.index,
        "stage": failure.stage,
        "code": failure.code,
        "message": failure.message,
        "attempts": str(failure.attempts),
        "first-failed-at": failure.first_failed_at,
        "failed-at": failure.failed_at,
        "replays": str(letter.replays),
        "software": letter.software,
    }
    marks = ((headers.DLQ_NULL_KEY, b"1"),) if nothing else ()
    written = tuple((headers.DLQ_PREFIX + name, cut(value)) for name, value in ours.items())
    return Record(b"" if nothing else first.key, first.value, first.headers + marks + written)


def original(message: Message) -> Record:
    """Return the record as it first came, from a dead letter or a replay of one: without any header of ours."""
    kept = tuple((name, value) for name, value in message.headers if not headers.is_ours(name))
    null_key = message.value is None and any(name == headers.DLQ_NULL_KEY for name, _ in message.headers)
    return Record(None if null_key else message.key, message.value, kept)


def told_origin(told: Headers, prefix: str) -> Origin | None:
    """Read an origin from headers under *prefix*; None where they are missing or make no sense."""
    found = {name[len(prefix) :]: value for name, value in told if value is not None and name.startswith(prefix)}
    try:
        return Origin(
            found["topic"].decode(),
            int(found["partition"]),
            int(found["offset"]),
            int(found["timestamp"]),
            TimestampType(found["timestamp-type"].decode()),
        )
    except (KeyError, ValueError):
        return None


def from_message(message: Message) -> DeadLetter:
    """Read what lies in a dead-letter topic. What its headers do not tell is empty, 0, or the record's own place."""
    told = {
        name[len(headers.DLQ_PREFIX) :]: value.decode("utf-8", "backslashreplace")
        for name, value in message.headers
        if name.startswith(headers.DLQ_PREFIX) and value is not None
    }
    attempts, replays = (_number(told.get(name, "")) for name in ("attempts", "replays"))
    failure = Failure(
        stage=told.get("stage", ""),
        code=told.get("code", ""),
        message=told.get("message", ""),
        attempts=attempts,
        first_failed_at=told.get("first-failed-at", ""),
        failed_at=told.get("failed-at", ""),
    )
    origin = told_origin(message.headers, headers.DLQ_PREFIX) or message.place
    group, index, software = (told.get(name, "") for name in ("group", "index", "software"))
    return DeadLetter(message, origin, failure, group, index, replays, software)


def _number(text: str) -> int:
    # Python refuses to read thousands of digits, and nobody has tried that often.
    return int(text) if text.isdecimal() and len(text) < len(str(2**63)) else 0
