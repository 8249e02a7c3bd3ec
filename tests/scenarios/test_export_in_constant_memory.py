"""A hundred thousand vectors are exported, ten times as many as before, by a process that is ended and started again.

Invariant: the peak memory of `headrace export` does not grow with the number of rows, every row of the matrix is the
vector that its line names, and a run that goes on after SIGTERM keeps what is the same.
Fault: ten times the rows; SIGTERM in the middle.
"""

import asyncio
import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.scenarios.harness import Harness
from tests.scenarios.worker import ROOT

FEW, MANY = 10_000, 100_000
GROWTH_KB = 12 * 1024
"""Ninety thousand rows more, held in memory, would be at least 40 MB."""
WITHIN_S = 90.0
DIMENSIONS = 8

FILL = """
WITH numbers AS (
    SELECT n, 'id-' || lpad(n::text, 6, '0') AS id FROM generate_series($1::integer, $2::integer) AS n
), documents AS (
    INSERT INTO docs.documents (tenant, id, origin_topic, origin_partition, origin_offset, origin_timestamp,
        log_append_time, fence_ts, content_hash, chunk_count, metadata, embedded_at, stored_at, revision)
    SELECT 'default', id, 'raw', 0, n, n, true, n, id::bytea, 1, jsonb_build_object('n', n), now(), now(), 1
    FROM numbers
)
INSERT INTO docs.chunks (tenant, document_id, ordinal, text, hash, tokens, embedding, embedded_at)
SELECT 'default', id, 0, id, id::bytea, 1, ARRAY[n, n % 7, n % 11, n % 13, n % 17, n % 19, n % 23, 1]::vector, now()
FROM numbers
"""
# It starts the command from a process so small that what it copies of it can not be the peak.
MEASURED = (
    "import os, resource, sys\n"
    "status = os.spawnv(os.P_WAIT, sys.argv[1], sys.argv[1:])\n"
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)\n"
    "sys.exit(status)\n"
)


@dataclass(frozen=True)
class Ended:
    """How an export ended, what it said, and the most memory that it had, in KB."""

    code: int
    told: Any
    peak: int


async def start(harness: Harness, *command: str) -> asyncio.subprocess.Process:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    return await asyncio.create_subprocess_exec(
        sys.executable, *command,
        env={**kept, **harness.environ(), "PYTHONPATH": str(ROOT)},
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def measured(harness: Harness, *arguments: str) -> Ended:
    """Run an export to its end, in a process whose memory is its own."""
    whole = (sys.executable, "-m", "compose", "export", "--json", *arguments)
    return await ended(await start(harness, "-I", "-S", "-c", MEASURED, *whole))


async def ended(process: asyncio.subprocess.Process) -> Ended:
    try:
        async with asyncio.timeout(WITHIN_S):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    assert out, err.decode()
    last = (err.split() or [b""])[-1]  # behind lines that tell how far it has come
    return Ended(process.returncode, json.loads(out), int(last) if last.isdigit() else 0)


def matrix_of(folder: Path) -> "np.ndarray[Any, Any]":
    """Return the matrix, once every line has been seen to name the number of its row."""
    matrix: np.ndarray[Any, Any] = np.load(folder / "vectors.npy", mmap_mode="r")
    with (folder / "rows.jsonl").open("rb") as lines:
        numbers = np.array([json.loads(line)["metadata"]["n"] for line in lines])
    assert np.array_equal(matrix[:, 0], numbers)
    assert np.array_equal(matrix[:, 6], numbers % 23)
    return matrix


async def test_ten_times_the_rows_take_the_same_memory(harness: Harness, folder: Path) -> None:
    await harness.index.fetch(FILL, 1, FEW)
    few = await measured(harness, str(folder / "few"))
    await harness.index.fetch(FILL, FEW + 1, MANY)
    many = await measured(harness, str(folder / "many"))
    assert (few.code, few.told["rows"], many.code, many.told["rows"]) == (0, FEW, 0, MANY)
    assert many.peak - few.peak < GROWTH_KB, f"{few.peak} KB for {FEW} rows, {many.peak} KB for {MANY}"
    assert matrix_of(folder / "many").shape == (MANY, DIMENSIONS)


async def test_what_a_signal_has_ended_goes_on_where_it_was(harness: Harness, folder: Path) -> None:
    await harness.index.fetch(FILL, 1, MANY)
    lines = folder / "rows.jsonl"
    process = await start(harness, "-m", "compose", "export", "--json", str(folder / "."))

    async def has_begun() -> bool:
        return lines.exists() and lines.stat().st_size > 0

    await harness.wait_until(has_begun, "some rows are written")
    process.send_signal(signal.SIGTERM)
    stopped = await ended(process)
    assert (stopped.code, stopped.told["complete"]) == (130, False)
    written = len(lines.read_bytes().splitlines())
    assert 0 < written < MANY

    resumed = await measured(harness, str(folder), "--resume")
    assert (resumed.code, resumed.told["complete"], resumed.told["kept_rows"]) == (0, True, written)
    assert matrix_of(folder).shape == (MANY, DIMENSIONS)
