"""What does a reply that is no success mean?

The table below is read from the top; the first row that fits decides. A code says more than a status, and a status
more than words: words decide only where the family of OpenAI-shaped servers gives nothing else.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto
from http import HTTPStatus

from consumers.providers.complaint import Complaint
from schemas.errors import (
    HeadraceError,
    InputRejected,
    MalformedReply,
    ProviderMisconfigured,
    ProviderUnavailable,
    RateLimited,
)

MAX_MESSAGE = 300
"""Characters of a provider's own words that are kept."""
DIMENSIONS = "dimensions"
"""The field of ProviderMisconfigured where a model does not let its dimensions be chosen, or not these."""


class Meaning(Enum):
    """What is to be made of a refusal."""

    RATE_LIMITED = auto()
    UNAVAILABLE = auto()
    REJECTED = auto()
    OVERSIZED = auto()
    MISCONFIGURED = auto()
    MALFORMED = auto()


@dataclass(frozen=True, slots=True)
class Row:
    """Conditions of which all given ones have to hold, and what they mean together.

    ``phrases`` are written in small letters. ``field`` is the part of the request that a misconfiguration is about.
    """

    meaning: Meaning
    statuses: frozenset[int] | None = None
    codes: frozenset[str] | None = None
    params: frozenset[str] | None = None
    phrases: tuple[str, ...] = ()
    retry: bool | None = None
    tells_wait: bool | None = None
    advice: str = ""
    field: str | None = None

    def fits(self, complaint: Complaint) -> bool:
        """Say whether every condition holds."""
        words = complaint.message.lower()
        return (
            (self.statuses is None or complaint.status in self.statuses)
            and (self.codes is None or not self.codes.isdisjoint(complaint.codes))
            and (self.params is None or complaint.param in self.params)
            and (not self.phrases or any(phrase in words for phrase in self.phrases))
            and (self.retry is None or self.retry is complaint.retry)
            and (self.tells_wait is None or self.tells_wait is (complaint.wait is not None))
        )


_ERRORS = range(400, 600)
_SERVER = frozenset(range(500, 600))
_INPUT = frozenset({400, 413, 422})

_KNOWN = "set provider.model and provider.dimensions to what the provider knows"

TABLE = (
    Row(
        Meaning.MISCONFIGURED,
        codes=frozenset(
            {
                "insufficient_quota",
                "billing_hard_limit_reached",
                "billing_not_active",
                "account_deactivated",
                "AUTHZ_INSUFFICIENT_BALANCE",
            }
        ),
        advice="the account's quota is used up: raise it, or set another provider.api_key",
    ),
    Row(
        Meaning.MISCONFIGURED,
        codes=frozenset({"model_not_found", "DeploymentNotFound", "INPUT_MODEL_NOT_FOUND", "invalid_model"}),
        advice="set provider.model to one that the provider has",
    ),
    Row(
        Meaning.MISCONFIGURED,
        frozenset({400}),
        phrases=("supported models are", "invalid model:"),
        advice="set provider.model to one that the provider has",
    ),
    Row(Meaning.MISCONFIGURED, codes=frozenset({"invalid_api_key"}), advice="set provider.api_key"),
    Row(Meaning.REJECTED, codes=frozenset({"content_filter"})),
    Row(
        Meaning.MISCONFIGURED,
        _INPUT,
        params=frozenset({"dimensions", "output_dimension"}),
        advice=_KNOWN,
        field=DIMENSIONS,
    ),
    Row(
        Meaning.MISCONFIGURED,
        _INPUT,
        phrases=("matryoshka", "support output_dimension", "support specifying dimensions", "dimensions is currently"),
        advice=_KNOWN,
        field=DIMENSIONS,
    ),
    Row(
        Meaning.MISCONFIGURED,
        _INPUT,
        params=frozenset({"model", "encoding_format", "embedding_type", "truncation", "truncate"}),
        advice=_KNOWN,
    ),
    # One text is too long, or has no vector: repeating the call is of no use, and neither are smaller calls as such.
    Row(
        Meaning.REJECTED,
        _INPUT | _SERVER,
        phrases=("too large to process", "must have less than", "exceeds the context length", "unsupported value: nan"),
    ),
    Row(
        Meaning.OVERSIZED,
        _INPUT,
        codes=frozenset({"max_tokens_per_request", "array_above_max_length", "too_long", "3210"}),
    ),
    Row(
        Meaning.OVERSIZED,
        frozenset({400, 422}),
        phrases=("batch size", "too many inputs", "too many tokens in batch", "tokens per submitted batch"),
    ),
    Row(
        Meaning.MISCONFIGURED,
        frozenset({429}),
        retry=False,
        advice="the provider says that waiting is of no use: look at the account's limits",
    ),
    Row(Meaning.RATE_LIMITED, frozenset({429})),
    Row(Meaning.RATE_LIMITED, frozenset({503}), tells_wait=True),
    Row(Meaning.RATE_LIMITED, frozenset({503}), phrases=("maximum pending requests",)),
    Row(Meaning.UNAVAILABLE, frozenset(range(400, 500)), retry=True),
    Row(Meaning.OVERSIZED, frozenset({413})),
    # x-should-retry: false on these is not taken at its word: an outage would be blamed on the texts.
    Row(Meaning.UNAVAILABLE, _SERVER | {408, 409, 424, 425, 499}),
    Row(Meaning.REJECTED, frozenset({400, 422})),
    Row(Meaning.MISCONFIGURED, frozenset({401, 403}), advice="set provider.api_key, and look at what it may do"),
    Row(Meaning.MISCONFIGURED, frozenset({402}), advice="the account has no balance"),
    Row(Meaning.MISCONFIGURED, frozenset({404}), advice="check provider.base_url (with its /v1) and provider.model"),
    Row(Meaning.MISCONFIGURED, frozenset(range(300, 500)), advice="check provider.base_url"),
    # What is left is a success that carries no vectors.
    Row(Meaning.MALFORMED),
)


def explain(complaint: Complaint, scrub: Callable[[str], str]) -> HeadraceError:
    """Return the error that says whose fault a refusal is, its words without secrets and cut to MAX_MESSAGE."""
    complaint = _with_own_status(complaint)
    row = next(row for row in TABLE if row.fits(complaint))
    code = " ".join(sorted(complaint.codes))
    words = ": ".join(part for part in (f"HTTP {complaint.status} {code}".strip(), complaint.message) if part)
    message, status, wait = scrub(words)[:MAX_MESSAGE], complaint.status, complaint.wait
    match row.meaning:
        case Meaning.RATE_LIMITED:
            return RateLimited(message, status=status, retry_after=wait)
        case Meaning.UNAVAILABLE:
            return ProviderUnavailable(message, status=status, retry_after=wait)
        case Meaning.REJECTED | Meaning.OVERSIZED:
            return InputRejected(message, status=status, oversized=row.meaning is Meaning.OVERSIZED)
        case Meaning.MISCONFIGURED:
            return ProviderMisconfigured(f"{message} ({row.advice})", field=row.field)
        case Meaning.MALFORMED:
            return MalformedReply(message or f"HTTP {status} without vectors", status=status)


def _with_own_status(complaint: Complaint) -> Complaint:
    """Believe the status that an error in a reply of 200 names itself, as some gateways write it."""
    if complaint.status >= HTTPStatus.MULTIPLE_CHOICES:
        return complaint
    own = [int(code) for code in complaint.codes if code.isdecimal() and int(code) in _ERRORS]
    return replace(complaint, status=own[0]) if own else complaint
