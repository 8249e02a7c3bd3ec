"""An embedding API in OpenAI's shape that misbehaves as it is told.

POST /v1/embeddings is the API. PUT /control sets a Behaviour, GET /control shows it; GET /stats counts, GET
/stats/texts?more_than=N shows the hashes of texts embedded more than N times; POST /reset forgets the counts and goes
back to the behaviour of the start. GET /v1/models and /health answer whatever the behaviour.
"""

import asyncio
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable

import msgspec
from aiohttp import web

from compose.fake_provider.behaviour import Behaviour, Fault
from compose.fake_provider.call import Call
from compose.fake_provider.due import Rehearsal
from compose.fake_provider.refusals import REFUSALS, Refusal, refuse
from compose.fake_provider.replies import answer
from compose.fake_provider.tally import Tally

HOST = "127.0.0.1"
MAX_BODY = 256 * 1024 * 1024
STOP_WITHIN_S = 1.0


class FakeServer:
    """The server: its behaviour, its books and its door."""

    def __init__(self, *, dimensions: int, host: str = HOST, port: int = 0, behaviour: Behaviour | None = None) -> None:
        self._dimensions = dimensions
        self._host = host
        self._port = port
        self._first = behaviour or Behaviour()
        self._rehearsal = Rehearsal(self._first, time.monotonic())
        self._tally = Tally()
        self._site: web.TCPSite | None = None
        self._door: asyncio.Task[None] | None = None
        app = web.Application(client_max_size=MAX_BODY)
        app.add_routes(
            [
                web.post("/v1/embeddings", self._embeddings),
                web.get("/v1/models", self._models),
                web.get("/health", self._health),
                web.put("/control", self._set),
                web.get("/control", self._show),
                web.get("/stats", self._stats),
                web.get("/stats/texts", self._texts),
                web.post("/reset", self._reset),
            ]
        )
        # Cancelled when the client goes away, else a call that hangs would count as in flight for ever.
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=STOP_WITHIN_S)

    async def start(self) -> int:
        """Listen; return the port."""
        await self._runner.setup()
        await self._listen()
        return self._port

    async def stop(self) -> None:
        """Stop listening, and drop what is still being answered after a moment."""
        if self._door:
            self._door.cancel()
        await self._runner.cleanup()

    async def _listen(self) -> None:
        self._site = web.TCPSite(self._runner, self._host, self._port, reuse_address=True)
        await self._site.start()
        self._port = self._site.port

    async def _embeddings(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        key = self._rehearsal.behaviour.api_key
        if key is not None and request.headers.get("Authorization") != f"Bearer {key}":
            return self._said(refuse(REFUSALS["unauthorized"]))
        try:
            call = Call(body, self._dimensions)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            return self._said(refuse(Refusal(400, f"We could not parse the JSON body of your request: {error}")))
        if not all(call.texts) or not call.texts:
            return self._said(refuse(Refusal(400, "Input can not be empty", param="input")))
        if call.dimensions > self._dimensions:
            return self._said(refuse(Refusal(400, f"At most {self._dimensions} dimensions", param="dimensions")))
        self._tally.begin(len(call.texts))
        try:
            return await self._meet(call, request)
        finally:
            self._tally.end()

    async def _meet(self, call: Call, request: web.Request) -> web.StreamResponse:
        """Answer a call as the behaviour wants it."""
        rehearsal = self._rehearsal
        struck = rehearsal.strike(call, time.monotonic(), self._tally.in_flight)
        self._tally.faults.update({fault.kind for fault in struck})
        kind = struck[-1].kind if struck else ""
        if kind == "hang":
            await asyncio.Event().wait()
        if kind == "reset":
            _reset_connection(request)
            return web.Response()
        if kind in REFUSALS:
            return self._said(refuse(REFUSALS[kind], struck[-1], now=time.time()))
        self._tally.bill(call.digests, call.tokens)
        seconds = rehearsal.latency()
        if seconds > 0:
            await asyncio.sleep(seconds)
        body = answer(call, struck, rehearsal)
        if any(fault.kind == "cut" for fault in struck):
            return await _cut(request, body)
        return self._said(web.Response(body=body, content_type=_content_type(struck)))

    def _said(self, response: web.Response) -> web.Response:
        self._tally.statuses[response.status] += 1
        return response

    async def _set(self, request: web.Request) -> web.StreamResponse:
        try:
            behaviour = msgspec.json.decode(await request.read(), type=Behaviour)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        self._rehearsal = Rehearsal(behaviour, time.monotonic())
        response = _json(behaviour)
        if behaviour.refuse_connections_s > 0:
            # The answer goes out first: this connection is dropped as well.
            await response.prepare(request)
            await response.write_eof()
            self._door = asyncio.create_task(self._refuse_connections(behaviour.refuse_connections_s))
        return response

    async def _refuse_connections(self, seconds: float) -> None:
        if self._site:
            await self._site.stop()
        server = self._runner.server
        for connection in server.connections if server else ():
            if connection.transport:
                connection.transport.abort()
        await asyncio.sleep(seconds)
        await self._listen()

    async def _reset(self, _: web.Request) -> web.Response:
        self._tally.reset()
        self._rehearsal = Rehearsal(self._first, time.monotonic())
        return _json(self._first)

    async def _show(self, _: web.Request) -> web.Response:
        return _json(self._rehearsal.behaviour)

    async def _stats(self, _: web.Request) -> web.Response:
        return _json(self._tally.stats())

    async def _texts(self, request: web.Request) -> web.Response:
        more_than = int(request.query.get("more_than", "0"))
        return _json({digest.hex(): count for digest, count in self._tally.paid.items() if count > more_than})

    async def _models(self, _: web.Request) -> web.Response:
        return _json({"object": "list", "data": [{"id": "fake", "object": "model", "owned_by": "headrace"}]})

    async def _health(self, _: web.Request) -> web.Response:
        return _json({"status": "ok", "dimensions": self._dimensions})


def _json(value: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")


def _content_type(struck: list[Fault]) -> str:
    return "text/html" if any(fault.kind == "not-json" for fault in struck) else "application/json"


def _reset_connection(request: web.Request) -> None:
    """Drop the connection with a RST, not with a polite FIN."""
    if request.transport:
        sock = request.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()


async def _cut(request: web.Request, body: bytes) -> web.StreamResponse:
    """Promise the whole body, send half of it, and hang up."""
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(body))})
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport:
        request.transport.close()
    return response


def _stop_at_end(stdin: int, stopping: asyncio.Event) -> None:
    if not os.read(stdin, 1024):
        stopping.set()


async def serve(server: FakeServer, *, announce: Callable[[int], None], with_parent: bool = False) -> None:
    """Run until SIGINT or SIGTERM, or until standard input ends, which whoever started us holds open."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    if with_parent:
        loop.add_reader(sys.stdin.fileno(), _stop_at_end, sys.stdin.fileno(), stopping)
    try:
        announce(await server.start())
        await stopping.wait()
    finally:
        await server.stop()
