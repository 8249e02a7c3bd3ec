"""Whose fault is a refusal? In the shapes that the servers of the family really send."""

from typing import Any

import msgspec
import pytest

from consumers.providers.complaint import read
from consumers.providers.refusals import MAX_MESSAGE, explain
from schemas.errors import (
    HeadraceError,
    InputRejected,
    MalformedReply,
    ProviderError,
    ProviderMisconfigured,
    ProviderUnavailable,
    RateLimited,
)

NOW = 784_111_777.0


def told(
    status: int, body: object = b"", headers: dict[str, str] | None = None, *, hidden: str = "sk-hidden"
) -> HeadraceError:
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return explain(read(status, raw, headers or {}, NOW), lambda text: text.replace(hidden, "***"))


def openai(message: str = "no", **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - as the servers please
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None} | fields}


RECORDED: list[tuple[str, int, object, type[HeadraceError]]] = [
    ("openai rate", 429, openai(type="requests", code="rate_limit_exceeded"), RateLimited),
    ("openai tokens", 429, openai(type="tokens", code="rate_limit_exceeded"), RateLimited),
    ("openai quota", 429, openai(type="insufficient_quota", code="insufficient_quota"), ProviderMisconfigured),
    ("openai key", 401, openai(code="invalid_api_key"), ProviderMisconfigured),
    ("openai region", 403, openai(code="unsupported_country_region_territory"), ProviderMisconfigured),
    ("openai model", 404, openai(code="model_not_found"), ProviderMisconfigured),
    ("openai too long", 400, openai("maximum context length is 8192 tokens", param=None), InputRejected),
    ("openai input", 400, openai("'$.input' is invalid", param="input"), InputRejected),
    ("openai dimensions", 400, openai(param="dimensions"), ProviderMisconfigured),
    ("openai overloaded", 503, openai(type="server_error"), ProviderUnavailable),
    ("openai server", 500, openai(type="server_error"), ProviderUnavailable),
    ("azure deployment", 404, openai(code="DeploymentNotFound"), ProviderMisconfigured),
    ("azure rate", 429, {"error": {"code": "429", "message": "call rate limit"}}, RateLimited),
    ("jina balance", 402, {"detail": "Insufficient account balance"}, ProviderMisconfigured),
    ("gemini", 400, [{"error": {"code": 400, "message": "no", "status": "INVALID_ARGUMENT"}}], InputRejected),
    ("tei overloaded", 429, {"message": "Model is overloaded", "type": "Overloaded"}, RateLimited),
    ("tei backend", 424, {"message": "no", "type": "Backend"}, ProviderUnavailable),
    ("tei too long", 422, {"message": "`inputs` must have less than 512 tokens", "type": "Validation"}, InputRejected),
    ("tei native", 422, {"error": "`inputs` must have less", "error_type": "Validation"}, InputRejected),
    ("ollama model", 404, openai('model "x" not found, try pulling it first', type="api_error"), ProviderMisconfigured),
    ("vllm model", 404, {"object": "error", "type": "NotFoundError", "code": 404}, ProviderMisconfigured),
    ("vllm long", 400, {"object": "error", "message": "no", "type": "BadRequestError", "code": 400}, InputRejected),
    ("proxy", 502, b"<html>Bad Gateway</html>", ProviderUnavailable),
    ("cloudflare", 524, b"", ProviderUnavailable),
    ("wrong path", 404, b"404 page not found", ProviderMisconfigured),
    ("wrong method", 405, b"", ProviderMisconfigured),
    ("redirect", 301, b"", ProviderMisconfigured),
    ("conflict", 409, b"", ProviderUnavailable),
    ("request timeout", 408, b"", ProviderUnavailable),
    ("undecodable", 400, b'{"error": "\xff', InputRejected),
    ("no object", 400, b"[]", InputRejected),
    ("nested", 400, b"[" * 10_000, InputRejected),
    ("null", 500, b"null", ProviderUnavailable),
]


