"""Kafka, PostgreSQL and an embedding server as one, without Docker.

Folder: ``lock``, ``stack.json`` (only for ``headrace up``), and a folder a part with its data, log, ports and process.
"""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from compose.embedded.embeddings import DIMENSIONS, MODEL, EmbeddingServer
from compose.embedded.endpoints import Endpoints
from compose.embedded.extra import load_psutil
from compose.embedded.kafka import KafkaBroker
from compose.embedded.lock import FolderInUse, FolderLock
from compose.embedded.part import Part, PartFailed, Progress, unheard
from compose.embedded.postgres import Postgres
from compose.embedded.processes import end_orphan

__all__ = ["ALL_PARTS", "Endpoints", "FolderInUse", "PartFailed", "Stack", "temporary_stack"]

ALL_PARTS = frozenset({"kafka", "postgres", "embeddings"})
WATCH_S = 0.2


class Stack:
    """The parts in one folder, as a context manager.

    Entering raises FolderInUse if another process owns the folder, ConfigurationError if the extra ``embedded`` is not
    installed, PartFailed if a part does not start. Leaving stops all parts, whatever happened; data stays.
    """

    def __init__(
        self,
        folder: Path,
        *,
        parts: frozenset[str] = ALL_PARTS,
        observe: Progress = unheard,
        ports: Mapping[str, int] | None = None,
        fresh: bool = False,
    ) -> None:
        self.folder = folder.absolute()
        wanted = ports or {}
        self.kafka = KafkaBroker(self.folder / "kafka", port=wanted.get("kafka"), observe=observe)
        self.postgres = Postgres(self.folder / "postgres", port=wanted.get("postgres"), observe=observe)
        self.embeddings = EmbeddingServer(self.folder / "embeddings", port=wanted.get("embeddings"), observe=observe)
        everything: tuple[Part, ...] = (self.kafka, self.postgres, self.embeddings)
        self.parts: tuple[Part, ...] = tuple(part for part in everything if part.name in parts)
        if unknown := parts - {part.name for part in everything}:
            raise ValueError(f"the stack has no part named {', '.join(sorted(unknown))}")
        self._fresh = fresh
        self._lock = FolderLock(self.folder)

    @property
    def endpoints(self) -> Endpoints:
        """Where the parts answer."""
        return Endpoints(self.kafka.bootstrap_servers, self.postgres.dsn, self.embeddings.base_url, MODEL, DIMENSIONS)

    async def __aenter__(self) -> Self:
        load_psutil()
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock.acquire()
        try:
            if self._fresh:
                self._start_over()
            await self._start()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def failed(self) -> Part:
        """Wait until a part ends that nobody stopped, and return it."""
        while True:
            for part in self.parts:
                if part.failure:
                    return part
            await asyncio.sleep(WATCH_S)

    def kill_at_once(self) -> None:
        """Kill every part, also where nothing can be awaited any more; takes milliseconds."""
        for part in self.parts:
            part.kill_at_once()

    async def _start(self) -> None:
        """Start all parts at once; the first failure stops the others."""
        try:
            async with asyncio.TaskGroup() as group:
                for part in self.parts:
                    group.create_task(part.start())
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from None

    def _start_over(self) -> None:
        """Remove what earlier runs left, and nothing else that may lie in the folder."""
        for part in (self.kafka, self.postgres, self.embeddings):
            end_orphan(part.folder / "process.json")
            if part.folder.exists():
                shutil.rmtree(part.folder)

    async def _close(self) -> None:
        """Stop all parts in order; whatever happens meanwhile, no process is left."""
        try:
            await asyncio.gather(*(part.stop() for part in self.parts))
        finally:
            self.kill_at_once()
            self._lock.release()


@asynccontextmanager
async def temporary_stack(*, parts: frozenset[str] = ALL_PARTS, observe: Progress = unheard) -> AsyncIterator[Stack]:
    """Run a stack in a private folder that is removed with it."""
    with tempfile.TemporaryDirectory(prefix="headrace-") as folder:
        async with Stack(Path(folder), parts=parts, observe=observe) as stack:
            yield stack
