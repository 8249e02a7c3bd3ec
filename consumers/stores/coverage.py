"""How does an index stand to another one of the same documents?

All of it is one statement over the narrow tables of both, in one snapshot: nothing of it is held here.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from consumers.stores.catalog import fingerprint_in
from consumers.stores.connections import Connection, Connections
from consumers.stores.errors import translated
from consumers.stores.vectors import HEADER_BYTES
from schemas import sql
from schemas.catalog import Coverage, Difference, State
from schemas.index import DocumentKey, Fingerprint
from schemas.settings import StoreSettings

FILES = ("coverage.sql",)
LONGEST_S = 3600.0


class Comparison:
    """What *index* has of the documents of *reference*."""

    def __init__(self, settings: StoreSettings, reference: str, index: str) -> None:
        self._connections = Connections(settings)
        self._reference = reference
        self._index = index

    def __repr__(self) -> str:
        return f"<Comparison of {self._index} with {self._reference}>"

    async def coverage(self, since: datetime | None = None) -> Coverage:
        """Count the documents by their state; with *since* what lacks counts only if it was there at that time."""
        with translated():
            async with self._connections.plain() as connection, connection.transaction(readonly=True):
                queries = await self._queries(connection)
                [session] = await connection.fetch(queries["reader_session"])
                rows = await connection.fetch(queries["coverage"], since, timeout=LONGEST_S)
        return Coverage(session["at"], **{row["state"]: row["documents"] for row in rows})

    async def differences(self, limit: int) -> list[Difference]:
        """Return the documents that are not the same in both, by their state and their key."""
        with translated():
            async with self._connections.plain() as connection, connection.transaction(readonly=True):
                queries = await self._queries(connection)
                await connection.execute(queries["reader_session"])
                rows = await connection.fetch(queries["differences"], limit, timeout=LONGEST_S)
        return [Difference(State(row["state"]), *list(row.values())[1:]) for row in rows]

    async def common(self, number: int) -> list[DocumentKey]:
        """Return some documents, taken at random, that both have from one record."""
        with translated():
            async with self._connections.plain() as connection, connection.transaction(readonly=True):
                queries = await self._queries(connection)
                await connection.execute(queries["reader_session"])
                rows = await connection.fetch(queries["common"], number, timeout=LONGEST_S)
        return [(row["tenant"], row["id"]) for row in rows]

    async def _queries(self, connection: Connection) -> dict[str, str]:
        of = [await fingerprint_in(connection, name) for name in (self._reference, self._index)]
        values = {"reference": sql.identifier(self._reference), "index": sql.identifier(self._index)}
        return _composed(values, *of)


async def first_vectors(settings: StoreSettings, index: str, keys: Sequence[DocumentKey]) -> dict[DocumentKey, bytes]:
    """Return the packed vector of the first chunk of each of these documents that an index has."""
    with translated():
        async with Connections(settings).plain() as connection:
            extension: Any = await connection.fetchrow(_statement("extension", "queries.sql"))
            values = {"index": sql.identifier(index), "vector_schema": sql.identifier(extension["schema"])}
            query = sql.queries(_BLANK | values, FILES)["first_vectors"]
            rows = await connection.fetch(query, [tenant for tenant, _ in keys], [id_ for _, id_ in keys])
    return {(row["tenant"], row["id"]): row["sent"][HEADER_BYTES:] for row in rows}


_BLANK = dict.fromkeys(("reference", "index", "vector_schema", "same_looks", "same_text", "same_count", "compared"), "")


def _statement(name: str, file: str) -> str:
    return sql.queries({"index": "", "vector_schema": ""}, (file,))[name]


def _composed(values: dict[str, str], reference: Fingerprint, index: Fingerprint) -> dict[str, str]:
    """Put the statements together from their parts, by how much of the contents can be compared."""
    parts = sql.queries(_BLANK | values, FILES)
    cut_alike = (reference.chunking, reference.tokenizer) == (index.chunking, index.tokenizer)
    same_text, same_count = "false", "true"
    if cut_alike:
        same_text, same_count = parts["same_text_by_chunks"], parts["same_number_of_chunks"]
    if reference == index:
        same_text = same_count = parts["same_text_by_content"]
    told = values | {"same_looks": parts["same_looks"], "same_text": same_text, "same_count": same_count}
    compared = sql.queries(_BLANK | told, FILES)["compared"]
    return sql.queries(_BLANK | told | {"compared": compared}, FILES)
