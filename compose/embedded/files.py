"""How are small files written so that a crash leaves the old one or the new one?"""

import json
import os
from pathlib import Path

TAIL_LINES = 15


def write_atomically(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Write *text* beside *path* and rename it into place."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def read_json(path: Path) -> dict[str, object]:
    """Read a JSON object; empty where the file is missing or holds anything else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def tail(path: Path, lines: int = TAIL_LINES) -> str:
    """Return the last lines of a log, or nothing."""
    try:
        return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def turn_over(log: Path) -> None:
    """Keep one older log: what is written from now on belongs to this run."""
    if log.exists():
        log.replace(log.with_suffix(".old.log"))
