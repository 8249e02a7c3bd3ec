"""How does a reset remember what it changed? A file a reset, written before anything is changed."""

import secrets
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from compose.embedded.discovery import state_folder
from compose.embedded.files import write_atomically
from consumers.kafka.admin import Commit
from schemas.errors import ConfigurationError

FOLDER = "offsets"
PREFIX, DONE = "undo-", "undone-"
SUFFIX = ".json"
MENDS = {
    "cluster": "point kafka.bootstrap_servers there, or name another file",
    "topic": "say --topic {found}, or name another file",
    "group": "say --group {found}, or name another file",
    "index": "say --index {found}, or name another file",
}
"""What makes the settings fit an undo file, by what differs."""


class Before(msgspec.Struct, frozen=True):
    """A partition before the reset: the group's commit, and the index's position; None where there was none."""

    partition: int
    commit: Commit | None
    position: int | None


class Undo(msgspec.Struct, frozen=True):
    """What a reset changed, and of whom. ``number`` names the reset, also in the index; ``at`` is ISO 8601 UTC."""

    number: str
    at: str
    by: str
    cluster: str
    topic: str
    group: str
    index: str
    partitions: list[Before]


def new_number(now: datetime) -> str:
    """Return a name for a reset; a later one sorts behind an earlier one."""
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(2)}"


def folder() -> Path:
    """Return where undo files lie unless told otherwise."""
    return state_folder() / FOLDER


def write(undo: Undo, told: Path | None) -> Path:
    """Write an undo file, to *told* or into the folder, and return where it is. Never over another file."""
    path = told or folder() / f"{PREFIX}{undo.number}{SUFFIX}"
    try:
        if told is None:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.exists():
            raise ConfigurationError(f"{path} exists already: name another file by --undo-file")
        write_atomically(path, msgspec.json.format(msgspec.json.encode(undo), indent=2).decode() + "\n")
    except OSError as error:
        raise ConfigurationError(f"{path} can not be written, so nothing was changed: {error.strerror}") from None
    return path


def read(path: Path) -> Undo:
    """Read an undo file. Raises ConfigurationError where it is none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Undo)
    except OSError as error:
        raise ConfigurationError(f"{path} can not be read: {error.strerror}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigurationError(f"{path} is no undo file of `headrace offsets reset`: {error}") from None


def newest(cluster: str, topic: str, group: str, index: str) -> tuple[Path, Undo]:
    """Return the last reset of this group that is not undone. Raises ConfigurationError where there is none."""
    for path in sorted(folder().glob(f"{PREFIX}*{SUFFIX}"), reverse=True):
        try:
            undo = read(path)
        except ConfigurationError:
            continue  # a file of somebody else
        if (undo.cluster, undo.topic, undo.group, undo.index) == (cluster, topic, group, index):
            return path, undo
    raise ConfigurationError(
        f"{folder()} holds no reset of the group {group} in {topic} that could be undone: name its file"
    )


def see_that_it_fits(undo: Undo, path: Path, cluster: str, topic: str, group: str, index: str) -> None:
    """Raise ConfigurationError where an undo file is of another cluster, topic, group or index."""
    wanted = {"cluster": cluster, "topic": topic, "group": group, "index": index}
    for what, name in wanted.items():
        if (found := getattr(undo, what)) != name:
            raise ConfigurationError(
                f"{path} is of the {what} {found}, these settings are of {name}: {MENDS[what].format(found=found)}"
            )


def set_aside(path: Path) -> Path:
    """Note that a reset is undone: the next undo is of the one before it. A file elsewhere stays as it is."""
    if path.parent != folder() or not path.name.startswith(PREFIX):
        return path
    return path.replace(path.with_name(DONE + path.name.removeprefix(PREFIX)))
