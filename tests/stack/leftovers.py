"""Which processes has a test session left behind?"""

import os
import time
from uuid import uuid4

import psutil

MARK = "SESSION_OF_HEADRACE_TESTS"
"""Set in our environment and so in that of all we start, also of those that have lost their parents since."""


def mark_session() -> None:
    """From now on what we start can be told apart."""
    os.environ[MARK] = uuid4().hex


def leftovers(within: float = 5.0) -> list[psutil.Process]:
    """Return our processes that still live, after giving them *within* seconds to end."""
    deadline = time.monotonic() + within
    while (found := _alive()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def end(processes: list[psutil.Process]) -> list[str]:
    """Kill them; return what they were."""
    told = []
    for process in processes:
        try:
            told.append(f"{process.pid} {' '.join(process.cmdline())[:200]}")
            process.kill()
        except psutil.NoSuchProcess:
            told.append(f"{process.pid} has ended meanwhile")
    return told


def _alive() -> list[psutil.Process]:
    children = set(psutil.Process().children(recursive=True))
    marked = {process for process in psutil.process_iter() if process.pid != os.getpid() and _is_marked(process)}
    return sorted(filter(_runs, children | marked), key=lambda process: process.pid)


def _is_marked(process: psutil.Process) -> bool:
    try:
        return bool(process.environ().get(MARK) == os.environ[MARK])
    except (psutil.Error, OSError):  # ended meanwhile, or another user's
        return False


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
