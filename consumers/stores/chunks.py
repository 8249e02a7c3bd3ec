"""How do the chunks of a group come to their places?

A chunk brings its vector, or keeps one: that of the same text in its own document, wherever it stood there, else one
that was staged. A vector that is kept never leaves the database. A huge document is written in several statements of
its transaction, so that no message of them grows with it.

The chunks of a document that is new to the index are copied: nothing can stand in their places, and PostgreSQL then
takes many rows at a time.
"""

import struct
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, TypeAlias, TypeVar

from consumers.stores.columns import digests, numbers, texts
from consumers.stores.connections import Connection, ending_with
from consumers.stores.copying import COLUMNS, Row, pieces
from consumers.stores.vectors import stored_form
from schemas.errors import RowRejected
from schemas.index import ChunkRow, DocumentKey
from schemas.settings import StoreSettings

_AT_ONCE = 1000
"""Chunks a statement."""

vector_of = attrgetter("vector")

Item = TypeVar("Item")
Contents: TypeAlias = Mapping[DocumentKey, Sequence[ChunkRow]]
"""The chunks of each document, all of them, in the order of the keys."""
Since: TypeAlias = Mapping[DocumentKey, datetime | None]
"""Of some documents the time before which none of their chunks may have been embedded."""


class ChunkWrite:
    """One attempt at the chunks of a group, inside its transaction, with the rows of its documents locked."""

    def __init__(
        self,
        connection: Connection,
        queries: Mapping[str, str],
        settings: StoreSettings,
        force_before: datetime | None,
    ) -> None:
        self._connection = connection
        self._queries = queries
        self._index = settings.index
        self._vector_type = settings.vector_type
        self._force_before = force_before
        # Where the vectors come from that documents do not bring: (document, ordinal, its place now), and staged ones.
        self._moves: list[tuple[DocumentKey, int, int]] = []
        self._staged: list[tuple[DocumentKey, int, ChunkRow]] = []

    async def find(self, contents: Contents) -> set[DocumentKey]:
        """Find the vectors that documents do not bring; return the documents of which one is gone."""
        keeping = [key for key, chunks in contents.items() if None in map(vector_of, chunks)]
        if not keeping:
            return set()
        stored = await stored_ordinals(self._connection, self._queries, keeping, self._force_before)
        for key in keeping:
            places_of = stored.get(key, {})
            for ordinal, chunk in enumerate(contents[key]):
                if chunk.vector is not None:
                    continue
                places = places_of.get(chunk.hash)
                if places is None:
                    self._staged.append((key, ordinal, chunk))
                elif ordinal not in places:
                    self._moves.append((key, ordinal, places[0]))
        held = await self._hold()
        return {key for key, _, chunk in self._staged if chunk.hash not in held}

    async def _hold(self) -> set[bytes]:
        """Keep staged vectors where they are until the transaction ends; return which of them are there."""
        held: set[bytes] = set()
        wanted = sorted({chunk.hash for _, _, chunk in self._staged})
        for some in _slices(wanted):
            rows = await self._connection.fetch(self._queries["hold_staged"], digests(some), self._force_before)
            held.update(row["hash"] for row in rows)
        return held

    async def write(self, contents: Contents, known: Since, new: Mapping[DocumentKey, datetime]) -> None:
        """Write what ``find`` has found and what documents bring; remove what *known* documents have no longer.

        *known* are the documents that had a row before, *new* those that had none and bring all their vectors, with
        the time at which these are to count as embedded.
        """
        if self._moves:
            await self._move()
        for some in _slices(self._staged):
            await self._write_staged(some)
        if copied := [key for key in contents if key in new]:
            await self._copy(self._rows(contents, [(key, (new[key],)) for key in copied]))
        if len(copied) < len(contents):
            forced = self._force_before
            ends = [(key, (forced, known.get(key))) for key in contents if key not in new]
            if rows := self._rows(contents, ends):
                await self._connection.executemany(self._queries["write_chunk"], rows)
        surplus = [key for key in contents if key in known]
        if surplus:
            await self._connection.execute(
                self._queries["remove_surplus"], *_columns(surplus), numbers([len(contents[key]) for key in surplus])
            )
        if self._staged:
            await self._clean_up()

    async def _move(self) -> None:
        await self._connection.execute(
            self._queries["move_chunks"],
            *_columns([key for key, *_ in self._moves]),
            numbers([ordinal for _, ordinal, _ in self._moves]),
            numbers([place for *_, place in self._moves]),
        )

    async def _write_staged(self, some: Sequence[tuple[DocumentKey, int, ChunkRow]]) -> None:
        chunks = [chunk for *_, chunk in some]
        await self._connection.execute(
            self._queries["write_staged_chunks"],
            *_columns([key for key, *_ in some]),
            numbers([ordinal for _, ordinal, _ in some]),
            texts([chunk.text for chunk in chunks]),
            digests([chunk.hash for chunk in chunks]),
            numbers([chunk.tokens for chunk in chunks]),
        )

    async def _copy(self, rows: Sequence[Row]) -> None:
        try:
            async with ending_with(self._connection):
                await self._connection.copy_to_table(
                    "chunks",
                    schema_name=self._index,
                    source=_each(pieces(rows, self._vector_type)),
                    columns=COLUMNS,
                    format="binary",
                )
        except (ValueError, struct.error) as error:
            raise RowRejected(f"A value can not be sent to PostgreSQL: {error}", sqlstate="22000") from error

    def _rows(
        self, contents: Contents, ends: Sequence[tuple[DocumentKey, tuple[object, ...]]]
    ) -> list[tuple[Any, ...]]:
        """Return a row for each chunk that brings its vector, of the documents of *ends*, with what rows end with."""
        vectors = [chunk.vector for key, _ in ends for chunk in contents[key] if chunk.vector is not None]
        fresh = iter(stored_form(vectors, self._vector_type))
        return [
            (*key, ordinal, chunk.text, chunk.hash, chunk.tokens, next(fresh), *end)
            for key, end in ends
            for ordinal, chunk in enumerate(contents[key])
            if chunk.vector is not None
        ]

    async def _clean_up(self) -> None:
        """Remove what was staged, and let the documents say how old their oldest chunk is."""
        used = sorted({chunk.hash for _, _, chunk in self._staged})
        for some in _slices(used):
            await self._connection.execute(self._queries["drop_staged"], digests(some))
        documents = sorted({key for key, *_ in self._staged})
        await self._connection.execute(self._queries["settle_embedded_at"], *_columns(documents))


async def stored_ordinals(
    connection: Connection, queries: Mapping[str, str], keys: Sequence[DocumentKey], force_before: datetime | None
) -> dict[DocumentKey, dict[bytes, list[int]]]:
    """Return, for each document with chunks, the places of each chunk hash; none embedded before *force_before*."""
    stored: dict[DocumentKey, dict[bytes, list[int]]] = {}
    rows = await connection.fetch(queries["stored_hashes"], *_columns(keys), force_before)
    for tenant, document_id, ordinal, digest in rows:
        stored.setdefault((tenant, document_id), {}).setdefault(digest, []).append(ordinal)
    return stored


async def _each(items: Iterator[bytes]) -> AsyncIterator[bytes]:
    for item in items:
        yield item


def _columns(keys: Sequence[DocumentKey]) -> tuple[str, str]:
    return texts([key[0] for key in keys]), texts([key[1] for key in keys])


def _slices(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    return (items[start : start + _AT_ONCE] for start in range(0, len(items), _AT_ONCE))
