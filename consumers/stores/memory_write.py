"""How does the store in memory write a group? Step by step as the transaction of ``group.py`` and ``chunks.py``."""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from consumers.core import fence
from schemas.index import Change, ChangeKind, ChunkRow, DocumentKey, Outcome

_DONE = {ChangeKind.PUT: Outcome.STORED, ChangeKind.TOUCH: Outcome.UNCHANGED, ChangeKind.DELETE: Outcome.DELETED}
_SAME_AGAIN = _DONE | {ChangeKind.PUT: Outcome.UNCHANGED}


class Row(msgspec.Struct, frozen=True):
    """A document as it is stored; a tombstone has neither content hash nor chunks."""

    mark: fence.Mark
    content_hash: bytes | None
    title: str | None
    metadata: str | None
    chunks: tuple[ChunkRow, ...]
    embedded_at: datetime | None = None
    """No chunk was embedded earlier; None for a tombstone."""
    times: tuple[datetime, ...] = ()
    """When each chunk was embedded."""


class Staged(msgspec.Struct, frozen=True):
    """A vector and when it was embedded."""

    vector: bytes
    at: datetime


class Attempt:
    """One attempt at a group, on a copy of the rows."""

    def __init__(
        self,
        rows: Mapping[DocumentKey, Row],
        staged: dict[bytes, Staged],
        changes: Sequence[Change],
        force_before: datetime | None,
    ) -> None:
        self._before = rows
        self.rows = dict(rows)
        self.staged = staged
        self.outcomes: dict[int, Outcome] = {}
        self._changes = changes
        self._force_before = force_before
        self._now = now(force_before)
        self._winners: dict[DocumentKey, int] = {}
        self._contents: dict[DocumentKey, int] = {}

    def run(self, left: frozenset[int]) -> frozenset[int]:
        """Apply all but *left*; return the changes that have to leave too, with which this attempt has failed."""
        self.outcomes = dict.fromkeys(left, Outcome.AGAIN)
        indices = [index for index in range(len(self._changes)) if index not in left]
        rounds, surpassed = fence.in_rounds(self._changes, indices)
        for group in rounds:
            ghosts = [index for index in group if self._is_ghost(self._changes[index])]
            if ghosts:
                return frozenset(ghosts)
            for index in group:
                if not self._apply(index, self._changes[index]) and surpassed:
                    return frozenset([index])
        self.outcomes.update(dict.fromkeys(surpassed, Outcome.SUPERSEDED))
        return self._write_chunks()

    def _is_ghost(self, change: Change) -> bool:
        return change.kind is ChangeKind.TOUCH and (change.tenant, change.id) not in self.rows

    def _apply(self, index: int, change: Change) -> bool:
        """Write one change if the fence lets it pass; False for a touch of another content, or of an old one."""
        key = (change.tenant, change.id)
        row = self.rows.get(key)
        verdict = fence.Verdict.NEWER if row is None else fence.judge(change, row.mark)
        older = row is not None and fence.is_older(row.embedded_at, self._force_before)
        if verdict is fence.Verdict.STALE or (verdict is fence.Verdict.REDELIVERED and not older):
            self.outcomes[index] = Outcome.SUPERSEDED if verdict is fence.Verdict.STALE else _SAME_AGAIN[change.kind]
            return True
        chunks: tuple[ChunkRow, ...] = change.chunks
        times: tuple[datetime, ...] = ()
        if change.kind is ChangeKind.TOUCH and row is not None:
            if older or change.content_hash != row.content_hash:
                self.outcomes[index] = Outcome.AGAIN
                return False
            chunks, times = row.chunks, row.times
        else:
            self._contents[key] = index
        mark = fence.moved(None if row is None else row.mark, change)
        since = self._since(row, change)
        self.rows[key] = Row(mark, change.content_hash, change.title, change.metadata, chunks, since, times)
        if key in self._winners:
            self.outcomes[self._winners[key]] = Outcome.SUPERSEDED
        self._winners[key] = index
        self.outcomes[index] = _DONE[change.kind]
        return True

    def _since(self, row: Row | None, change: Change) -> datetime | None:
        """Return since when every chunk was embedded, as far as that is known before they are written."""
        if change.kind is ChangeKind.DELETE:
            return None
        anew = change.kind is ChangeKind.PUT and all(chunk.vector is not None for chunk in change.chunks)
        if anew and (row is None or row.content_hash != change.content_hash):
            return self._now
        before = None if row is None else row.embedded_at
        return max((at for at in (before, self._force_before) if at is not None), default=None)

    def _write_chunks(self) -> frozenset[int]:
        """Find and write the chunks of every document; return the changes of which a vector is gone."""
        gone, used = set(), set()
        for key, index in self._contents.items():
            row, before = self.rows[key], self._before.get(key)
            own = {} if before is None else known_vectors(before, self._force_before)
            found = [
                self._find(ordinal, chunk, before, own, row.embedded_at)
                for ordinal, chunk in enumerate(self._changes[index].chunks)
            ]
            taken = {chunk.hash for chunk in self._changes[index].chunks if chunk.vector is None} - own.keys()
            if None in found:
                gone.add(index)
                continue
            kept = [one for one in found if one is not None]
            used |= taken
            times = tuple(one.at for one in kept)
            chunks = tuple(
                msgspec.structs.replace(chunk, vector=one.vector)
                for chunk, one in zip(self._changes[index].chunks, kept, strict=True)
            )
            since = min(times) if taken else row.embedded_at
            self.rows[key] = msgspec.structs.replace(row, chunks=chunks, times=times, embedded_at=since)
        self.staged = {digest: kept for digest, kept in self.staged.items() if digest not in used}
        return frozenset(gone)

    def _find(
        self, ordinal: int, chunk: ChunkRow, before: Row | None, own: Mapping[bytes, Staged], since: datetime | None
    ) -> Staged | None:
        """Return the vector of a chunk and when it was embedded; None where it is gone."""
        if chunk.vector is None:
            kept = own.get(chunk.hash) or self.staged.get(chunk.hash)
            return None if kept is None or fence.is_older(kept.at, self._force_before) else kept
        if before is not None and ordinal < len(before.chunks) and before.chunks[ordinal].hash == chunk.hash:
            stored, at = before.chunks[ordinal].vector, before.times[ordinal]
            if stored is not None and not fence.is_older(at, since):
                return Staged(stored, at)
        return Staged(chunk.vector, self._now)


def known_vectors(row: Row, force_before: datetime | None) -> dict[bytes, Staged]:
    """Return the vectors of a document by the hashes of their texts, none embedded before *force_before*."""
    return {
        chunk.hash: Staged(chunk.vector, at)
        for chunk, at in zip(row.chunks, row.times, strict=True)
        if chunk.vector is not None and not fence.is_older(at, force_before)
    }


def now(force_before: datetime | None) -> datetime:
    """Return when something that is stored now was embedded: not before *force_before*, whatever the clocks say."""
    now = datetime.fromtimestamp(time.time(), UTC)
    return now if force_before is None else max(now, force_before)
