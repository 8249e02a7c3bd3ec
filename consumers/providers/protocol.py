"""What is an embedding provider to us?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from consumers.core.remaining import Remaining


@dataclass(frozen=True, slots=True)
class Reply:
    """One call's vectors: entry i belongs to text i.

    A vector is packed big-endian float32, 4 x dimensions bytes, as PostgreSQL takes it. Where a single vector is
    unusable (not finite, zero, of the wrong length) its entry is None and ``faults`` says why. ``tokens`` is what
    the provider billed, or bytes/4 where it did not say; ``remaining`` is what its headers say of a quota.
    """

    vectors: Sequence[bytes | None]
    tokens: int
    faults: Mapping[int, str] = field(default_factory=dict)
    remaining: Remaining | None = None


class Provider(Protocol):
    """An embedding API."""

    @property
    def model(self) -> str:
        """The model's name."""

    async def embed(self, texts: Sequence[str]) -> Reply:
        """Return one vector for each text, in order.

        Raises RateLimited, ProviderUnavailable, InputRejected, MalformedReply or ProviderMisconfigured; no other
        exception leaves but CancelledError.
        """

    async def aclose(self) -> None:
        """Close the connections."""
