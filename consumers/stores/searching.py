"""Which chunks are nearest?

An index on the vectors looks at so many candidates and then gives up, however few of them passed a filter. What it did
not find is looked for among all rows, so that a search answers with as many as were asked for wherever they exist.
"""

from collections.abc import Mapping, Sequence

import msgspec

from consumers.stores.connections import Connection
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


async def nearest(
    connection: Connection, queries: Mapping[str, str], chunks: str, query: bytes, wanted: Wanted
) -> list[Hit]:
    """Return the nearest chunks, nearest first, inside a transaction that ends with the search.

    *chunks* is the name of the table, *query* is packed as its column is.
    """
    asked = (query, wanted.limit, wanted.tenant, list(wanted.where) or None)
    if not wanted.exact:
        await connection.execute(queries["whole_search"])
        if wanted.ef is not None:
            await connection.execute(queries["wide_search"], str(wanted.ef))
        rows = await connection.fetch(queries["search"], *asked)
        if len(rows) == wanted.limit or not await connection.fetchval(queries["nearly_indexed"], chunks):
            return [Hit(*row) for row in rows]
    await connection.execute(queries["exact_search"])
    return [Hit(*row) for row in await connection.fetch(queries["search"], *asked)]
