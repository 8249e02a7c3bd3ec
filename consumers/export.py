"""How do vectors leave an index for others to build on? All of one moment, in a folder, in constant memory.

1. a snapshot is taken: one repeatable-read transaction, in which all that follows is read
2. the manifest is written as incomplete, the matrix made as large as it will be
3. rows come in the order of their key, a window at a time: vectors first, the lines that vouch for them behind
4. the manifest is written as complete

A run that was ended goes on in a *new* snapshot, since nobody can hold the old one: of what is written it keeps the
documents up to the first that is another now, and writes all behind them again. So a complete export is always of one
moment, that of its last run.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, closing
from dataclasses import dataclass
from pathlib import Path

import msgspec

from consumers.folder import ExportFolder
from consumers.matrix import Kept, Matrix, written
from consumers.stores.reading import Snapshot, snapshot
from schemas import __version__
from schemas.errors import ConfigurationError, HeadraceError
from schemas.exports import DType, Manifest, Row, Scope
from schemas.index import DocumentKey
from schemas.settings import MIB, StoreSettings

WINDOW_BYTES = 4 * MIB
MOST_ROWS = 1024
BYTES_A_NUMBER = 4


@dataclass(frozen=True)
class Order:
    """What to export, and in which form. ``resume`` goes on with what an ended run left, ``overwrite`` removes it."""

    scope: Scope
    dtype: DType = "float32"
    with_text: bool = False
    resume: bool = False
    overwrite: bool = False


@dataclass
class Tally:
    """How far it has come: ``rows`` of ``total`` are written, of which an earlier run wrote ``kept``."""

    total: int = 0
    rows: int = 0
    kept: int = 0
    seconds: float = 0.0
    interrupted: bool = False


class Export:
    """One run. ``tally`` can be looked at meanwhile; ``stop`` ends it behind the window that is being written.

    Raises ConfigurationError for a folder that is not to be touched, HeadraceError where it can not be written.
    """

    def __init__(self, settings: StoreSettings, folder: Path, order: Order) -> None:
        self.tally = Tally()
        self._settings = settings
        self._folder = ExportFolder(folder)
        self._order = order
        self._stopped = False

    def __repr__(self) -> str:
        return f"<Export to {self._folder.path}, {self.tally.rows} of {self.tally.total} rows>"

    def stop(self) -> None:
        """Take no further window."""
        self.tally.interrupted = self._stopped = True

    async def run(self) -> Manifest:
        """Export; the manifest is complete unless it was stopped."""
        began = time.monotonic()
        try:
            with self._folder.held():
                before = self._earlier()
                if before is not None and before.complete:
                    self.tally.total = self.tally.rows = self.tally.kept = before.rows
                    return before
                async with snapshot(self._settings) as taken:
                    return await self._run(taken, before)
        finally:
            self.tally.seconds = time.monotonic() - began

    async def _run(self, taken: Snapshot, before: Manifest | None) -> Manifest:
        manifest = await self._manifest(taken)
        kept, behind = await self._kept(taken, manifest, before)
        manifest = msgspec.structs.replace(manifest, kept_rows=kept.rows)
        self.tally.total, self.tally.kept, self.tally.rows = manifest.rows, kept.rows, kept.rows
        self._folder.note(manifest)
        matrix = Matrix(
            self._folder.vectors, self._folder.lines, manifest.dtype, manifest.rows, manifest.dimensions, kept=kept
        )
        try:
            async with aclosing(self._rows(taken, behind)) as groups:
                async for rows, vectors in groups:
                    if self._stopped:
                        return manifest
                    # In a thread, so that a slow disk does not keep the signal of who wants to end it waiting.
                    await asyncio.to_thread(matrix.append, rows, vectors, manifest.fingerprint.vector_type)
                    self.tally.rows = matrix.done
        finally:
            matrix.close()
        if matrix.done != manifest.rows:
            raise HeadraceError(f"{manifest.rows} rows were counted and {matrix.done} read: the index is damaged")
        manifest = msgspec.structs.replace(manifest, complete=True)
        self._folder.note(manifest)
        return manifest

    def _rows(self, taken: Snapshot, behind: DocumentKey | None) -> AsyncGenerator[tuple[list[Row], list[bytes]], None]:
        width = BYTES_A_NUMBER * taken.fingerprint.dimensions
        group = max(1, min(MOST_ROWS, WINDOW_BYTES // width))
        return taken.rows(self._order.scope, group, behind=behind, with_text=self._order.with_text)

    async def _manifest(self, taken: Snapshot) -> Manifest:
        return Manifest(
            complete=False,
            software=f"headrace {__version__}",
            index=self._settings.index,
            index_created_at=taken.moment.index_created_at,
            fingerprint=taken.fingerprint,
            digest=taken.fingerprint.digest,
            scope=self._order.scope,
            dtype=self._order.dtype,
            with_text=self._order.with_text,
            rows=await taken.count(self._order.scope),
            dimensions=taken.fingerprint.dimensions,
            snapshot_at=taken.moment.at,
            positions=taken.moment.positions,
        )

    async def _kept(
        self, taken: Snapshot, manifest: Manifest, before: Manifest | None
    ) -> tuple[Kept, DocumentKey | None]:
        """Return what can stay of an earlier run, and the last document of it: up to the first that is another now."""
        if before is None or not self._folder.has_rows():
            return Kept(), None
        if (manifest.fingerprint, manifest.index_created_at) != (before.fingerprint, before.index_created_at):
            raise ConfigurationError(
                f"{self._folder.path} holds vectors of an index that was made anew: begin anew with --overwrite"
            )
        kept, last = Kept(), None
        with closing(written(self._folder.vectors, self._folder.lines, manifest.dtype, manifest.dimensions)) as earlier:
            async with aclosing(taken.states(self._order.scope)) as states:
                async for state in states:
                    rows, until = next(earlier, ([], kept))
                    if len(rows) != state.chunks or any(row.state != state for row in rows):
                        break
                    kept, last = until, state.key
        return kept, last

    def _earlier(self) -> Manifest | None:
        """Return the manifest of an earlier run to go on with, if there is one and that is wanted."""
        order, path = self._order, self._folder.path
        if order.overwrite:
            self._folder.clear()
            return None
        if self._folder.is_empty():
            return None
        if not order.resume:
            raise ConfigurationError(
                f"{path} is not empty: name another folder, go on with an export that was ended with --resume, or "
                "replace one with --overwrite"
            )
        before = self._folder.manifest()
        if before is None:
            raise ConfigurationError(f"{path} holds no export to go on with: name another folder")
        told = (before.index, before.scope, before.dtype, before.with_text)
        if told != (self._settings.index, order.scope, order.dtype, order.with_text):
            raise ConfigurationError(
                f"{path} holds another export: index, filters, --dtype or --with-text differ; name another folder, "
                "or begin anew with --overwrite"
            )
        return before
