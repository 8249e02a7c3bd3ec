"""How does a part of the stack live: start, answer, stop, die, start again on the same port?"""

import asyncio
import json
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from compose.embedded import ports
from compose.embedded.files import read_json, tail, turn_over, write_atomically
from compose.embedded.processes import Child, Command, end_orphan, record
from schemas.errors import ConfigurationError, HeadraceError

Progress = Callable[[str, str], None]
"""Hears what is going on: the part's name and a few words."""

ATTEMPTS = 3
RETRY_S = 0.05
DYING_S = 0.2
"""A process that was sent a kill -9 just now still counts as running for a moment."""
PORT_WAIT_S = 10.0


class PartFailed(HeadraceError):
    """A part of the embedded stack died or did not become ready."""

    part = "embedded stack"


def unheard(part: str, words: str) -> None:
    """Tell nobody."""


class Part(ABC):
    """A server process in a folder of its own.

    Its ports are chosen once and remembered in the folder. Nothing here belongs to an event loop.
    """

    name: ClassVar[str]
    port_names: ClassVar[tuple[str, ...]] = ("client",)
    stop_signals: ClassVar[Sequence[signal.Signals]] = (signal.SIGTERM,)
    start_timeout_s: ClassVar[float] = 90.0
    stop_timeout_s: ClassVar[float] = 15.0

    def __init__(self, folder: Path, *, port: int | None = None, observe: Progress = unheard) -> None:
        self.folder = folder.absolute()
        self.log = self.folder / f"{self.name}.log"
        self.ports: dict[str, int] = {}
        self._wanted_port = port
        self._observe = observe
        self._child: Child | None = None

    @abstractmethod
    async def _prepare(self) -> None:
        """Fetch and make what the program needs; called before each start."""

    @abstractmethod
    def _command(self) -> Command:
        """Return the program to run."""

    @abstractmethod
    async def _answers(self) -> bool:
        """Say whether a client's call is answered."""

    async def _finish(self) -> None:  # noqa: B027 - most parts have nothing to add
        """Do what has to be done once it answers."""

    def _after_kill(self) -> None:  # noqa: B027 - the same
        """Remove what a killed process leaves outside of its folder."""

    @property
    def port(self) -> int:
        """The port for clients; 0 before the first start."""
        return self.ports.get("client", 0)

    @property
    def pid(self) -> int | None:
        """The process, or None when it does not run."""
        return self._child.pid if self.running and self._child else None

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._child is not None and self._child.returncode is None

    @property
    def failure(self) -> str | None:
        """How a process that was started, and not stopped by us, ended; None while it runs."""
        if self._child is None or self._child.returncode is None:
            return None
        return f"{self.name} ended with code {self._child.returncode}; the end of {self.log}:\n{tail(self.log)}"

    async def start(self) -> None:
        """Start and wait until it answers.

        Raises PartFailed, with the end of its log, if it dies or stays silent, and ConfigurationError if the port
        that was asked for is taken or something is not installed.
        """
        if self._child is not None and not await self._child.ended(within=DYING_S):
            return
        began = time.monotonic()
        self._observe(self.name, "starting")
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        end_orphan(self._record)
        try:
            await self._prepare()
            await self._run()
            await self._finish()
        except BaseException:
            self.kill_at_once()
            raise
        self._observe(self.name, f"ready on port {self.port} after {time.monotonic() - began:.1f} s")

    async def stop(self) -> None:
        """Let it shut down in order; kill it if that takes too long."""
        if self._child is not None:
            await self._child.stop(*self.stop_signals, patience=self.stop_timeout_s)
        self._forget()

    async def kill(self) -> None:
        """End it as kill -9 would, and wait until it and its children are gone."""
        self.kill_at_once()

    async def restart(self) -> None:
        """Stop it if it runs, and start it again on the same folder and port."""
        await self.stop()
        await self.start()

    def kill_at_once(self) -> None:
        """Kill, also where nothing can be awaited any more; takes milliseconds."""
        if self._child is not None:
            self._child.kill()
            self._after_kill()
        self._forget()

    @property
    def _record(self) -> Path:
        return self.folder / "process.json"

    def _forget(self) -> None:
        self._child = None
        self._record.unlink(missing_ok=True)

    async def _run(self) -> None:
        """Start the process; where somebody else took its port in the meantime, choose another and try again."""
        for attempt in range(1, ATTEMPTS + 1):
            await self._choose_ports()
            turn_over(self.log)
            self._child = Child(self._command())
            record(self._record, self._child.pid)
            try:
                await self._wait_until_ready()
            except PartFailed:
                lost_a_race = not self.running and not all(map(ports.is_free, self.ports.values()))
                if not lost_a_race or attempt == ATTEMPTS:
                    raise
            else:
                return

    async def _choose_ports(self) -> None:
        """Take the remembered ports, or new ones where those are taken by others."""
        deadline = time.monotonic() + (PORT_WAIT_S if self.ports else 0)  # at a restart clients know the port
        while not all(map(ports.is_free, self.ports.values())) and time.monotonic() < deadline:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(RETRY_S)
        remembered = self.ports or read_json(self.folder / "ports.json")
        for name in self.port_names:
            known = remembered.get(name)
            if not (isinstance(known, int) and ports.is_free(known)):
                known = ports.pick(besides=self.ports.values())
            self.ports[name] = known
        if self._wanted_port is not None:
            if not ports.is_free(self._wanted_port):
                raise ConfigurationError(f"port {self._wanted_port} for {self.name} is taken: choose another")
            self.ports["client"] = self._wanted_port
        write_atomically(self.folder / "ports.json", json.dumps(self.ports))

    async def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self.start_timeout_s
        while not (ports.answers(self.port) and await self._answers()):
            if self.failure:
                raise PartFailed(self.failure)
            if time.monotonic() > deadline:
                waited = f"{self.name} does not answer after {self.start_timeout_s:.0f} s"
                raise PartFailed(f"{waited}; the end of {self.log}:\n{tail(self.log)}")
            await asyncio.sleep(RETRY_S)
        if self.failure:  # somebody else answered on its port
            raise PartFailed(self.failure)
