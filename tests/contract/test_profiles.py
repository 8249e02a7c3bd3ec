"""Every kind of server, replayed: what it is sent, what it answers, and what its refusals mean.

``profiles/<kind>.json`` holds the shapes that these servers are known to write, in several versions where they differ.
"""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from aiohttp import web

from compose.checking import _provider as findings_of
from consumers.providers.openai import WITNESS, OpenAIProvider
from consumers.providers.profiles import PROFILES
from schemas import errors
from schemas.errors import InputRejected, MalformedReply, ProviderError, ProviderMisconfigured
from schemas.settings import ProviderSettings, Settings

KEY = "sk-secret"
TEXTS = ["a mill", "a wheel"]
VECTORS = [np.array(vector, ">f4").tobytes() for vector in ([1, 0, 0], [0, 1, 0])]
RECORDED: dict[str, Any] = {
    path.stem: json.loads(path.read_text("utf-8")) for path in sorted((Path(__file__).parent / "profiles").glob("*"))
}
REFUSALS = [(kind, refusal) for kind, recorded in RECORDED.items() for refusal in recorded["refusals"]]
CHOOSY = [kind for kind, recorded in RECORDED.items() if "refuses_dimensions" in recorded]

Answer = Callable[[dict[str, Any]], tuple[int, Any]]


class Replay:
    """A server that answers every call as it is told, and keeps the calls."""

    def __init__(self) -> None:
        self.answer: Answer = lambda _: (200, {})
        self.headers: dict[str, str] = {}
        self.calls: list[web.Request] = []
        self.bodies: list[dict[str, Any]] = []
        self.address = ""

    async def handle(self, request: web.Request) -> web.Response:
        self.calls.append(request)
        self.bodies.append(await request.json())
        status, body = self.answer(self.bodies[-1])
        if isinstance(body, str):
            return web.Response(status=status, text=body, headers=self.headers)
        return web.json_response(body, status=status, headers=self.headers)


@pytest.fixture
async def replay() -> AsyncIterator[Replay]:
    replay = Replay()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", replay.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    replay.address = f"http://127.0.0.1:{site.port}"
    yield replay
    await runner.cleanup()


def settings(kind: str, replay: Replay, **changed: Any) -> ProviderSettings:  # noqa: ANN401 - any setting
    given = {"base_url": replay.address + RECORDED[kind]["base_path"], "model": "m", "dimensions": 3, "api_key": KEY}
    return ProviderSettings.model_validate({"kind": kind, **given, **changed})


def provider(kind: str, replay: Replay, **changed: Any) -> OpenAIProvider:  # noqa: ANN401 - any setting
    return OpenAIProvider(settings(kind, replay, **changed))


def replying(kind: str) -> Answer:
    return lambda body: (200, reply_to(kind, next(body[name] for name in ("input", "inputs") if name in body)))


def reply_to(kind: str, texts: list[str]) -> Any:  # noqa: ANN401 - as the server writes it
    """Return the recorded reply, cut to as many vectors as there are texts."""
    recorded = json.loads(json.dumps(RECORDED[kind]["reply"]["body"]))
    rows = recorded if isinstance(recorded, list) else recorded.get("data") or recorded["embeddings"]
    del rows[len(texts) :]
    return recorded


def test_every_kind_that_can_be_set_has_a_profile_and_a_recording() -> None:
    kinds = set(get_args(ProviderSettings.model_fields["kind"].annotation))
    assert kinds == set(PROFILES) == set(RECORDED)


@pytest.mark.parametrize("kind", RECORDED)
async def test_a_call_is_written_as_the_server_wants_it(kind: str, replay: Replay) -> None:
    replay.answer = replying(kind)
    async with provider(kind, replay) as client:
        await client.embed(TEXTS)
    [call], [body], expected = replay.calls, replay.bodies, RECORDED[kind]["request"]
    assert call.path == expected["path"]
    assert dict(call.query) == expected["query"]
    assert [(name, value) for name, value in call.headers.items() if KEY in value] == [tuple(expected["key"])]
    assert body == expected["body"]


