"""How do candidates and changes become the arrays of a statement?"""

from collections.abc import Mapping, Sequence

from consumers.stores.connections import Connection
from schemas.index import Candidate, Change, Standing
from schemas.messages import TimestampType


def places(items: Sequence[Candidate] | Sequence[Change]) -> tuple[object, ...]:
    """Return the ten arrays that look_up takes and write_documents begins with; entry i of each is item i's."""
    origins = [item.origin for item in items]
    log_append_time = TimestampType.LOG_APPEND_TIME
    versions = [item.version for item in items]
    return (
        [item.tenant for item in items],
        [item.id for item in items],
        versions if any(version is not None for version in versions) else None,
        [origin.topic for origin in origins],
        written([origin.partition for origin in origins]),
        written([origin.offset for origin in origins]),
        written([origin.timestamp for origin in origins]),
        written([origin.timestamp_type is log_append_time for origin in origins]),
        written([item.fence_ts for item in items]),
        [item.content_hash for item in items],
    )


def written(numbers: Sequence[int]) -> str:
    """Write numbers as PostgreSQL writes an array; asyncpg takes several times longer over a list of them."""
    return "{" + ",".join(map(str, numbers)) + "}"


async def standings_of(
    connection: Connection, queries: Mapping[str, str], items: Sequence[Candidate] | Sequence[Change]
) -> list[Standing]:
    """Ask how each item stands to its row; ABSENT where there is none."""
    standings = [Standing.ABSENT] * len(items)
    for row in await connection.fetch(queries["look_up"], *places(items)):
        standings[row["n"] - 1] = Standing[row["standing"].upper()]
    return standings
