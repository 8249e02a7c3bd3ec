"""What lies in the folder of an export, and who may write there?"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from schemas.errors import ConfigurationError, HeadraceError
from schemas.exports import MANIFEST, ROWS, VECTORS, Manifest


class ExportFolder:
    """The three files of an export. Whatever else lies there is left alone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.vectors = path / VECTORS
        self.lines = path / ROWS

    def __repr__(self) -> str:
        return f"<ExportFolder {self.path}>"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder and let no other export write to it; the system takes the lock back from whoever dies.

        Raises ConfigurationError where another one does, and HeadraceError where nothing can be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_RDONLY)
            try:
                self._lock(handle)
                yield
            finally:
                os.close(handle)
        except OSError as error:
            raise HeadraceError(f"{self.path} can not be written: {error.strerror or error}") from None

    def is_empty(self) -> bool:
        """Say whether there is nothing at all."""
        return not any(self.path.iterdir())

    def has_rows(self) -> bool:
        """Say whether an earlier run has begun to write rows."""
        return self.vectors.exists() and self.lines.exists()

    def clear(self) -> None:
        """Remove an export, its manifest first: without it the rest is nothing."""
        for name in (MANIFEST, VECTORS, ROWS):
            (self.path / name).unlink(missing_ok=True)

    def manifest(self) -> Manifest | None:
        """Return the manifest; None where there is none, or something else."""
        try:
            return msgspec.json.decode((self.path / MANIFEST).read_bytes(), type=Manifest)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def note(self, manifest: Manifest) -> None:
        """Put the manifest there, whole or not at all."""
        partial = self.path / f".{MANIFEST}.part"
        with partial.open("wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.path / MANIFEST)

    def _lock(self, handle: int) -> None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(f"another export writes to {self.path} at this moment") from None
