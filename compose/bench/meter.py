"""What does a process cost? CPU and memory, as the operating system counts them."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from compose.embedded.extra import load_psutil

MB = 1_000_000


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and all its children, those included that have ended and been waited for."""
    total = 0.0
    for process in _family(pid):
        with suppress(load_psutil().NoSuchProcess):
            total += sum(process.cpu_times()[:4])  # user, system, and both of its ended children
    return total


def cpu_of_all(pids: Mapping[str, int]) -> dict[str, float]:
    """Return the CPU time of each process by its name."""
    return {name: cpu_seconds(pid) for name, pid in pids.items()}


def peak_mb(pid: int) -> float:
    """Return the most memory that the process, or one of its children, ever held resident."""
    return max((_peak_mb(process.pid) for process in _family(pid)), default=0.0)


def _family(pid: int) -> Iterator[Any]:
    psutil = load_psutil()
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        yield from (parent, *parent.children(recursive=True))


def _peak_mb(pid: int) -> float:
    """Return the most it ever held; what it holds now where the system keeps no peak."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / MB
    except OSError:
        pass
    psutil = load_psutil()
    try:
        resident: int = psutil.Process(pid).memory_info().rss
    except psutil.NoSuchProcess:
        return 0.0
    return resident / MB
