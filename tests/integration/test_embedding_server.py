"""The embedding server keeps OpenAI's contract, and its vectors mean something."""

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator, Iterator

import aiohttp
import numpy as np
import pytest

from compose.embedded.embeddings import DIMENSIONS, MODEL, EmbeddingServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddingServer]:
    server = EmbeddingServer(tmp_path_factory.mktemp("an embedding server"))
    asyncio.run(server.start())
    yield server
    asyncio.run(server.stop())


class Client:
    """Calls the server and keeps nothing back."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str) -> None:
        self.session = session
        self.base_url = base_url

    async def post(self, **body: object) -> tuple[int, dict]:  # type: ignore[type-arg]  # whatever JSON says
        return await self.post_bytes(json.dumps({"model": MODEL} | body).encode())

    async def post_bytes(self, body: bytes) -> tuple[int, dict]:  # type: ignore[type-arg]  # the same
        async with self.session.post(f"{self.base_url}/embeddings", data=io.BytesIO(body)) as reply:
            return reply.status, await reply.json()

    async def vectors(self, *texts: str) -> np.ndarray:
        status, reply = await self.post(input=list(texts))
        assert status == 200
        return np.array([item["embedding"] for item in reply["data"]], dtype=np.float32)


@pytest.fixture
async def client(server: EmbeddingServer) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as session:
        yield Client(session, server.base_url)


async def test_float_and_base64_say_the_same_numbers(client: Client) -> None:
    texts = ["a mill needs water", "Zażółć gęślą jaźń", "日本語", "x" * 20_000]
    _, as_floats = await client.post(input=texts)
    _, as_base64 = await client.post(input=texts, encoding_format="base64")
    for plain, packed in zip(as_floats["data"], as_base64["data"], strict=True):
        unpacked = np.frombuffer(base64.b64decode(packed["embedding"]), dtype="<f4")
        assert np.array_equal(np.array(plain["embedding"], dtype=np.float32), unpacked)
        assert len(unpacked) == DIMENSIONS
        assert abs(float(np.linalg.norm(unpacked)) - 1) < 1e-5


async def test_the_reply_has_openais_shape(client: Client) -> None:
    status, reply = await client.post(input=["one", "two words here"])
    assert status == 200
    assert reply["object"] == "list"
    assert reply["model"] == MODEL
    assert [item["index"] for item in reply["data"]] == [0, 1]
    assert {item["object"] for item in reply["data"]} == {"embedding"}
    assert reply["usage"]["prompt_tokens"] == reply["usage"]["total_tokens"] >= 4


async def test_one_text_needs_no_list(client: Client) -> None:
    _, alone = await client.post(input="a mill needs water")
    _, listed = await client.post(input=["a mill needs water"])
    assert alone == listed


async def test_a_vector_does_not_depend_on_the_other_texts_of_its_call(client: Client) -> None:
    alone = await client.vectors("a mill needs water")
    among = await client.vectors(*["some other text " * n for n in range(1, 100)], "a mill needs water")
    assert np.array_equal(alone[0], among[-1])


async def test_fewer_dimensions_are_the_first_ones_normalised(client: Client) -> None:
    whole = (await client.vectors("a mill needs water"))[0]
    _, reply = await client.post(input="a mill needs water", dimensions=64)
    short = np.array(reply["data"][0]["embedding"], dtype=np.float32)
    assert np.allclose(short, whole[:64] / np.linalg.norm(whole[:64]), atol=1e-6)


async def test_similar_texts_are_nearer_than_unrelated_ones(client: Client) -> None:
    cat, kitten, money = await client.vectors(
        "The cat sleeps on the sofa.", "A kitten is napping on the couch.", "Interest rates rose by a quarter point."
    )
    assert cat @ kitten > cat @ money + 0.2
    assert cat @ kitten > kitten @ money + 0.2


@pytest.mark.parametrize(
    ("body", "status", "param", "code"),
    [
        ({"input": "x", "model": "text-embedding-3-small"}, 404, "model", "model_not_found"),
        ({"input": []}, 400, "input", None),
        ({"input": ""}, 400, "input", None),
        ({"input": ["fine", " \n\t"]}, 400, "input", None),
        ({"input": ["x"] * 2049}, 400, "input", None),
        ({"input": "x", "dimensions": 257}, 400, "dimensions", None),
        ({"input": "x", "dimensions": 0}, 400, None, None),
        ({"input": "x", "encoding_format": "hex"}, 400, None, None),
        ({"input": [1, 2, 3]}, 400, None, None),
        ({"input": None}, 400, None, None),
        ({}, 400, None, None),
    ],
)
async def test_a_wrong_request_gets_openais_error_body(
    client: Client, body: dict[str, object], status: int, param: str | None, code: str | None
) -> None:
    answered, reply = await client.post(**body)
    assert answered == status
    error = reply["error"]
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, code)
    assert error["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"model": "\xff"}',
        b"[" * 20_000,
        b'{"model": "wordllama-256", "input": "\\ud800"}',
        b'{"model": "wordllama-256", "input": "lone \\udfff surrogate"}',
    ],
)
async def test_a_body_that_is_no_json_or_no_text_is_refused(client: Client, body: bytes) -> None:
    status, reply = await client.post_bytes(body)
    assert status == 400
    assert reply["error"]["type"] == "invalid_request_error"


async def test_the_greatest_allowed_call_is_answered(client: Client) -> None:
    _, reply = await client.post(input=[f"text number {n}" for n in range(2048)], encoding_format="base64")
    assert [item["index"] for item in reply["data"]] == list(range(2048))


async def test_an_unknown_path_is_answered_in_the_same_shape(client: Client) -> None:
    async with client.session.post(f"{client.base_url}/completions", json={}) as reply:
        assert reply.status == 404
        assert (await reply.json())["error"]["message"]


async def test_the_models_are_listed(client: Client) -> None:
    async with client.session.get(f"{client.base_url}/models") as reply:
        assert [model["id"] for model in (await reply.json())["data"]] == [MODEL]


async def test_health_is_answered_while_the_model_works(client: Client) -> None:
    texts = ["a rather long text that keeps the model busy " * 30] * 2048
    work = asyncio.create_task(client.post(input=texts, encoding_format="base64"))
    await asyncio.sleep(0.2)
    longest, looks = 0.0, 0
    while not work.done():
        began = asyncio.get_running_loop().time()
        async with client.session.get(client.base_url.removesuffix("/v1") + "/health") as reply:
            assert reply.status == 200
        longest = max(longest, asyncio.get_running_loop().time() - began)
        looks += 1
        await asyncio.sleep(0.02)
    status, _ = await work
    assert status == 200
    assert looks > 3
    assert longest < 1


async def test_the_server_answers_the_same_after_kill_9(server: EmbeddingServer, client: Client) -> None:
    before = await client.vectors("a mill needs water")
    await server.kill()
    assert not server.running
    await server.start()
    assert server.base_url == client.base_url
    assert np.array_equal(before, await client.vectors("a mill needs water"))
