"""How much memory does this process hold, and how much may it?

Linux tells both in files; elsewhere nothing is known, and nothing is held back for it.
"""

import os
from pathlib import Path

CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
MEMORY = Path("/proc/meminfo")
RESIDENT = Path("/proc/self/statm")


def resident_bytes() -> int | None:
    """Return what this process holds in memory."""
    try:
        pages = int(RESIDENT.read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def memory_limit() -> int | None:
    """Return what the control group of this process may hold, or the machine where the group has no limit."""
    limits = [limit for path in CGROUP_LIMITS if (limit := _number(path)) is not None]
    try:
        kilobytes = int(MEMORY.read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return min(limits, default=None)
    return min([*limits, kilobytes * 1024])


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):  # "max" is no number, and no limit
        return None
