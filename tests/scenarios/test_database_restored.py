"""The database is put back to an earlier time, while Kafka remembers later commits.

Invariant: the worker rewinds to what the database knows; nothing is lost, and what the database still holds is neither
paid for nor written again.
Fault: a copy of the database is made, work goes on and is committed, and then the copy takes the database's place.
"""

from urllib.parse import urlsplit

import asyncpg

from compose.embedded.endpoints import Endpoints
from schemas.documents import Deletion
from tests.scenarios.harness import Harness, document


async def test_what_the_database_has_forgotten_is_read_again(harness: Harness, stack: Endpoints, database: str) -> None:
    name = urlsplit(database).path[1:]
    server = await asyncpg.connect(stack.dsn)
    await harness.publish(map(document, range(40)))
    await harness.catch_up()
    await server.execute(f"CREATE DATABASE {name}_copy TEMPLATE {name}")
    then, rows = await harness.log.committed(), await harness.index.chunk_places()

    await harness.publish(map(document, range(40, 60)))
    await harness.publish([*(document(n, "changed") for n in range(10)), Deletion("default", "doc-39")])
    await harness.catch_up()
    await harness.assert_nothing_lost()
    paid = await harness.provider.paid_more_than(0)

    await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await server.execute(f"ALTER DATABASE {name}_copy RENAME TO {name}")
    await server.close()
    assert await harness.log.committed() != then
    assert await harness.index.chunk_places() == rows

    harness.mended()
    await harness.catch_up()
    await harness.assert_nothing_lost()
    assert len(paid) == 40 + 20 + 10
    assert len(await harness.provider.paid_more_than(1)) == 20 + 10
    now = await harness.index.chunk_places()
    kept = {key: place for key, place in rows.items() if key[1] not in {f"doc-{n}" for n in [*range(10), 39]}}
    assert {key: now[key] for key in kept} == kept
