"""What does a reply that is no success say?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from consumers.core.retry_after import retry_after


@dataclass(frozen=True, slots=True)
class Complaint:
    """A reply that is no success, in so far as it could be read.

    ``codes`` are its ``code`` and ``type``; ``param`` is the field of the request that it is about; ``retry`` is the
    header ``x-should-retry``; ``wait`` is what the headers ask for, in seconds.
    """

    status: int
    codes: frozenset[str]
    param: str
    message: str
    retry: bool | None
    wait: float | None


def read(status: int, body: bytes, headers: Mapping[str, str], now: float) -> Complaint:
    """Read a refusal in any of the family's shapes.

    They are ``{"error": {...}}``, a list of one, flat, plain text, or a list of what validation found.
    """
    try:
        found: Any = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        found = {"message": body.decode("utf-8", "replace")}
    if isinstance(found, list) and found:
        found = found[0]
    outer: dict[str, Any] = found if isinstance(found, dict) else {}
    error = outer.get("error", outer)
    told: dict[str, Any] = error if isinstance(error, dict) else {**outer, "message": error}
    told = told | _first_finding(told)
    codes = frozenset(str(told[name]) for name in ("code", "type", "error_type", "status") if told.get(name))
    words = " ".join(str(told.get("message") or told.get("detail") or "").split())
    lowered = {name.lower(): value.strip().lower() for name, value in headers.items()}
    retry = {"true": True, "false": False}.get(lowered.get("x-should-retry", ""))
    return Complaint(status, codes, str(told.get("param") or ""), words, retry, retry_after(headers, now))


def _first_finding(told: dict[str, Any]) -> dict[str, Any]:
    """Return the first of the things that validation found wrong, as one error; {} where there is no such list."""
    found = told.get("detail") or told.get("message")
    if isinstance(found, dict):
        found = found.get("detail")
    first = found[0] if isinstance(found, list) and found else None
    if not isinstance(first, dict):
        return {}
    place = first.get("loc")
    names = [name for name in place if isinstance(name, str)] if isinstance(place, list) else []
    said = f"{'.'.join(names)}: {first.get('msg')}"
    return {"type": first.get("type"), "param": names[-1] if names else "", "message": said}
