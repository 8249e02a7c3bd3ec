"""How does a provider say no? In the words and shapes of the real ones."""

from dataclasses import dataclass
from email.utils import formatdate
from typing import Literal, get_args

import orjson
from aiohttp import web

from compose.fake_provider.behaviour import ConnectionKind, Fault

Shape = Literal["openai", "flat", "plain"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A status, and the fields of the error body."""

    status: int
    message: str
    type: str = "invalid_request_error"
    code: str | None = None
    param: str | None = None
    shape: Shape = "openai"


REFUSALS: dict[str, Refusal] = {
    "rate-limited": Refusal(429, "Rate limit reached for requests", "requests", "rate_limit_exceeded"),
    "insufficient-quota": Refusal(
        429, "You exceeded your current quota, please check your plan", "insufficient_quota", "insufficient_quota"
    ),
    "unavailable": Refusal(503, "The engine is currently overloaded", "server_error"),
    "server-error": Refusal(500, "The server had an error while processing your request", "server_error"),
    "backend-failed": Refusal(424, "Inference failed", "Backend", shape="flat"),
    "timed-out": Refusal(408, "Request timeout", "timeout"),
    "bad-request": Refusal(400, "This input can not be embedded", param="input"),
    "unprocessable": Refusal(422, "`inputs` must have less than 512 tokens", "Validation", shape="flat"),
    "batch-too-large": Refusal(422, "batch size 64 > maximum allowed batch size 32", "Validation", shape="flat"),
    "body-too-large": Refusal(413, "length limit exceeded", shape="plain"),
    "too-many-tokens": Refusal(
        400, "Requested too many tokens, max 300000 per request", "max_tokens_per_request", "max_tokens_per_request"
    ),
    "unauthorized": Refusal(401, "Incorrect API key provided", code="invalid_api_key"),
    "forbidden": Refusal(403, "Your key may not use this model"),
    "no-balance": Refusal(402, "Insufficient balance"),
    "unknown-model": Refusal(404, "The model does not exist", code="model_not_found", param="model"),
    "moved": Refusal(307, "Moved", shape="plain"),
}
ENDING: frozenset[str] = frozenset(REFUSALS) | (frozenset(get_args(ConnectionKind)) - {"cut"})
"""Faults after which nothing is embedded, so that nothing is paid for."""


def refuse(refusal: Refusal, fault: Fault | None = None, *, now: float = 0.0) -> web.Response:
    """Write a refusal; *fault* may change its status and adds what it says about coming back."""
    return web.Response(
        status=(fault and fault.status) or refusal.status,
        body=_body(refusal),
        content_type="text/plain" if refusal.shape == "plain" else "application/json",
        headers=_headers(refusal, fault, now) if fault else None,
    )


def _body(refusal: Refusal) -> bytes:
    if refusal.shape == "plain":
        return refusal.message.encode()
    if refusal.shape == "flat":
        return orjson.dumps({"message": refusal.message, "type": refusal.type})
    told = {"message": refusal.message, "type": refusal.type, "param": refusal.param, "code": refusal.code}
    return orjson.dumps({"error": told})


def _headers(refusal: Refusal, fault: Fault, now: float) -> dict[str, str]:
    headers = {"Location": "/v2/embeddings"} if refusal.status // 100 == 3 else {}  # noqa: PLR2004 - a redirect
    if fault.should_retry is not None:
        headers["x-should-retry"] = str(fault.should_retry).lower()
    wait = fault.retry_after
    if isinstance(wait, str):
        headers["Retry-After"] = wait
    elif wait is not None and fault.retry_after_as == "milliseconds":
        headers["retry-after-ms"] = f"{wait * 1000:g}"
    elif wait is not None and fault.retry_after_as == "date":
        headers["Retry-After"] = formatdate(now + wait, usegmt=True)
    elif wait is not None:
        headers["Retry-After"] = f"{wait:g}"
    return headers
