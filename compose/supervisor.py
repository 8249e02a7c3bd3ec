"""How do several workers run as one command? A process each, watched, and ended together."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from compose.embedded import launch
from consumers.core.backoff import backoff
from schemas.settings import Settings

RESTART_FIRST_S = 1.0
LONG_LIFE_S = 60.0
"""A worker that lived so long is restarted as if it had never failed."""
ENDED_WELL, WRONG = 0, 2
AS_TOLD = (-signal.SIGTERM, -signal.SIGINT)
"""How a child ends that is told to before it can listen."""


def supervise(arguments: Sequence[str], settings: Settings) -> int:
    """Run ``settings.worker.workers`` children of the same command line; return the exit code of the whole.

    A child that dies is started again, unless it found its configuration wrong: that ends all. SIGTERM and SIGINT are
    passed on, so that each child drains; a second one ends them at once.
    """
    return asyncio.run(_Supervisor(arguments, settings).run())


class _Supervisor:
    def __init__(self, arguments: Sequence[str], settings: Settings) -> None:
        self._arguments = list(arguments)
        self._settings = settings
        self._children: dict[int, asyncio.subprocess.Process] = {}
        self._stopping = asyncio.Event()
        self._code = ENDED_WELL

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._pass_on, number)
        async with asyncio.TaskGroup() as tasks:
            for n in range(self._settings.worker.workers):
                tasks.create_task(self._keep(n))
        return self._code

    def _pass_on(self, number: signal.Signals) -> None:
        self._stopping.set()
        for child in self._children.values():
            if child.returncode is None:
                child.send_signal(number)

    async def _keep(self, n: int) -> None:
        failures = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            self._children[n] = child = await self._spawn(n)
            if self._stopping.is_set():
                child.send_signal(signal.SIGTERM)
            code = await child.wait()
            if code == ENDED_WELL or (self._stopping.is_set() and code in AS_TOLD):
                return
            self._code = max(self._code, abs(code))
            if code == WRONG:
                self._pass_on(signal.SIGTERM)
                return
            failures = 1 if time.monotonic() - began > LONG_LIFE_S else failures + 1
            if not self._stopping.is_set():
                await asyncio.sleep(backoff(failures, 0.0, first_s=RESTART_FIRST_S))

    async def _spawn(self, n: int) -> asyncio.subprocess.Process:
        """Start child *n*: its own port and static membership, and the wish to drain when we die.

        The moment of ``--force`` is that of all children, also of one that is started again.
        """
        own = {"worker.workers": "1"}
        if self._settings.worker.force_before:
            own["worker.force_before"] = self._settings.worker.force_before.isoformat()
        if self._settings.http.port:
            own["http.port"] = str(self._settings.http.port + n)
        if self._settings.kafka.instance_id:
            own["kafka.instance_id"] = f"{self._settings.kafka.instance_id}-{n}"
        flags = [word for name, value in own.items() for word in ("--set", f"{name}={value}")]
        argv = [sys.executable, "-m", "compose", *self._arguments, *flags]
        order = {
            "argv": argv,
            "parent": os.getpid(),
            "uid": None,
            "gid": None,
            "through_private_folders": False,
            "death_signal": int(signal.SIGTERM),
        }
        launcher = [sys.executable, "-I", "-S", str(Path(launch.__file__)), json.dumps(order)]
        return await asyncio.create_subprocess_exec(*launcher, start_new_session=True)
