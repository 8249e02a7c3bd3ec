"""What is left of a quota, as the headers of a reply say?

``x-ratelimit-remaining-requests``, ``-tokens`` and ``x-ratelimit-reset-…``, whose durations look like ``6m0s``,
``1.5s`` or ``120ms``; any may be missing, or -1 where the server does not know.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

PREFIX = "x-ratelimit-"
LONGEST_S = 60.0
"""A reset further away than a minute is not waited for: the bucket refills meanwhile."""

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Remaining:
    """Requests and tokens that may still be used, and the seconds until that is reset; None is not known."""

    requests: int | None
    tokens: int | None
    reset_requests_s: float | None
    reset_tokens_s: float | None

    def until(self, tokens: int) -> float:
        """Return the seconds that a call of so many tokens had better wait, 0 if it need not."""
        waits = [0.0]
        if self.requests == 0 and self.reset_requests_s is not None:
            waits.append(self.reset_requests_s)
        if self.tokens is not None and self.tokens < tokens and self.reset_tokens_s is not None:
            waits.append(self.reset_tokens_s)
        return min(max(waits), LONGEST_S)


def remaining(headers: Mapping[str, str]) -> Remaining | None:
    """Read the headers of a reply; None where they say nothing."""
    told = {name.lower(): value for name, value in headers.items() if name.lower().startswith(PREFIX)}
    if not told:
        return None
    return Remaining(
        _count(told.get(f"{PREFIX}remaining-requests", "")),
        _count(told.get(f"{PREFIX}remaining-tokens", "")),
        duration(told.get(f"{PREFIX}reset-requests", "")),
        duration(told.get(f"{PREFIX}reset-tokens", "")),
    )


def duration(text: str) -> float | None:
    """Read ``6m0s``, ``120ms`` or a plain number of seconds; None where it is neither."""
    if re.fullmatch(r"\d+(?:\.\d+)?", text):
        return float(text)
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def _count(text: str) -> int | None:
    return int(text) if text.isdigit() else None
