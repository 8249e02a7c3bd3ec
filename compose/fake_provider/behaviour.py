"""How is the fake provider told to misbehave? As data: what goes wrong, and when."""

from typing import Annotated, Literal, get_args

import msgspec

RefusalKind = Literal[
    "rate-limited",
    "insufficient-quota",
    "unavailable",
    "server-error",
    "backend-failed",
    "timed-out",
    "bad-request",
    "unprocessable",
    "batch-too-large",
    "body-too-large",
    "too-many-tokens",
    "unauthorized",
    "forbidden",
    "no-balance",
    "unknown-model",
    "moved",
]
ConnectionKind = Literal["hang", "reset", "cut"]
VectorKind = Literal["nan", "infinite", "zero", "short", "ragged"]
ReplyKind = Literal[
    "shuffled",
    "no-index",
    "mixed-index",
    "repeated-index",
    "index-out-of-range",
    "missing-vector",
    "extra-vector",
    "truncated-json",
    "wrong-shape",
    "not-json",
    "error-in-success",
    "no-usage",
    "floats",
]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
VECTOR_KINDS: frozenset[str] = frozenset(get_args(VectorKind))


class Fixed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="fixed", tag_field="kind"):
    """Every answer takes the same time."""

    ms: NotNegative = 0.0


class Uniform(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="uniform", tag_field="kind"):
    """An answer takes any time between two."""

    low_ms: NotNegative
    high_ms: NotNegative


class Lognormal(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="lognormal", tag_field="kind"):
    """Half of the answers take longer than the median, a few of them very much so."""

    median_ms: Annotated[float, msgspec.Meta(gt=0)]
    sigma: NotNegative = 0.5


Latency = Fixed | Uniform | Lognormal


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename="kebab"):
    """What goes wrong, in a call that meets every condition given.

    A fault of a vector concerns each text, or those with ``containing`` in them; every other fault concerns the whole
    call. ``calls`` and ``seconds`` end it: after so many calls that it struck, so long after it was set.
    """

    kind: RefusalKind | ConnectionKind | VectorKind | ReplyKind
    probability: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    calls: int | None = None
    seconds: float | None = None
    containing: str | None = None
    above_concurrency: int | None = None
    above_rps: float | None = None
    over_s: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    """The span over which calls a second are counted: 60 for a quota of a minute."""
    above_items: int | None = None
    above_tokens: int | None = None
    status: int | None = None
    """Another status than the kind's own."""
    retry_after: float | str | None = None
    """Seconds, or text that is sent as it stands."""
    retry_after_as: Literal["seconds", "milliseconds", "date"] = "seconds"
    should_retry: bool | None = None
    """What ``x-should-retry`` says."""


class Behaviour(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename="kebab"):
    """How every call is met from now on. Of several faults that refuse a call the first one does."""

    latency: Latency = Fixed()
    faults: tuple[Fault, ...] = ()
    api_key: str | None = None
    """The only key that is let in, if any."""
    refuse_connections_s: NotNegative = 0.0
    """Stop listening for so long, once, and drop every connection."""
    seed: int = 0
