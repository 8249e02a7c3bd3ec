"""What came from Kafka, and where did it first come from?"""

from enum import StrEnum

import msgspec

Headers = tuple[tuple[str, bytes | None], ...]
"""Names and values in order; Kafka allows a name to be repeated and a value to be null."""


class TimestampType(StrEnum):
    """Who set a record's timestamp: its producer, or the broker when it was appended."""

    CREATE_TIME = "CreateTime"
    LOG_APPEND_TIME = "LogAppendTime"


class Origin(msgspec.Struct, frozen=True, gc=False):
    """The message that first carried a document.

    ``timestamp`` is in milliseconds since the epoch, as Kafka gave it. Two equal origins are one record.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    timestamp_type: TimestampType


class Message(msgspec.Struct, frozen=True, gc=False):
    """One Kafka record as received; key, value and headers are the bytes of the wire."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    timestamp_type: TimestampType
    key: bytes | None
    value: bytes | None
    headers: Headers = ()

    @property
    def place(self) -> Origin:
        """Where this record itself lies, whatever its headers say about an earlier one."""
        return Origin(self.topic, self.partition, self.offset, self.timestamp, self.timestamp_type)

    @property
    def size(self) -> int:
        """Bytes of the value, which is what a budget counts."""
        return len(self.value) if self.value is not None else 0
