"""Every header that headrace reads or writes, by name."""

TENANT = "headrace-tenant"
ID = "headrace-id"
VERSION = "headrace-version"
TRACEPARENT = "traceparent"

ORIGIN_PREFIX = "headrace-origin-"
DLQ_PREFIX = "headrace-dlq-"
REPLAYS = "headrace-replays"
DLQ_NULL_KEY = "headrace-dlq-null-key"

ORIGIN_FIELDS = ("topic", "partition", "offset", "timestamp", "timestamp-type")
FAILURE_FIELDS = (
    "group",
    "index",
    "stage",
    "code",
    "message",
    "attempts",
    "first-failed-at",
    "failed-at",
    "replays",
    "software",
)

MAX_TEXT_HEADER_BYTES = 1024
"""Text in a header we write is cut at this many UTF-8 bytes."""


def is_ours(name: str) -> bool:
    """Say whether a header is bookkeeping of ours, and so no part of the original message."""
    return name.startswith((DLQ_PREFIX, ORIGIN_PREFIX)) or name == REPLAYS
