"""How does a worker tell others how it is? ``/health/live``, ``/health/ready``, ``/status`` and ``/metrics``.

It knows nothing of the pipeline: it is given callables, and asks them anew for each request.
"""

import errno
import socket
from collections.abc import Callable
from types import TracebackType
from typing import Self

import msgspec
from aiohttp import web

from schemas.errors import ConfigurationError
from schemas.settings import HttpSettings
from schemas.status import Status

EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"
SHUTDOWN_TIMEOUT_S = 1.0
"""A drain has its own deadline: a slow reader of the metrics must not use it up."""


class StatusServer:
    """Serves what *status* and *metrics* answer, from ``async with`` on; with port 0 it does nothing."""

    def __init__(self, http: HttpSettings, status: Callable[[], Status], metrics: Callable[[], bytes]) -> None:
        self._http = http
        self._status = status
        self._metrics = metrics
        self._runner: web.AppRunner | None = None

    def __repr__(self) -> str:
        return f"<StatusServer {self.url or 'off'}>"

    @property
    def url(self) -> str | None:
        """Where it answers; None while it does not."""
        host = f"[{self._http.host}]" if ":" in self._http.host else self._http.host
        return f"http://{host}:{self._http.port}" if self._runner else None

    async def __aenter__(self) -> Self:
        """Listen. Raises ConfigurationError where the address can not be had."""
        if self._http.port:
            await self._start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    async def _start(self) -> None:
        app = web.Application()
        app.router.add_get("/health/live", self._live)
        app.router.add_get("/health/ready", self._ready)
        app.router.add_get("/status", self._tell)
        app.router.add_get("/metrics", self._measure)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_TIMEOUT_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._http.host, self._http.port).start()
        except OSError as error:
            await runner.cleanup()
            raise ConfigurationError(self._why_not(error)) from None
        self._runner = runner

    def _why_not(self, error: OSError) -> str:
        host, port = self._http.host, self._http.port
        if error.errno == errno.EADDRINUSE:
            return f"port {port} on {host} is in use, perhaps by another worker: set http.port to a free one (0: none)"
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            return f"http.host = {host} is no address of this machine"
        return f"can not listen on {host}:{port}: {error.strerror or error}; change http.host or http.port"

    async def _live(self, _: web.Request) -> web.Response:
        status = self._status()
        return _health(status, well=status.state.alive)

    async def _ready(self, _: web.Request) -> web.Response:
        status = self._status()
        return _health(status, well=status.state.ready)

    async def _tell(self, _: web.Request) -> web.Response:
        return web.Response(body=msgspec.json.encode(self._status()), content_type="application/json")

    async def _measure(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics(), headers={"Content-Type": EXPOSITION})


def _health(status: Status, *, well: bool) -> web.Response:
    body = msgspec.json.encode({"state": status.state, "reason": status.reason, "since": status.since})
    return web.Response(body=body, status=200 if well else 503, content_type="application/json")
