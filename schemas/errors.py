"""What can go wrong, as types.

::

    HeadraceError
    ├── ConfigurationError        the settings, the keys or the rights are wrong: an operator has to act
    │   ├── ProviderMisconfigured 401, 403, unknown model, insufficient_quota, wrong vector length
    │   ├── StoreMisconfigured    SQLSTATE 42*, 3F*, 28*; an index of another fingerprint
    │   ├── BrokerMisconfigured   unknown topic, authorization, dead letter too large for its topic
    │   └── IndexMismatch         the index or the group's positions belong to something else: no waiting mends it
    ├── InvalidDocument           a message that says nothing we can store
    ├── ProviderError
    │   ├── RateLimited           429, or 503 that says when to come back
    │   ├── ProviderUnavailable   timeout, refused or reset connection, 5xx
    │   ├── InputRejected         400, 413, 422: something in this batch, or its size
    │   └── MalformedReply        not the JSON we asked for, wrong count, mixed or repeated index
    ├── StoreError
    │   ├── StoreUnavailable      SQLSTATE 40001, 40P01, 55P03, 08*, 53*, 57P0*; lost connections
    │   └── RowRejected           SQLSTATE class 22, 21, 54
    └── BrokerError
        ├── BrokerUnavailable     no answer, not enough replicas, time-out of a produce or a commit
        └── GroupIsLive           its offsets are its members' affair

Foreign exceptions stop at the adapter that met them and become one of these. The message of each says what an
operator can do.
"""

from typing import ClassVar


class HeadraceError(Exception):
    """Something went wrong."""

    part: ClassVar[str] = "headrace"


class ConfigurationError(HeadraceError):
    """The configuration is wrong."""

    part = "configuration"


class ProviderMisconfigured(ConfigurationError):
    """The provider refuses our key, our quota or our model, whatever the text.

    ``field`` is the part of the request that it is about, where that is known.
    """

    part = "provider"

    def __init__(self, message: str, *, field: str | None = None) -> None:
        """Carry the field."""
        super().__init__(message)
        self.field = field


class StoreMisconfigured(ConfigurationError):
    """The database refuses our role, our tables or our settings, whatever the row."""

    part = "store"


class BrokerMisconfigured(ConfigurationError):
    """Kafka refuses our topics, our rights or our settings, whatever the record."""

    part = "broker"


class IndexMismatch(ConfigurationError):
    """The index holds vectors of another fingerprint, or the group's positions belong to another index."""

    part = "store"


class InvalidDocument(HeadraceError):
    """A message that is no document: ``code`` is the dead letter's code, ``path`` the field it is about, if any."""

    part = "item"

    def __init__(self, code: str, message: str, path: str | None = None) -> None:
        """Say which code, why, and where in the value (``$.metadata.a``)."""
        super().__init__(message)
        self.code = code
        self.path = path


class ProviderError(HeadraceError):
    """A call to the embedding provider failed. ``retry_after`` is the wait it asked for, in seconds."""

    part = "provider"

    def __init__(self, message: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        """Carry what the reply said, in so far as there was one."""
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class RateLimited(ProviderError):
    """The provider asks us to slow down."""


class ProviderUnavailable(ProviderError):
    """The provider does not answer, or not in a usable way."""


class InputRejected(ProviderError):
    """The provider refuses this batch. ``oversized`` says that it complains of the size of the call."""

    def __init__(self, message: str, *, status: int | None = None, oversized: bool = False) -> None:
        """Carry the status and whether the complaint is of size."""
        super().__init__(message, status=status)
        self.oversized = oversized


class MalformedReply(ProviderError):
    """The provider answered 200 with something that is no set of vectors for these texts."""


class StoreError(HeadraceError):
    """The database failed us. ``sqlstate`` is its code where it gave one."""

    part = "store"

    def __init__(self, message: str, *, sqlstate: str | None = None) -> None:
        """Carry the SQLSTATE."""
        super().__init__(message)
        self.sqlstate = sqlstate


class StoreUnavailable(StoreError):
    """The database is away, overloaded, or asks for the transaction again."""


class RowRejected(StoreError):
    """The database refuses a value of some row in this group."""


class BrokerError(HeadraceError):
    """Kafka failed us."""

    part = "broker"


class BrokerUnavailable(BrokerError):
    """Kafka does not answer, or can not take a record or a commit now."""


class GroupIsLive(BrokerError):
    """The group has members: only an empty one takes offsets from outside."""
