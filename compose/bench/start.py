"""How soon is it there? Until the help is printed, and until a worker's first commit."""

import asyncio
import sys
import time
from statistics import median

from compose.bench.programs import COMMITTED, READY_WITHIN_S, MeasurementFailed, environment
from compose.bench.results import Case
from compose.bench.run import Bench
from compose.bench.topic import publish
from compose.embedded.processes import Child, Command, own_environ
from producers.topics import ensure_topics
from schemas import sql

LOOK_EVERY_S = 0.01
FEW = 100


async def help_seconds(repeat: int) -> float:
    """Return how long `headrace --help` takes, the median of *repeat* runs after one that fills the caches."""
    took = []
    for _ in range(repeat + 1):
        began = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "compose", "--help"), stdout=asyncio.subprocess.DEVNULL, env=own_environ()
        )
        if await process.wait() != 0:
            raise MeasurementFailed(f"headrace --help ended with code {process.returncode}")
        took.append(time.monotonic() - began)
    return round(median(took[1:]), 3)


async def first_commit_seconds(bench: Bench, case: Case, repeat: int) -> float:
    """Return how long `headrace run` takes from its start to its first commit, with a few documents waiting.

    The median of *repeat* runs.
    """
    case = Case(documents=min(FEW, case.documents), dimensions=case.dimensions)
    return round(median([await _first_commit_seconds(bench, case) for _ in range(repeat)]), 2)


async def _first_commit_seconds(bench: Bench, case: Case) -> float:
    settings = bench.site.settings(case)
    query = COMMITTED.format(index=sql.identifier(settings.store.index))
    command = Command(
        (sys.executable, "-m", "compose", "run"), bench.folder, bench.folder / "start.log", environment(settings)
    )
    async with bench.site.topics(settings):
        await ensure_topics(settings)
        await publish(settings, case, bench.tell)
        async with bench.prepared(case, settings), bench.site.connection() as watcher:
            began = time.monotonic()
            child = Child(command)
            try:
                while await watcher.fetchval(query) == 0:
                    if child.returncode is not None or time.monotonic() - began > READY_WITHIN_S:
                        raise MeasurementFailed(f"headrace run committed nothing within {READY_WITHIN_S:.0f} s")
                    await asyncio.sleep(LOOK_EVERY_S)
                return time.monotonic() - began
            finally:
                child.kill()
