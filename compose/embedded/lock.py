"""Who owns a state folder?"""

import fcntl
import os
from pathlib import Path
from typing import TextIO

from schemas.errors import ConfigurationError


class FolderInUse(ConfigurationError):
    """Another process runs a stack in this folder."""


class FolderLock:
    """The right to run a stack in a folder.

    The operating system takes it from a process that dies, so a lock is never stale. The file stays: removing it
    would let two processes hold locks on two files of one name.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: TextIO | None = None

    def acquire(self) -> None:
        """Take the lock or raise FolderInUse, naming the owner."""
        path = self._folder / "lock"
        file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = path.read_text(encoding="utf-8").strip() or "unknown"
            file.close()
            raise FolderInUse(
                f"process {owner} already runs a stack in {self._folder}: stop it (Ctrl-C, or kill {owner}), "
                "or choose another folder"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._file = file

    def release(self) -> None:
        """Give the lock back."""
        if self._file is not None:
            self._file.close()
            self._file = None
