"""How long does a reply ask us to wait?"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the wait in seconds that the headers of a reply ask for, None where they ask for none.

    ``retry-after-ms`` is finer and goes first; ``retry-after`` is seconds, or an HTTP date, which counts from the
    reply's own ``date`` where there is one, so that clocks need not agree, and from *now* otherwise. A date gone by
    is 0, nonsense is ignored. A long wait is returned as it stands: what to make of it is a matter of policy.
    """
    told = {name.lower(): value for name, value in headers.items()}
    milliseconds = _number(told.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    wanted = told.get("retry-after", "")
    seconds = _number(wanted)
    if seconds is not None:
        return seconds
    until = _moment(wanted)
    if until is None:
        return None
    since = _moment(told.get("date", ""))
    return max(0.0, until - (now if since is None else since))


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _moment(text: str) -> float | None:
    """Read an HTTP date, in any of its three forms, as seconds since the epoch."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return _utc(moment).timestamp()


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
