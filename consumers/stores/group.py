"""How is a group of changes written?

One transaction, in this order, every statement sorted by the full key:

1. document rows are locked and those that pass the fence are written; a row that is returned has passed
2. the vectors that documents do not bring are found; a document of which one is gone leaves the group
3. chunks are written, those already in their place left alone, and those beyond the end of a document removed

Step 1 locks before anything is decided, so two writers that share keys wait for each other in one order. Steps 2 and 3
stand in ``chunks.py``.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import repeat
from operator import attrgetter

from consumers.core import fence
from consumers.stores.chunks import ChunkWrite, vector_of
from consumers.stores.columns import digests, numbers, places, standings_of, texts
from consumers.stores.connections import Connection
from schemas.index import Change, ChangeKind, DocumentKey, Outcome, Standing
from schemas.settings import StoreSettings

_DONE = {ChangeKind.PUT: Outcome.STORED, ChangeKind.TOUCH: Outcome.UNCHANGED, ChangeKind.DELETE: Outcome.DELETED}
_SAME_AGAIN = _DONE | {ChangeKind.PUT: Outcome.UNCHANGED}
_TOUCH = -1
_of_change = attrgetter("title", "metadata")
_key_of = attrgetter("tenant", "id")


class Leaves(Exception):
    """These changes can not be part of the group: the transaction is given up and tried without them."""

    def __init__(self, indices: Iterable[int]) -> None:
        super().__init__()
        self.indices = frozenset(indices)


class GroupWrite:
    """One attempt at a group, inside a transaction that somebody else opened."""

    def __init__(
        self,
        connection: Connection,
        queries: Mapping[str, str],
        settings: StoreSettings,
        changes: Sequence[Change],
        force_before: datetime | None,
    ) -> None:
        self._connection = connection
        self._queries = queries
        self._chunks = ChunkWrite(connection, queries, settings, force_before)
        self._changes = changes
        self._force_before = force_before
        self._outcomes: dict[int, Outcome] = {}
        # The change of each key that passed last; the one of them whose chunks count; the keys that had a row before,
        # and those that had none and bring all vectors, each with the time since when its chunks count as embedded.
        self._winners: dict[DocumentKey, int] = {}
        self._contents: dict[DocumentKey, int] = {}
        self._known: dict[DocumentKey, datetime | None] = {}
        self._new: dict[DocumentKey, datetime] = {}

    async def run(self, left: frozenset[int], *, copy: bool = True) -> list[Outcome]:
        """Write the group without the changes in *left*, which are answered AGAIN. Raises Leaves.

        *copy* the chunks of new documents; UniqueViolationError where chunks stand there that have no document.
        """
        changes = self._changes
        self._outcomes = dict.fromkeys(left, Outcome.AGAIN)
        rounds, surpassed = fence.in_rounds(changes, [index for index in range(len(changes)) if index not in left])
        for indices in rounds:
            await self._write_documents(indices, blocks_others=bool(surpassed))
        await self._write_chunks(copy=copy)
        self._outcomes.update(dict.fromkeys(surpassed, Outcome.SUPERSEDED))
        return [self._outcomes[index] for index in range(len(changes))]

    async def _write_documents(self, indices: Sequence[int], *, blocks_others: bool) -> None:
        changes = [self._changes[index] for index in indices]
        titles, metadata = zip(*map(_of_change, changes), strict=True)
        put, touch = ChangeKind.PUT, ChangeKind.TOUCH
        rows = await self._connection.fetch(
            self._queries["write_documents"],
            *places(changes),
            digests([change.content_hash for change in changes]),
            numbers([_TOUCH if change.kind is touch else len(change.chunks) for change in changes]),
            texts(titles),
            texts(metadata),
            numbers([change.kind is put and None not in map(vector_of, change.chunks) for change in changes]),
            self._force_before,
        )
        passed: dict[DocumentKey, tuple[int, datetime | None]] = {}
        are_new = not self._winners
        for tenant, revision, since, ids in rows:
            passed |= dict.fromkeys(zip(repeat(tenant), ids), (revision, since))
            are_new = are_new and revision == 1 and since is not None
        if are_new and len(passed) == len(changes):
            self._accept_new(indices, changes, passed)
        elif stopped := self._accept(indices, passed):
            await self._explain(stopped, blocks_others=blocks_others)

    def _accept_new(
        self,
        indices: Sequence[int],
        changes: Sequence[Change],
        passed: Mapping[DocumentKey, tuple[int, datetime | None]],
    ) -> None:
        """Note, as ``_accept`` would, changes that all made rows with a time, and so bring all their vectors."""
        self._winners = dict(zip(map(_key_of, changes), indices, strict=True))
        self._contents = dict(self._winners)
        self._new = {key: since for key, (_, since) in passed.items() if since is not None}
        self._outcomes |= dict.fromkeys(indices, Outcome.STORED)

    def _accept(self, indices: Sequence[int], passed: Mapping[DocumentKey, tuple[int, datetime | None]]) -> list[int]:
        """Note the changes that *passed* the fence, with revision and time of their rows; return the others."""
        changes, winners, known, new = self._changes, self._winners, self._known, self._new
        put, stored = ChangeKind.PUT, Outcome.STORED  # a dictionary asks an enumeration's Python for its hash
        stopped, ghosts = [], []
        for index in indices:
            change = changes[index]
            key = (change.tenant, change.id)
            row = passed.get(key)
            if row is None:
                stopped.append(index)
                continue
            revision, since = row
            if key in winners:
                self._outcomes[winners[key]] = Outcome.SUPERSEDED
                new.pop(key, None)
                if key in known:
                    known[key] = since
            elif revision > 1:
                known[key] = since
            elif revision == 0:
                ghosts.append(index)
                continue
            elif since is not None:
                new[key] = since
            winners[key] = index
            self._outcomes[index] = stored if change.kind is put else _DONE[change.kind]
            if change.kind is not ChangeKind.TOUCH:
                self._contents[key] = index
        if ghosts:
            # Touches of rows that are no longer there have made some.
            raise Leaves(ghosts)
        return stopped

    async def _explain(self, stopped: Sequence[int], *, blocks_others: bool) -> None:
        """Say why changes were not written. Their rows are locked by now, so that this is no longer advice."""
        changes = [self._changes[index] for index in stopped]
        standings = await standings_of(
            self._connection, self._queries, changes, lambda n: changes[n].content_hash, self._force_before
        )
        for index, change, standing in zip(stopped, changes, standings, strict=True):
            if standing is Standing.REDELIVERED:
                self._outcomes[index] = _SAME_AGAIN[change.kind]
            elif standing is Standing.SUPERSEDED:
                self._outcomes[index] = Outcome.SUPERSEDED
            elif blocks_others:
                # What this touch surpassed was left out for its sake, and has to be written now.
                raise Leaves([index])
            else:
                self._outcomes[index] = Outcome.AGAIN

    async def _write_chunks(self, *, copy: bool) -> None:
        contents = {key: self._changes[index].chunks for key, index in sorted(self._contents.items())}
        if gone := await self._chunks.find(contents):
            raise Leaves(self._contents[key] for key in gone)
        await self._chunks.write(contents, self._known, self._new if copy else {})
