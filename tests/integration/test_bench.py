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

import pytest

from compose.bench.results import BARE, WORKER, Case, Cpu, Run, Stage, medians_of, ratios_of
from compose.bench.texts import documents
from compose.cli.errors import DONE, INTERRUPTED
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
        *(sys.executable, "-m", "compose", "bench", *SMALL, *words),
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


def test_documents_are_the_same_each_time_no_two_alike_and_as_long_as_asked() -> None:
    case = Case(documents=500, characters=900)
    made = list(documents(case))
    assert made == list(documents(case))
    assert len({one.text for one in made}) == len({one.id for one in made}) == 500
    assert all(890 < len(one.text) <= 900 for one in made)


def test_the_median_is_taken_of_each_number_by_program_and_latency() -> None:
    runs = [run(BARE, 0, 100.0), run(WORKER, 0, 60.0), run(BARE, 0, 300.0), run(WORKER, 0, 80.0), run(BARE, 0, 200.0)]
    bare, worker = medians_of(runs)
    assert (bare.program, bare.documents_per_s) == (BARE, 200.0)
    assert (worker.program, worker.documents_per_s) == (WORKER, 70.0)


def test_the_worker_is_compared_with_the_bare_loop_and_the_stages_of_its_own_latency() -> None:
    stages = [
        Stage(name="write", documents=1, documents_per_s=50.0),
        Stage(name="embed", documents=1, documents_per_s=20.0, latency_ms=9),
        Stage(name="embed", documents=1, documents_per_s=40.0, latency_ms=7),
    ]
    [ratio] = ratios_of([run(BARE, 7, 20.0, cpu=0.1), run(WORKER, 7, 10.0, cpu=0.3)], stages)
    assert (ratio.rate, ratio.cpu) == (0.5, 3.0)
    assert ratio.of_stages == {"write": 0.2, "embed": 0.25}


def run(program: str, latency_ms: int, rate: float, *, cpu: float = 0.1) -> Run:
    return Run(
        program=program,
        case=Case(latency_ms=latency_ms),
        calls=1,
        seconds=1.0,
        documents_per_s=rate,
        mb_per_s=1.0,
        cpu=Cpu(program=cpu, broker=0.1, database=0.1, provider=0.1),
        peak_mb=1.0,
        fifth_mb=1.0,
    )
