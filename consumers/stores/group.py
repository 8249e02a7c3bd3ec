"""How is a group of changes written?

One transaction, in this order, every statement sorted by the full key:

1. document rows are locked and those that pass the fence are written; a row that is returned has passed
2. the vectors that changed documents keep are found; a document whose vector is gone leaves the group
3. chunks are written, those already in their place left alone
4. chunks beyond the end of a document are removed, all of them for a deletion

Step 1 locks before anything is decided, so two writers that share keys wait for each other in one order.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from consumers.core import fence
from consumers.stores.columns import numbers, places, standings_of, texts
from consumers.stores.connections import Connection
from consumers.stores.vectors import stored_form
from schemas.index import Change, ChangeKind, DocumentKey, Outcome, Standing

_DONE = {ChangeKind.PUT: Outcome.STORED, ChangeKind.TOUCH: Outcome.UNCHANGED, ChangeKind.DELETE: Outcome.DELETED}
_SAME_AGAIN = _DONE | {ChangeKind.PUT: Outcome.UNCHANGED}
_TOUCH = -1

_Place = tuple[str, str, int]


class Leaves(Exception):
    """These changes can not be part of the group: the transaction is given up and tried without them."""

    def __init__(self, indices: Iterable[int]) -> None:
        super().__init__()
        self.indices = frozenset(indices)


class GroupWrite:
    """One attempt at a group, inside a transaction that somebody else opened."""

    def __init__(
        self, connection: Connection, queries: Mapping[str, str], vector_type: str, changes: Sequence[Change]
    ) -> None:
        self._connection = connection
        self._queries = queries
        self._vector_type = vector_type
        self._changes = changes
        self._outcomes: dict[int, Outcome] = {}
        # The change of each key that passed last; the one of them whose chunks count; the keys that had a row before.
        self._winners: dict[DocumentKey, int] = {}
        self._contents: dict[DocumentKey, int] = {}
        self._known: set[DocumentKey] = set()

    async def run(self, left: frozenset[int]) -> list[Outcome]:
        """Write the group without the changes in *left*, which are answered AGAIN. Raises Leaves."""
        changes = self._changes
        self._outcomes = dict.fromkeys(left, Outcome.AGAIN)
        rounds, surpassed = fence.in_rounds(changes, [index for index in range(len(changes)) if index not in left])
        for indices in rounds:
            await self._write_documents(indices, blocks_others=bool(surpassed))
        await self._write_chunks()
        self._outcomes.update(dict.fromkeys(surpassed, Outcome.SUPERSEDED))
        return [self._outcomes[index] for index in range(len(changes))]

    async def _write_documents(self, indices: Sequence[int], *, blocks_others: bool) -> None:
        changes = [self._changes[index] for index in indices]
        rows = await self._connection.fetch(
            self._queries["write_documents"],
            *places(changes),
            numbers([_TOUCH if change.kind is ChangeKind.TOUCH else len(change.chunks) for change in changes]),
            texts([change.title for change in changes]),
            texts([change.metadata for change in changes]),
        )
        passed = {(tenant, document_id): revision for tenant, document_id, revision in rows}
        stopped, ghosts = [], []
        for index, change in zip(indices, changes, strict=True):
            key = (change.tenant, change.id)
            revision = passed.get(key)
            if revision is None:
                stopped.append(index)
            elif revision == 0:
                ghosts.append(index)
            else:
                self._accept(index, key, change.kind, existed=revision > 1)
        if ghosts:
            # Touches of rows that are no longer there have made some.
            raise Leaves(ghosts)
        if stopped:
            await self._explain(stopped, blocks_others=blocks_others)

    def _accept(self, index: int, key: DocumentKey, kind: ChangeKind, *, existed: bool) -> None:
        before = self._winners.get(key)
        if before is not None:
            self._outcomes[before] = Outcome.SUPERSEDED
        elif existed:
            self._known.add(key)
        self._winners[key] = index
        self._outcomes[index] = _DONE[kind]
        if kind is not ChangeKind.TOUCH:
            self._contents[key] = index

    async def _explain(self, stopped: Sequence[int], *, blocks_others: bool) -> None:
        """Say why changes were not written. Their rows are locked by now, so that this is no longer advice."""
        changes = [self._changes[index] for index in stopped]
        standings = await standings_of(self._connection, self._queries, changes)
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

    async def _write_chunks(self) -> None:
        contents = [(key, self._changes[index]) for key, index in sorted(self._contents.items())]
        rows = self._chunk_rows(contents, await self._kept_vectors())
        if rows:
            await self._connection.executemany(self._queries["write_chunk"], rows)
        surplus = [(key, len(change.chunks)) for key, change in contents if key in self._known]
        if surplus:
            await self._connection.execute(
                self._queries["remove_surplus"],
                texts([key[0] for key, _ in surplus]),
                texts([key[1] for key, _ in surplus]),
                numbers([kept for _, kept in surplus]),
            )

    def _chunk_rows(
        self, contents: Sequence[tuple[DocumentKey, Change]], kept: Mapping[_Place, tuple[bytes, datetime]]
    ) -> list[tuple[object, ...]]:
        """Return the arguments of write_chunk for every chunk but those that stay as they are."""
        vectors = [chunk.vector for _, change in contents for chunk in change.chunks if chunk.vector is not None]
        fresh = iter(stored_form(vectors, self._vector_type))
        return [
            (tenant, document_id, ordinal, chunk.text, chunk.hash, chunk.tokens, *found)
            for (tenant, document_id), change in contents
            for ordinal, chunk in enumerate(change.chunks)
            if (found := (next(fresh), None) if chunk.vector is not None else kept.get((tenant, document_id, ordinal)))
        ]

    async def _kept_vectors(self) -> dict[_Place, tuple[bytes, datetime]]:
        """Find the stored vectors that changed documents keep; return those that move, under their new place.

        Most stay where they are and are not read at all. Raises Leaves for documents of which a vector is gone.
        """
        keeping = {
            key: index
            for key, index in self._contents.items()
            if any(chunk.vector is None for chunk in self._changes[index].chunks)
        }
        if not keeping:
            return {}
        stored = await stored_ordinals(self._connection, self._queries, list(keeping))
        moves: dict[_Place, _Place] = {}
        gone = set()
        for key, index in keeping.items():
            ordinals = stored.get(key, {})
            for ordinal, chunk in enumerate(self._changes[index].chunks):
                if chunk.vector is not None:
                    continue
                places_of_text = ordinals.get(chunk.hash)
                if places_of_text is None:
                    gone.add(index)
                elif ordinal not in places_of_text:
                    moves[*key, ordinal] = (*key, places_of_text[0])
        if gone:
            raise Leaves(gone)
        return await self._read_vectors(moves)

    async def _read_vectors(self, moves: Mapping[_Place, _Place]) -> dict[_Place, tuple[bytes, datetime]]:
        if not moves:
            return {}
        sources = sorted(set(moves.values()))
        rows = await self._connection.fetch(self._queries["stored_vectors"], *map(list, zip(*sources, strict=True)))
        found = {(row["tenant"], row["document_id"], row["ordinal"]): row for row in rows}
        return {place: (found[source]["embedding"], found[source]["embedded_at"]) for place, source in moves.items()}


async def stored_ordinals(
    connection: Connection, queries: Mapping[str, str], keys: Sequence[DocumentKey]
) -> dict[DocumentKey, dict[bytes, list[int]]]:
    """Return, for each document with chunks, the places of each chunk hash."""
    stored: dict[DocumentKey, dict[bytes, list[int]]] = {}
    tenants, ids = texts([key[0] for key in keys]), texts([key[1] for key in keys])
    rows = await connection.fetch(queries["stored_hashes"], tenants, ids)
    for tenant, document_id, ordinal, digest in rows:
        stored.setdefault((tenant, document_id), {}).setdefault(digest, []).append(ordinal)
    return stored
