"""Which dead letters are asked for?"""

from dataclasses import dataclass

import msgspec

from schemas import headers
from schemas.dead_letters import DeadLetter
from schemas.documents import DEFAULT_TENANT
from schemas.messages import Message


@dataclass(frozen=True)
class Filter:
    """Which dead letters are asked for; None is any.

    ``since_ms`` and ``until_ms`` are when the dead-letter topic took them, the latter excluded.
    """

    code: str | None = None
    stage: str | None = None
    tenant: str | None = None
    key: bytes | None = None
    partition: int | None = None
    offset: int | None = None
    since_ms: int | None = None
    until_ms: int | None = None

    @property
    def by_content(self) -> bool:
        """Say whether a record has to be looked into before it counts."""
        told = (self.code, self.stage, self.tenant, self.key, self.since_ms, self.until_ms)
        return any(value is not None for value in told)

    def takes(self, letter: DeadLetter) -> bool:
        """Say whether this one is asked for."""
        message, failure = letter.message, letter.failure
        return (
            self.code in (None, failure.code)
            and self.stage in (None, failure.stage)
            and self.key in (None, message.key)
            and self.partition in (None, message.partition)
            and self.offset in (None, message.offset)
            and (self.since_ms is None or message.timestamp >= self.since_ms)
            and (self.until_ms is None or message.timestamp < self.until_ms)
            and (self.tenant is None or self.tenant == (told_tenant(message) or DEFAULT_TENANT))
        )


class _Told(msgspec.Struct):
    tenant: str | None = None


def told_tenant(message: Message) -> str | None:
    """Return the tenant that a message names, however broken the rest of it is; None where it names none."""
    told = dict(message.headers).get(headers.TENANT)
    if told is not None:
        return told.decode("utf-8", "backslashreplace")
    try:
        return msgspec.json.decode(message.value or b"", type=_Told).tenant
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None  # it may well be the reason why it is here
