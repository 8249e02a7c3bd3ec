"""The database is put back to an earlier time, while Kafka remembers later commits.

Invariant: the worker rewinds to what the database knows; nothing is lost, and what the database still holds is neither
paid for nor written again.
Fault: a copy of the database is made, work goes on and is committed, and then the copy takes the database's place;
once a copy made by the server, once one of its files, and once under a worker that goes on running.
"""

import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from compose.embedded.endpoints import Endpoints
from compose.embedded.stack import Stack
from schemas.documents import Deletion
from tests.scenarios.faults import report
from tests.scenarios.harness import Harness, document

BEFORE, MORE, CHANGED = 1_000, 10_000, 100


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


async def test_a_worker_that_runs_notices_that_its_database_was_put_back(
    harness: Harness, stack: Endpoints, database: str
) -> None:
    name = urlsplit(database).path[1:]
    server = await asyncpg.connect(stack.dsn)
    worker = harness.worker()
    await harness.publish(map(document, range(40)))
    await harness.wait_until(harness.caught_up, "the first documents are committed")
    await server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    await server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
    await server.execute(f"CREATE DATABASE {name}_copy TEMPLATE {name}")
    await server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

    await harness.publish([*(document(n, "changed") for n in range(10)), *map(document, range(40, 60))])
    await harness.wait_until(harness.caught_up, "what came since is committed")
    await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await server.execute(f"ALTER DATABASE {name}_copy RENAME TO {name}")
    await server.close()

    harness.mended()
    await harness.publish(document(n, "last") for n in range(60, 80))
    await harness.wait_until(harness.everything_is_stored, "all of it is stored again")
    await harness.wait_until(harness.caught_up, "lag is 0")
    await harness.assert_nothing_lost()
    assert len(await harness.provider.paid_more_than(1)) == 10 + 20
    assert await worker.stop() == 0


async def test_a_server_put_back_from_its_files_pays_for_what_came_since_alone(
    tmp_path_factory: pytest.TempPathFactory, folder: Path
) -> None:
    async with Stack(tmp_path_factory.mktemp("stack"), parts=frozenset({"kafka", "postgres"})) as stack:
        at = stack.endpoints
        async with Harness(at.bootstrap_servers, at.dsn, "", folder) as harness:
            await _put_back_from_files(harness, stack)
            await report("test_database_restored", harness)


async def _put_back_from_files(harness: Harness, stack: Stack) -> None:
    data, copy = stack.postgres._data, stack.postgres.folder / "copy"
    await harness.publish(document(n) for n in range(BEFORE))
    await harness.catch_up(provider__max_items=256)
    rows = await harness.index.chunk_places()
    await stack.postgres.stop()
    _copy(data, copy)
    await stack.postgres.start()

    await harness.publish(document(n) for n in range(BEFORE, BEFORE + MORE))
    await harness.publish([*(document(n, "changed") for n in range(CHANGED)), Deletion("default", "doc-999")])
    await harness.catch_up(provider__max_items=256)
    await harness.assert_nothing_lost()
    assert (await harness.provider.stats()).paid == BEFORE + MORE + CHANGED

    await stack.postgres.stop()
    shutil.rmtree(data)
    copy.rename(data)
    await stack.postgres.start()
    assert await harness.index.chunk_places() == rows

    harness.mended()
    await harness.catch_up(provider__max_items=256)
    await harness.assert_nothing_lost()
    assert len(await harness.embedded_again()) == MORE + CHANGED
    assert (await harness.provider.stats()).paid == BEFORE + 2 * (MORE + CHANGED)
    now = await harness.index.chunk_places()
    kept = {key: place for key, place in rows.items() if key[1] not in {f"doc-{n}" for n in [*range(CHANGED), 999]}}
    assert {key: now[key] for key in kept} == kept


def _copy(data: Path, to: Path) -> None:
    """Copy the files of a server that is stopped, with their owners."""
    subprocess.run(["cp", "-a", str(data), str(to)], check=True, timeout=60)  # noqa: S603, S607 - our own paths
