"""What became of a dead letter?

Its fate lies in a compacted topic beside the dead-letter topic. The key names the place of the dead letter with its
timestamp, so that a topic that was made anew inherits nothing.
"""

from enum import StrEnum

import msgspec

from schemas.dead_letters import Record
from schemas.messages import Origin


class FateKind(StrEnum):
    """What was done with a dead letter; ``skipped`` is what could not be done, and leaves it to be dealt with."""

    REPLAYED = "replayed"
    PARKED = "parked"
    DISCARDED = "discarded"
    SKIPPED = "skipped"


class Fate(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a dead letter, when (ISO 8601 UTC), and in which run of a command.

    ``to`` is the topic it was sent to; ``edited`` says that a corrected document was sent in its place.
    """

    kind: FateKind
    at: str
    run: str
    reason: str = ""
    to: str = ""
    edited: bool = False

    @property
    def settles(self) -> bool:
        """Whether nothing is left to be done."""
        return self.kind is not FateKind.SKIPPED


class Parcel(msgspec.Struct, frozen=True):
    """A record to be sent to a topic.

    ``partition`` is where it belongs if the topic has it, else its key decides; ``timestamp`` counts only where the
    topic takes the producer's.
    """

    topic: str
    record: Record
    partition: int | None = None
    timestamp: int | None = None


def fate_key(place: Origin) -> bytes:
    """Return the key under which the fate of the dead letter at *place* is kept."""
    return f"{place.topic}/{place.partition}/{place.offset}/{place.timestamp}".encode()


def to_record(place: Origin, fate: Fate) -> Record:
    """Write the fate of the dead letter at *place*."""
    return Record(fate_key(place), msgspec.json.encode(fate), ())


def from_value(value: bytes | None) -> Fate | None:
    """Read a fate; None for anything else that lies in the topic."""
    try:
        return msgspec.json.decode(value or b"", type=Fate)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
