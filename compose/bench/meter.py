"""What does a process cost? CPU and memory, as the operating system counts them."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from compose.embedded.extra import load_psutil

MB = 1_000_000


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and all its children, those included that have ended and been waited for."""
    psutil = load_psutil()
    parent = psutil.Process(pid)
    total = 0.0
    for process in (parent, *parent.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])  # user, system, and both of its ended children
    return total


def cpu_of_all(pids: Mapping[str, int]) -> dict[str, float]:
    """Return the CPU time of each process by its name."""
    return {name: cpu_seconds(pid) for name, pid in pids.items()}


def peak_mb(pid: int) -> float:
    """Return the most memory the process ever held resident; what it holds now where the system keeps no peak."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / MB
    except OSError:
        pass
    resident: int = load_psutil().Process(pid).memory_info().rss
    return resident / MB
