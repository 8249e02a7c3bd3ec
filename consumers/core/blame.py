"""Whose fault is a failure, and what is done about it?

One pure function from what happened and what is known of the batch and of the lane to a verdict. Attempts and delays
are values in it; nothing here waits, counts or sends.
"""

from dataclasses import dataclass
from enum import StrEnum

from consumers.core.backoff import backoff
from schemas.errors import (
    BrokerUnavailable,
    ConfigurationError,
    HeadraceError,
    InputRejected,
    MalformedReply,
    ProviderUnavailable,
    RateLimited,
    RowRejected,
    StoreUnavailable,
)

BLOCKED_AGAIN_S = (15.0, 60.0)
"""Between these, a blocked part is tried again: keys rotate, and rights are given."""
LONGEST_RETRY_AFTER_S = 120.0
LONGEST_UNTOLD_S = 1.0
"""After a 429 that does not say how long: the lane sees to it that few calls are made meanwhile."""
LAST_PROBES = 5
RETRY_AT_ONCE = frozenset({"40001", "40P01"})


class Blame(StrEnum):
    """Who a failure belongs to."""

    ITEM = "item"
    BATCH = "batch"
    PROVIDER = "provider"
    STORE = "store"
    BROKER = "broker"
    CONFIGURATION = "configuration"


class Act(StrEnum):
    """What is done about it."""

    RETRY = "retry"
    """The same again after the delay; intake pauses where the blame is not the batch's."""
    SPLIT = "split"
    """Each half again, at once."""
    PROBE = "probe"
    """Ask with a known-good text whether the lane is well, then judge again."""
    DEAD_LETTER = "dead-letter"
    BLOCK = "block"
    """Intake stops until a retry after the delay succeeds."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided.

    ``counts`` says that this failure counts against the batch, ``code`` is a dead letter's, ``probes`` how often in a
    row the known-good text has to succeed.
    """

    blame: Blame
    act: Act
    delay: float = 0.0
    counts: bool = False
    code: str = ""
    probes: int = 1


@dataclass(frozen=True, slots=True)
class History:
    """What is known of a batch or group: its size, its failures in a row, and those that counted against it.

    ``lane_well`` says that the provider was seen well since this failure, ``probed`` that it was asked in vain,
    ``sure`` that it embedded a known-good text many times in a row.
    """

    size: int
    failures: int
    malformed: int = 0
    counted: int = 0
    first_counted: float | None = None
    lane_well: bool = False
    probed: bool = False
    sure: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """How much an input must do before it is given up: so many counted failures over so many seconds."""

    max_attempts: int
    min_blame_s: float


def judge(  # noqa: C901, PLR0911, PLR0912 - the table stays on one screen, a row a case
    error: HeadraceError, history: History, policy: Policy, now: float, jitter: float
) -> Verdict:
    """Say whose fault *error* is and what to do; *jitter* is a random number from 0 to 1."""
    wait = backoff(history.failures, jitter)
    alone = history.size == 1
    match error:
        case ConfigurationError():
            shortest, longest = BLOCKED_AGAIN_S
            return Verdict(Blame.CONFIGURATION, Act.BLOCK, shortest + jitter * (longest - shortest))
        case RateLimited(retry_after=told):
            wait = min(wait, LONGEST_UNTOLD_S) if told is None else min(told, LONGEST_RETRY_AFTER_S) * (1 + jitter / 10)
            return Verdict(Blame.PROVIDER, Act.RETRY, wait)
        case InputRejected() | RowRejected() if not alone:
            return Verdict(Blame.BATCH, Act.SPLIT)
        case RowRejected():
            return Verdict(Blame.ITEM, Act.DEAD_LETTER, code="row-rejected")
        case InputRejected() if history.lane_well:
            return Verdict(Blame.ITEM, Act.DEAD_LETTER, code="input-rejected")
        case InputRejected() if history.probed:
            return Verdict(Blame.CONFIGURATION, Act.BLOCK, BLOCKED_AGAIN_S[0])
        case InputRejected():
            return Verdict(Blame.ITEM, Act.PROBE)
        case MalformedReply() if history.malformed <= 1:
            return Verdict(Blame.BATCH, Act.RETRY, wait)
        case MalformedReply() if not alone:
            return Verdict(Blame.BATCH, Act.SPLIT)
        case MalformedReply() | ProviderUnavailable():
            return _unavailable(history, policy, now, wait)
        case StoreUnavailable(sqlstate=state):
            again = 0.0 if state in RETRY_AT_ONCE and history.failures == 1 else wait
            return Verdict(Blame.STORE, Act.RETRY, again)
        case BrokerUnavailable():
            return Verdict(Blame.BROKER, Act.RETRY, wait)
        case _:
            return Verdict(Blame.PROVIDER, Act.RETRY, wait)


def _unavailable(history: History, policy: Policy, now: float, wait: float) -> Verdict:
    """Judge a failure that may be the provider's as well as the batch's: it counts only while the lane is well."""
    if not history.lane_well:
        # A first failure says nothing, and an outage is not asked about by every batch again and again.
        act = Act.PROBE if history.failures > 1 and not history.probed else Act.RETRY
        return Verdict(Blame.PROVIDER, act, wait)
    if history.size > 1:
        return Verdict(Blame.BATCH, Act.SPLIT, counts=True)
    since = now if history.first_counted is None else history.first_counted
    if history.counted + 1 >= policy.max_attempts and now - since >= policy.min_blame_s:
        # A provider that fails most of its calls embeds a known-good text now and then, but seldom so often in a row.
        if not history.sure:
            return Verdict(Blame.ITEM, Act.PROBE, probes=LAST_PROBES)
        return Verdict(Blame.ITEM, Act.DEAD_LETTER, counts=True, code="attempts-exhausted")
    return Verdict(Blame.ITEM, Act.RETRY, wait, counts=True)