@pytest.mark.parametrize(("status", "body", "becomes"), [row[1:] for row in RECORDED], ids=[row[0] for row in RECORDED])
def test_a_recorded_refusal_is_blamed_rightly(status: int, body: object, becomes: type[HeadraceError]) -> None:
    error = told(status, body)
    assert type(error) is becomes
    assert str(status) in str(error)
    if isinstance(error, ProviderError):
        assert error.status == status


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (413, b"length limit exceeded"),
        (413, openai(code="rate_limit_exceeded")),
        (400, openai(type="max_tokens_per_request", code="max_tokens_per_request")),
        (400, openai(type="max_tokens_per_request")),
        (422, {"message": "batch size 64 > maximum allowed batch size 32", "type": "Validation"}),
        (400, openai("batch size is invalid, it should not be larger than 10.", code="InvalidParameter")),
        (400, {"object": "error", "message": "Too many tokens in batch. Max is 16384", "code": 3210}),
        (400, {"detail": "The max allowed tokens per submitted batch is 120000."}),
    ],
)
def test_a_complaint_of_the_size_of_the_call_is_known_as_one(status: int, body: object) -> None:
    error = told(status, body)
    assert isinstance(error, InputRejected)
    assert error.oversized


@pytest.mark.parametrize(("status", "body", "becomes"), [row[1:] for row in RECORDED if row[3] is InputRejected])
def test_no_other_rejection_is_a_complaint_of_size(status: int, body: object, becomes: type[HeadraceError]) -> None:
    error = told(status, body)
    assert isinstance(error, becomes)
    assert isinstance(error, InputRejected)
    assert not error.oversized


def test_a_503_that_says_when_to_come_back_is_a_rate_limit() -> None:
    error = told(503, headers={"Retry-After": "7"})
    assert isinstance(error, RateLimited)
    assert error.retry_after == 7.0


def test_any_failure_of_the_provider_keeps_the_wait_it_asked_for() -> None:
    error = told(500, headers={"retry-after-ms": "1500"})
    assert isinstance(error, ProviderUnavailable)
    assert error.retry_after == 1.5


def test_a_429_without_a_wait_has_none() -> None:
    error = told(429)
    assert isinstance(error, RateLimited)
    assert error.retry_after is None


@pytest.mark.parametrize(
    ("status", "retry", "becomes"),
    [
        (400, "true", ProviderUnavailable),
        (404, "TRUE", ProviderUnavailable),
        (413, "true", ProviderUnavailable),
        (429, "true", RateLimited),
        (429, "false", ProviderMisconfigured),
        (429, "maybe", RateLimited),
        (500, "false", ProviderUnavailable),
        (400, "false", InputRejected),
    ],
)
def test_x_should_retry_is_honoured_as_far_as_it_blames_no_text(
    status: int, retry: str, becomes: type[HeadraceError]
) -> None:
    assert type(told(status, headers={"X-Should-Retry": retry})) is becomes


@pytest.mark.parametrize(
    ("body", "becomes"),
    [
        ({"error": {"message": "no", "code": 429}}, RateLimited),
        ({"error": {"message": "no", "code": 502}}, ProviderUnavailable),
        ({"error": {"message": "no", "code": "insufficient_quota"}}, ProviderMisconfigured),
        ({"error": {"message": "no", "code": 7}}, MalformedReply),
        ({"error": "no"}, MalformedReply),
        ({}, MalformedReply),
    ],
)
def test_an_error_inside_a_success_is_judged_by_what_it_says(body: object, becomes: type[HeadraceError]) -> None:
    assert type(told(200, body)) is becomes


def test_the_providers_words_are_cut_and_the_key_is_not_among_them() -> None:
    secret = "sk-" + "k" * 40
    for padding in range(MAX_MESSAGE):
        error = told(401, openai("x" * padding + secret + "y" * 400), hidden=secret)
        assert "kkk" not in str(error)
        assert len(str(error)) < 2 * MAX_MESSAGE


def test_a_misconfiguration_says_what_to_do() -> None:
    assert "provider.api_key" in str(told(401))
    assert "provider.base_url" in str(told(404))
    assert "quota" in str(told(429, openai(code="insufficient_quota")))
