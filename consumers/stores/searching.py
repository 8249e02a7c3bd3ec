"""Which chunks are nearest?

An index on the vectors looks at so many candidates and then gives up, however few of them passed a filter. What it did
not find is looked for among all rows, so that a search answers with as many as were asked for wherever they exist.
"""

from collections.abc import Sequence

import msgspec

from consumers.stores.connections import Connection
from consumers.stores.nearness import is_halved, operand
from schemas import sql
from schemas.index import Hit


class Wanted(msgspec.Struct, frozen=True):
    """What is looked for: at most ``limit`` chunks of a tenant whose document's metadata contains one of ``where``.

    ``ef`` is how many candidates an HNSW index keeps, ``exact`` does without any index on the vectors.
    """

    limit: int
    tenant: str | None = None
    where: Sequence[str] = ()
    ef: int | None = None
    exact: bool = False


class Place(msgspec.Struct, frozen=True):
    """Where to look: the index and the schema of pgvector, both quoted, and what its vectors are."""

    index: str
    vector_schema: str
    vector_type: str
    dimensions: int

    def queries(self, *, exact: bool) -> dict[str, str]:
        """Return the statements; those that are not *exact* compare what an index on the vectors holds."""
        of = (self.vector_type, self.dimensions, self.vector_schema)
        near = "c.embedding" if exact else operand("c.embedding", *of)
        # A parameter has the type of its column, which the codec of the connection knows how to send.
        half = near != "c.embedding" and is_halved(*of[:2]) and self.vector_type == "vector"
        asked = operand("$1", *of) if half else "$1"
        values = {"index": self.index, "vector_schema": self.vector_schema, "near": near, "asked": asked}
        return sql.queries(values, ("search.sql",))


async def nearest(connection: Connection, place: Place, query: bytes, wanted: Wanted) -> list[Hit]:
    """Return the nearest chunks, nearest first, inside a transaction that ends with the search.

    *query* is packed as the column is.
    """
    asked = (query, wanted.limit, wanted.tenant, list(wanted.where) or None)
    if not wanted.exact:
        queries = place.queries(exact=False)
        await connection.execute(queries["whole_search"])
        if wanted.ef is not None:
            await connection.execute(queries["wide_search"], str(wanted.ef))
        rows = await connection.fetch(queries["search"], *asked)
        if len(rows) == wanted.limit or not await connection.fetchval(
            queries["nearly_indexed"], f"{place.index}.chunks"
        ):
            return [Hit(*row) for row in rows]
    queries = place.queries(exact=True)
    await connection.execute(queries["exact_search"])
    return [Hit(*row) for row in await connection.fetch(queries["search"], *asked)]
