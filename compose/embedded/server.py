"""An embedding API in OpenAI's shape: ``python -m compose.embedded.server --port N``.

POST /v1/embeddings, GET /v1/models, GET /health. The model works in a thread of its own, so that health is answered
meanwhile. The port opens once the model is loaded.
"""

import argparse
import asyncio
import base64
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Annotated, Literal

import msgspec
import numpy as np
import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

from compose.embedded.embeddings import MODEL
from compose.embedded.model import Model
from compose.embedded.ports import HOST

MAX_INPUTS = 2048
MAX_BODY = 64 * 1024 * 1024

Encoding = Literal["float", "base64"]


class Call(msgspec.Struct):
    """The body of a request."""

    model: str
    input: str | list[str]
    encoding_format: Encoding = "float"
    dimensions: Annotated[int, msgspec.Meta(gt=0)] | None = None
    user: str | None = None


class Refused(Exception):
    """The request can not be answered; becomes OpenAI's error body."""

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        status: HTTPStatus = HTTPStatus.BAD_REQUEST,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {
            "error": {"message": message, "type": "invalid_request_error", "param": param, "code": code},
        }


def read_call(body: bytes, dimensions: int) -> tuple[list[str], int, Encoding]:
    """Check a request: return its texts, the length of the vectors and their encoding."""
    try:
        call = msgspec.json.decode(body, type=Call)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(f"We could not parse the JSON body of your request: {error}") from error
    if call.model != MODEL:
        message = f"The model `{call.model}` does not exist; this server has `{MODEL}`."
        raise Refused(message, param="model", code="model_not_found", status=HTTPStatus.NOT_FOUND)
    texts = [call.input] if isinstance(call.input, str) else call.input
    if not texts:
        raise Refused("Invalid 'input': the list is empty.", param="input")
    if len(texts) > MAX_INPUTS:
        raise Refused(f"Invalid 'input': {len(texts)} texts, at most {MAX_INPUTS} are allowed.", param="input")
    for place, text in enumerate(texts):
        if not text.strip():
            raise Refused(f"Invalid 'input[{place}]': the text is empty.", param="input")
    wanted = call.dimensions or dimensions
    if wanted > dimensions:
        raise Refused(f"Invalid 'dimensions': {wanted}, at most {dimensions} are possible.", param="dimensions")
    return texts, wanted, call.encoding_format


def answer(model: Model, body: bytes) -> bytes:
    """Carry out one request; raises Refused."""
    texts, dimensions, encoding = read_call(body, model.dimensions)
    embedded = model.embed(texts, dimensions)
    for place in np.flatnonzero(~embedded.vectors.any(axis=1)):
        raise Refused(f"Invalid 'input[{place}]': the model knows nothing in this text.", param="input")
    data = [
        {"object": "embedding", "index": index, "embedding": _encode(vector, encoding)}
        for index, vector in enumerate(embedded.vectors)
    ]
    usage = {"prompt_tokens": embedded.tokens, "total_tokens": embedded.tokens}
    reply = {"object": "list", "data": data, "model": MODEL, "usage": usage}
    return orjson.dumps(reply, option=orjson.OPT_SERIALIZE_NUMPY)


def _encode(vector: np.ndarray, encoding: Encoding) -> object:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode() if encoding == "base64" else vector


def application(model: Model) -> web.Application:
    """Return the server around a loaded model."""
    worker = ThreadPoolExecutor(1, thread_name_prefix="model")

    async def embeddings(request: web.Request) -> web.Response:
        body = await request.read()
        try:
            reply = await asyncio.get_running_loop().run_in_executor(worker, answer, model, body)
        except Refused as refused:
            return web.json_response(refused.body, status=refused.status)
        return web.Response(body=reply, content_type="application/json")

    async def models(_: web.Request) -> web.Response:
        known = {"id": MODEL, "object": "model", "created": 0, "owned_by": "headrace"}
        return web.json_response({"object": "list", "data": [known]})

    async def health(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "model": MODEL, "dimensions": model.dimensions})

    async def close(_: web.Application) -> None:
        worker.shutdown(wait=False, cancel_futures=True)

    app = web.Application(client_max_size=MAX_BODY, middlewares=[in_their_shape])
    app.add_routes([web.post("/v1/embeddings", embeddings), web.get("/v1/models", models), web.get("/health", health)])
    app.on_cleanup.append(close)
    return app


@web.middleware
async def in_their_shape(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give aiohttp's own refusals (unknown path, wrong method, body too large) OpenAI's error body."""
    try:
        return await handler(request)
    except web.HTTPException as refusal:
        message = f"{refusal.reason} ({request.method} {request.path})"
        refused = Refused(message, status=HTTPStatus(refusal.status))
        return web.json_response(refused.body, status=refused.status)


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description="An embedding API in OpenAI's shape.")
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    web.run_app(application(Model()), host=HOST, port=port, print=None, access_log=None, shutdown_timeout=2)


if __name__ == "__main__":
    main()
