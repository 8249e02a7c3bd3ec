"""Is there a stack running that ``headrace up`` started, and where?"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path

from compose.embedded.endpoints import Endpoints
from compose.embedded.files import read_json, write_atomically
from compose.embedded.processes import identity

FILE = "stack.json"


def state_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Return ``$HEADRACE_STATE``, ``$XDG_STATE_HOME/headrace`` or ``~/.local/state/headrace``, the first set."""
    environ = os.environ if environ is None else environ
    if told := environ.get("HEADRACE_STATE"):
        return Path(told)
    if xdg := environ.get("XDG_STATE_HOME"):
        return Path(xdg) / "headrace"
    return (Path(environ["HOME"]) if environ.get("HOME") else Path.home()) / ".local" / "state" / "headrace"


def announce(folder: Path, endpoints: Endpoints) -> None:
    """Say in *folder* that this process runs a stack. The file holds the password and is the user's alone."""
    pid = os.getpid()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    said = asdict(endpoints) | {"pid": pid, "identity": identity(pid), "started_at": started}
    write_atomically(folder / FILE, json.dumps(said, indent=2) + "\n")


def withdraw(folder: Path) -> None:
    """Take back what announce said."""
    (folder / FILE).unlink(missing_ok=True)


def running_stack(environ: Mapping[str, str] | None = None) -> Endpoints | None:
    """Return where the running stack answers; None if there is none.

    A file that a killed process left behind is not believed, nor one whose process id now belongs to another.
    """
    try:
        said = read_json(state_folder(environ) / FILE)
    except RuntimeError:  # no home folder
        return None
    pid, known = said.get("pid"), said.get("identity")
    if not isinstance(pid, int) or known is None or identity(pid) != known:
        return None
    try:
        return Endpoints(**{field.name: said[field.name] for field in fields(Endpoints)})  # type: ignore[arg-type]  # written by announce
    except KeyError:
        return None
