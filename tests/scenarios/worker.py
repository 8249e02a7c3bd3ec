"""How does a scenario run the worker? As the process that a user would start, with signals for faults."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import msgspec

from compose.embedded import launch
from schemas.status import Status

ROOT = Path(__file__).parents[2]
ASK_WITHIN_S = 5.0
TOLD = 4000


class Worker:
    """One ``headrace run``, with its settings in the environment and its output in a file.

    It dies with the tests. The output is shown where a scenario fails and is never asserted on.
    """

    def __init__(self, environ: Mapping[str, str], folder: Path, port: int, *arguments: str) -> None:
        """Start it in *folder*; it serves its status on *port*."""
        folder.mkdir()
        self._output = folder / "output"
        self._address = f"http://127.0.0.1:{port}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
        path = os.pathsep.join([*filter(None, [os.environ.get("PYTHONPATH")]), str(ROOT)])
        order = {
            "argv": [sys.executable, "-m", "compose", "run", *arguments],
            "parent": os.getpid(),
            "uid": None,
            "gid": None,
            "through_private_folders": False,
            "death_signal": int(signal.SIGKILL),
        }
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own words
                [sys.executable, "-I", "-S", launch.__file__, json.dumps(order)],
                cwd=folder,
                env={**kept, **environ, "HEADRACE_HTTP__PORT": str(port), "PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def __repr__(self) -> str:
        return f"<Worker pid {self.pid}, exit code {self.returncode}>"

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code; None while it runs."""
        return self._process.poll()

    @property
    def told(self) -> str:
        """The end of what it wrote."""
        return self._output.read_text(errors="replace")[-TOLD:]

    async def status(self) -> Status | None:
        """Return its account of itself; None while it does not answer."""
        told = await self._ask("/status")
        return None if told is None else msgspec.json.decode(told, type=Status)

    async def metric(self, name: str, **labels: str) -> float:
        """Return the sum of the samples of a metric with these labels; 0 where there is none."""
        told = (await self._ask("/metrics") or b"").decode().splitlines()
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        found = [line for line in told if line.startswith((f"{name} ", f"{name}{{")) and all(w in line for w in wanted)]
        return sum(float(line.rpartition(" ")[2]) for line in found)

    async def _ask(self, path: str) -> bytes | None:
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(ASK_WITHIN_S)) as session,
                session.get(self._address + path) as response,
            ):
                return await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None

    async def kill(self) -> None:
        """Kill -9, and wait until it is gone."""
        self._process.kill()
        await asyncio.to_thread(self._process.wait)

    async def stop(self, within: float = 20.0) -> int:
        """Send SIGTERM; return its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return await self.ended(within)

    def freeze(self) -> None:
        """Stop it where it stands, as a machine does that swaps or suspends."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on as if nothing had happened."""
        self._process.send_signal(signal.SIGCONT)

    async def ended(self, within: float = 60.0) -> int:
        """Wait for its end; return its exit code."""
        try:
            return await asyncio.to_thread(self._process.wait, within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the worker did not end within {within:g} s; it wrote:\n{self.told}") from None