@pytest.mark.parametrize("kind", RECORDED)
async def test_the_vectors_of_a_recorded_reply_belong_to_their_texts(kind: str, replay: Replay) -> None:
    replay.answer = replying(kind)
    async with provider(kind, replay) as client:
        reply = await client.embed(TEXTS)
    assert list(reply.vectors) == VECTORS
    assert reply.tokens == RECORDED[kind]["reply"]["tokens"]


@pytest.mark.parametrize("kind", RECORDED)
async def test_a_reply_with_a_vector_too_few_is_refused(kind: str, replay: Replay) -> None:
    replay.answer = lambda _: (200, reply_to(kind, TEXTS[:1]))
    async with provider(kind, replay) as client:
        with pytest.raises(MalformedReply, match="1 vectors for 2 texts"):
            await client.embed(TEXTS)


@pytest.mark.parametrize("kind", RECORDED)
async def test_a_success_of_another_shape_is_refused(kind: str, replay: Replay) -> None:
    replay.answer = lambda _: (200, {"vectors": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]})
    async with provider(kind, replay) as client:
        with pytest.raises(MalformedReply):
            await client.embed(TEXTS)


@pytest.mark.parametrize(
    ("kind", "refusal"), REFUSALS, ids=[f"{kind}: {refusal['name']}".replace(" ", "-") for kind, refusal in REFUSALS]
)
async def test_a_recorded_refusal_is_blamed_rightly(kind: str, refusal: dict[str, Any], replay: Replay) -> None:
    replay.answer = lambda _: (refusal["status"], refusal["body"])
    replay.headers = refusal.get("headers", {})
    async with provider(kind, replay, dimensions=None) as client:
        with pytest.raises(errors.HeadraceError) as caught:
            await client.embed(TEXTS)
    error = caught.value
    assert type(error).__name__ == refusal["becomes"]
    assert KEY not in str(error)
    if isinstance(error, InputRejected):
        assert error.oversized is refusal.get("oversized", False)
    if isinstance(error, ProviderError):
        assert error.retry_after == refusal.get("retry_after")
    assert len(replay.calls) == 1


@pytest.mark.parametrize("kind", CHOOSY)
async def test_a_model_that_lets_no_dimensions_be_chosen_is_asked_for_none_if_its_own_are_right(
    kind: str, replay: Replay
) -> None:
    field, refused, replies = PROFILES[kind].dimensions, RECORDED[kind]["refuses_dimensions"], replying(kind)
    replay.answer = lambda body: (refused["status"], refused["body"]) if field in body else replies(body)
    async with provider(kind, replay) as client:
        assert list((await client.embed(TEXTS)).vectors) == VECTORS
        assert [(field in body, body["input"]) for body in replay.bodies] == [
            (True, TEXTS),
            (False, [WITNESS]),
            (False, TEXTS),
        ]
        await client.embed(TEXTS)
    assert len(replay.calls) == 4


@pytest.mark.parametrize("kind", CHOOSY)
async def test_a_model_that_has_other_dimensions_is_misconfigured_and_no_text_is_sent_in_vain(
    kind: str, replay: Replay
) -> None:
    field, refused, replies = PROFILES[kind].dimensions, RECORDED[kind]["refuses_dimensions"], replying(kind)
    replay.answer = lambda body: (refused["status"], refused["body"]) if field in body else replies(body)
    async with provider(kind, replay, dimensions=4) as client:
        for _ in range(2):
            with pytest.raises(ProviderMisconfigured, match="3 dimensions instead of 4"):
                await client.embed(TEXTS)
    assert [body["input"] for body in replay.bodies] == [TEXTS, [WITNESS]] * 2


@pytest.mark.parametrize("kind", RECORDED)
async def test_check_warns_of_a_server_that_cuts_whatever_it_is_told(kind: str, replay: Replay) -> None:
    replay.answer = replying(kind)
    found = await findings_of(Settings(provider=settings(kind, replay)))
    assert [finding.level for finding in found] == (["ok", "warning"] if kind == "infinity" else ["ok"])
