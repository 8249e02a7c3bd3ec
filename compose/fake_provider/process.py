"""How do tests and benchmarks run the fake provider? As a process of its own that dies with them."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
import msgspec

from compose.embedded.ports import pick
from compose.fake_provider.behaviour import Behaviour
from compose.fake_provider.tally import Stats
from consumers.providers.deterministic import digest_of

START_WITHIN_S = 30.0
STOP_WITHIN_S = 5.0
CONTROL_WITHIN_S = 10.0
ROOT = Path(__file__).parents[2]


class FakeProvider:
    """A fake provider in a process of its own, on one port for life, whatever happens to the process.

    ``async with FakeProvider(dimensions=8) as fake``; then ``fake.base_url``, ``await fake.set(Behaviour(...))``.
    A process that is killed and started again has forgotten its counts, and behaves as at its first start.
    """

    def __init__(self, *, dimensions: int, behaviour: Behaviour | None = None, port: int | None = None) -> None:
        self.dimensions = dimensions
        self.port = port or pick()
        self._behaviour = behaviour or Behaviour()
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<FakeProvider {self.base_url} pid {self.pid}>"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def base_url(self) -> str:
        """What ``provider.base_url`` is to be."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def pid(self) -> int | None:
        """The process, if it runs."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start, and return when it listens."""
        # The pipe to its standard input ends when we do, however we end; it takes that as its sign to go.
        words = ["--port", str(self.port), "--dimensions", str(self.dimensions), "--behaviour", _text(self._behaviour)]
        self._process = subprocess.Popen(  # noqa: S603, ASYNC220 - our own words; a fork takes a moment only
            [sys.executable, "-m", "compose.fake_provider", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        )
        out = self._process.stdout
        async with asyncio.timeout(START_WITHIN_S):
            said = await asyncio.to_thread(out.readline) if out else b""
        if not said.strip():
            await self.kill()
            raise RuntimeError(f"the fake provider did not start on port {self.port}")

    async def stop(self) -> None:
        """Ask it to end, and see to it that it does."""
        await self._end(kindly=True)

    async def kill(self) -> None:
        """End it with kill -9."""
        await self._end(kindly=False)

    async def restart(self) -> None:
        """Kill it if it runs, and start it again on the same port."""
        await self.kill()
        await self.start()

    async def set(self, behaviour: Behaviour) -> None:
        """Behave so from now on."""
        await self._control("PUT", "/control", msgspec.json.encode(behaviour))

    async def reset(self) -> None:
        """Forget the counts, and behave as at the start."""
        await self._control("POST", "/reset")

    async def behaviour(self) -> Behaviour:
        """Return the behaviour in force."""
        return msgspec.json.decode(await self._control("GET", "/control"), type=Behaviour)

    async def stats(self) -> Stats:
        """Return the counts."""
        return msgspec.json.decode(await self._control("GET", "/stats"), type=Stats)

    async def paid_more_than(self, times: int) -> dict[str, int]:
        """Return how often each text was embedded that was embedded more than *times*, by the text's hash."""
        return msgspec.json.decode(await self._control("GET", f"/stats/texts?more_than={times}"), type=dict[str, int])

    async def paid(self, text: str) -> int:
        """Return how often *text* was embedded."""
        return (await self.paid_more_than(0)).get(digest_of(text).hex(), 0)

    async def _control(self, method: str, path: str, body: bytes | None = None) -> bytes:
        timeout = aiohttp.ClientTimeout(CONTROL_WITHIN_S)
        address = f"http://127.0.0.1:{self.port}{path}"
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(method, address, data=body) as response,
        ):
            told = await response.read()
            if response.status != 200:  # noqa: PLR2004 - OK
                raise ValueError(f"{method} {path}: {response.status} {told.decode()}")
            return told

    async def _end(self, *, kindly: bool) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if kindly:
            process.terminate()
        else:
            process.kill()
        try:
            await asyncio.to_thread(process.wait, STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait)
        finally:
            for pipe in (process.stdin, process.stdout):
                if pipe:
                    pipe.close()


def _text(behaviour: Behaviour) -> str:
    return msgspec.json.encode(behaviour).decode()
