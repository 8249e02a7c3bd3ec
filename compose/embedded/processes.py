"""How are programs run so that none outlives us?

A child is watched by polling, not by the event loop: a stack that was started in one loop can be stopped in another.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from compose.embedded.extra import load_psutil
from compose.embedded.files import read_json, write_atomically

POLL_S = 0.02
DEATH_S = 10.0
LAUNCHER = Path(__file__).with_name("launch.py")

FOREIGN = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH", "PGOPTIONS", "PGDATA", "PGPORT")
"""Variables of the user's own Java and PostgreSQL, which must not reach ours."""


@dataclass(frozen=True)
class Account:
    """Another user to run as. ``through_private_folders``: it needs a way through folders that are closed to it."""

    uid: int
    gid: int
    through_private_folders: bool


@dataclass(frozen=True)
class Command:
    """A program to run in *folder*, its output appended to *log*; *death_signal* ends it when we die."""

    argv: Sequence[str]
    folder: Path
    log: Path
    environ: Mapping[str, str]
    death_signal: signal.Signals = signal.SIGKILL
    account: Account | None = None


def clean_environ() -> dict[str, str]:
    """Return our environment without what would change how the parts behave."""
    return {name: value for name, value in os.environ.items() if name not in FOREIGN}


def own_environ() -> dict[str, str]:
    """Return an environment in which a Python of ours finds this package, installed or not."""
    here = str(Path(__file__).parents[2])
    environ = clean_environ()
    environ["PYTHONPATH"] = os.pathsep.join(filter(None, (here, environ.get("PYTHONPATH"))))
    return environ


def identity(pid: int) -> str | None:
    """Name the process behind *pid* so that a later one under the same number differs; None if it is dead."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None if Path("/proc/self/stat").exists() else _identity_from_ps(pid)
    state, started = fields[0], fields[19]
    return None if state in "ZX" else f"{boot}/{started}"


def _identity_from_ps(pid: int) -> str | None:
    told = subprocess.run(  # noqa: S603 - a number is no shell code
        ["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return told.stdout.strip() or None


class Child:
    """A running program of ours."""

    def __init__(self, command: Command) -> None:
        order = {
            "argv": [str(word) for word in command.argv],
            "parent": os.getpid(),
            "death_signal": int(command.death_signal),
            "uid": command.account.uid if command.account else None,
            "gid": command.account.gid if command.account else None,
            "through_private_folders": bool(command.account and command.account.through_private_folders),
        }
        with command.log.open("ab") as log:
            self._process = self._spawn(order, command, log)
        self.pid = self._process.pid

    @staticmethod
    def _spawn(order: Mapping[str, object], command: Command, log: BinaryIO) -> subprocess.Popen[bytes]:
        """Start in a session of its own: a Ctrl-C in the terminal is for us, and we stop the parts in order."""
        return subprocess.Popen(  # noqa: S603 - the words come from this package
            [sys.executable, "-I", "-S", str(LAUNCHER), json.dumps(order)],
            cwd=command.folder,
            env=dict(command.environ),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    @property
    def returncode(self) -> int | None:
        """How it ended, or None while it runs."""
        return self._process.poll()

    async def ended(self, within: float | None = None) -> bool:
        """Wait until it has ended; False if it still runs after *within* seconds."""
        waited = 0.0
        while self._process.poll() is None:
            if within is not None and waited >= within:
                return False
            await asyncio.sleep(POLL_S)
            waited += POLL_S
        return True

    async def stop(self, *signals: signal.Signals, patience: float) -> None:
        """Ask with one signal after another, *patience* seconds each, and kill it in the end."""
        for number in signals:
            if self._process.poll() is None:
                self._process.send_signal(number)
            if await self.ended(patience):
                return
        self.kill()

    def kill(self) -> None:
        """End it and all its descendants with kill -9 and wait until they are gone, which takes milliseconds.

        Not a coroutine: no cancellation can come between, so that cleaning up after one is safe.
        """
        if self._process.poll() is None:
            kill_tree(self.pid)
            self._process.wait()


async def run(command: Command) -> int:
    """Run a program to its end and return its code; it does not outlive a cancellation."""
    child = Child(command)
    try:
        await child.ended()
    finally:
        child.kill()
    return child.returncode or 0


def kill_tree(pid: int) -> None:
    """End a process and all its descendants with kill -9, and wait until they are gone."""
    psutil = load_psutil()
    try:
        parent = psutil.Process(pid)
        doomed = [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    kill_all(doomed)


def kill_all(doomed: Sequence[Any]) -> None:
    """End these psutil processes with kill -9, and wait until they are gone; a zombie counts as gone."""
    psutil = load_psutil()
    for process in doomed:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    deadline = time.monotonic() + DEATH_S
    while time.monotonic() < deadline and any(identity(process.pid) for process in doomed):
        time.sleep(POLL_S / 10)


def record(path: Path, pid: int) -> None:
    """Write down which process is ours, for whoever has to clean up after us."""
    write_atomically(path, json.dumps({"pid": pid, "identity": identity(pid)}))


def end_orphan(path: Path) -> None:
    """Kill the process that *path* speaks of, if that very process still lives, and forget it."""
    written = read_json(path)
    pid, known = written.get("pid"), written.get("identity")
    if isinstance(pid, int) and known is not None and identity(pid) == known:
        kill_tree(pid)
    path.unlink(missing_ok=True)
