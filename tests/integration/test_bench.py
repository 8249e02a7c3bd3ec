"""``headrace bench`` measures everything it says it measures, and leaves nothing behind."""

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from compose.bench.results import BARE, WORKER
from compose.cli.errors import DONE, INTERRUPTED, WRONG
from tests.integration.commands import Commands
from tests.stack.readiness import get_ready

DOCUMENTS = 300
WITHIN_S = 120.0
SMALL = ("--documents", str(DOCUMENTS), "--dimensions", "24", "--characters", "200", "--latency-ms", "5", "--json")


@pytest.fixture
def temporary() -> Iterator[Path]:
    """Give a folder for everything temporary; it has to be empty again."""
    with tempfile.TemporaryDirectory(prefix="b-") as folder:
        yield Path(folder)


@asynccontextmanager
async def bench(temporary: Path, *words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    get_ready("embedded", print)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "compose", "bench", *(words or SMALL)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_run_measures_each_stage_and_both_programs_and_leaves_no_folder(temporary: Path) -> None:
    async with asyncio.timeout(WITHIN_S), bench(temporary) as process:
        out, err = await process.communicate()
    assert process.returncode == DONE, err.decode()
    report: dict[str, Any] = json.loads(out)
    assert report["plan"]["case"]["documents"] == DOCUMENTS
    assert [(stage["name"], stage["latency_ms"]) for stage in report["stages"]] == [
        ("drain", None),
        ("decode", None),
        ("embed", 5),
        ("unpack", None),
        ("write", None),
    ]
    assert {stage["documents"] for stage in report["stages"] if stage["name"] != "unpack"} == {DOCUMENTS}
    assert [run["program"] for run in report["runs"]] == [BARE, WORKER]
    for run in report["runs"]:
        assert run["case"]["documents"] == DOCUMENTS
        assert run["calls"] >= 2
        assert run["documents_per_s"] == pytest.approx(DOCUMENTS / run["seconds"], rel=0.01)
        assert run["cpu"]["program"] > 0
        assert run["cpu"]["database"] > 0
        assert 20 < run["peak_mb"] < 500
    [ratio] = report["ratios"]
    rates = {run["program"]: run["documents_per_s"] for run in report["medians"]}
    assert ratio["rate"] == pytest.approx(rates[WORKER] / rates[BARE], abs=0.001)
    assert set(ratio["of_stages"]) == {"drain", "decode", "embed", "unpack", "write"}
    assert os.listdir(temporary) == []  # noqa: PTH208 - pathlib's way counts as blocking, this one does not


async def test_ctrl_c_in_the_middle_of_a_run_stops_everything_and_leaves_no_folder(temporary: Path) -> None:
    async with asyncio.timeout(WITHIN_S), bench(temporary) as process:
        assert process.stderr is not None
        async for line in process.stderr:
            if line.startswith(b"bare loop") and line.endswith(b"running\n"):
                break
        process.send_signal(signal.SIGINT)
        out, _ = await process.communicate()
    assert process.returncode == INTERRUPTED
    assert out == b""
    assert os.listdir(temporary) == []  # noqa: PTH208 - pathlib's way counts as blocking, this one does not


async def test_on_servers_of_others_it_measures_every_workload_and_removes_all_that_it_made(
    temporary: Path, folder: Path, commands: Commands
) -> None:
    assert (await commands.run("init")).code == DONE
    before = await there(commands)
    words = ("--workload", "unchanged", "--workload", "changed", "--workload", "quiet", "--stacks", f"{folder}/stacks")
    async with asyncio.timeout(WITHIN_S), bench(temporary, *SMALL, *of(commands), *words) as process:
        out, err = await process.communicate()
    assert process.returncode == DONE, err.decode()
    assert await there(commands) == before
    report: dict[str, Any] = json.loads(out)
    unchanged, changed, quiet = report["runs"]
    assert unchanged["calls"] == 0
    assert changed["calls"] >= 1
    assert 0 < quiet["latency"]["p50_ms"] <= quiet["seconds"] * 1000 + 1
    assert {run["cpu"]["database"] for run in report["runs"]} == {None}
    assert spent_in(folder / "stacks") == pytest.approx(report["profile"]["us"] * DOCUMENTS, rel=0.05)
    assert {"write", "decode", "event loop, sockets and the protocols in C"} & {
        step["name"] for step in report["profile"]["steps"]
    }


async def test_a_run_that_is_interrupted_removes_what_it_made_on_servers_of_others(
    temporary: Path, commands: Commands
) -> None:
    before = await there(commands)
    async with asyncio.timeout(WITHIN_S), bench(temporary, *SMALL, *of(commands)) as process:
        assert process.stderr is not None
        async for line in process.stderr:
            if line.startswith(b"bare loop") and line.endswith(b"running\n"):
                break
        process.send_signal(signal.SIGTERM)
        await process.communicate()
    assert process.returncode == INTERRUPTED
    assert await there(commands) == before


async def test_documents_that_arrive_at_a_rate_become_visible_soon(temporary: Path) -> None:
    words = ("--rate", "100", "--documents", "100", "--dimensions", "24", "--latency-ms", "5", "--json")
    async with asyncio.timeout(WITHIN_S), bench(temporary, *words) as process:
        out, err = await process.communicate()
    assert process.returncode == DONE, err.decode()
    for run in json.loads(out)["runs"]:
        assert run["seconds"] == pytest.approx(1.0, abs=5.0)
        assert 5 < run["latency"]["p50_ms"] <= run["latency"]["p95_ms"] <= run["latency"]["p99_ms"] < 10_000


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--rate", "5", "--workload", "updates"), "leave out --workload"),
        (("--hnsw", "--dimensions", "2001"), "at most 2,000 dimensions"),
        (("--base-url", "http://127.0.0.1:1/v1", "--latency-ms", "5"), "leave out --base-url"),
        (("--write", "page.md", "--rate", "5"), "a set of its own"),
        (("--sizes", "endless"), "--sizes"),
    ],
)
async def test_what_can_not_be_measured_is_refused_in_words(temporary: Path, words: tuple[str, ...], said: str) -> None:
    async with asyncio.timeout(WITHIN_S), bench(temporary, *words) as process:
        out, err = await process.communicate()
    assert (process.returncode, out) == (WRONG, b"")
    assert said in err.decode()


def spent_in(stacks: Path) -> int:
    """Return the microseconds of all stacks."""
    return sum(int(line.rpartition(" ")[2]) for line in stacks.read_text("utf-8").splitlines())


def of(commands: Commands) -> tuple[str, ...]:
    """Return the options that name the servers of a test."""
    at = commands.environ
    return ("--bootstrap-servers", at["HEADRACE_KAFKA__BOOTSTRAP_SERVERS"], "--dsn", at["HEADRACE_STORE__DSN"])


async def there(commands: Commands) -> tuple[set[str], set[str]]:
    """Return the schemas of a test's database, and the topics that a benchmark would leave."""
    admin = AIOKafkaAdminClient(bootstrap_servers=commands.environ["HEADRACE_KAFKA__BOOTSTRAP_SERVERS"])
    await admin.start()
    try:
        topics = {name for name in await admin.list_topics() if name.startswith("bench_")}
    finally:
        await admin.close()
    connection = await asyncpg.connect(commands.environ["HEADRACE_STORE__DSN"])
    try:
        schemas = {name for (name,) in await connection.fetch("SELECT nspname FROM pg_namespace")}
    finally:
        await connection.close()
    return schemas, topics
