"""``headrace bench``: how fast is it here?"""

import asyncio
import os
import signal
import tempfile
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
import uvloop

from compose.bench.markdown import page_of
from compose.bench.page import measure_page
from compose.bench.results import Case, Plan, Sizes, VectorType, Workload
from compose.bench.run import measure
from compose.cli.bench_tables import show_aims, show_report
from compose.cli.console import print_json, stderr
from compose.cli.errors import INTERRUPTED
from compose.cli.options import Json
from compose.configuration import load
from schemas.errors import ConfigurationError
from schemas.settings import KafkaSettings, ProviderSettings, Settings, StoreSettings

STACKS = Path("headrace-stacks.txt")
ONE_CHUNK = 2_000
"""Characters that are surely one chunk, as the programs that are compared make of each document."""
HNSW_DIMENSIONS = {"vector": 2_000, "halfvec": 4_000}

T = TypeVar("T")

Documents = Annotated[int, typer.Option(min=1, help="Documents in each topic.")]
Dimensions = Annotated[int, typer.Option(min=1, max=16_000, help="Length of a vector.")]
Characters = Annotated[int, typer.Option(min=20, max=ONE_CHUNK, help="Length of a text, which is one chunk.")]
OfSizes = Annotated[Sizes, typer.Option("--sizes", help="Lengths of the texts; large: 5 MB each, huge: 10 MB.")]
OfType = Annotated[VectorType, typer.Option("--vector-type", help="Type of the column.")]
Workloads = Annotated[
    list[Workload] | None,
    typer.Option("--workload", help="What the index holds of them; can be repeated.", show_default="load"),
]
Rate = Annotated[
    float | None,
    typer.Option("--rate", min=0.1, help="Documents arriving in a second; all at once if unset."),
]
Latencies = Annotated[
    list[int] | None,
    typer.Option("--latency-ms", min=0, help="Latency of the fake provider; can be repeated.", show_default="0 and 50"),
]
ErrorRate = Annotated[
    float, typer.Option("--error-rate", min=0.0, max=0.9, help="Part of the worker's calls that fail.")
]
Repeat = Annotated[
    int | None,
    typer.Option(min=1, help="Runs of each program; the median is shown.", show_default="1, with --write 3"),
]
Concurrency = Annotated[int, typer.Option(min=1, help="Calls to the provider at once.")]
Workers = Annotated[int, typer.Option(min=1, help="Processes of the worker.")]
Hnsw = Annotated[bool, typer.Option("--hnsw", help="Write into tables with a vector index.")]
Rows = Annotated[int, typer.Option(min=0, help="Rows of other documents that the tables hold before.")]
Profiled = Annotated[bool, typer.Option("--profile", help="Look at one more run from inside: where does CPU time go?")]
Stacks = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Where a profile's stacks go, for speedscope or a flame graph.",
        show_default=f"{STACKS}, with --profile",
    ),
]
Write = Annotated[
    Path | None, typer.Option("--write", metavar="FILE", help="Measure all of docs/performance.md, and write it.")
]
Brokers = Annotated[str | None, typer.Option("--bootstrap-servers", metavar="HOST:PORT", help="Kafka of your own.")]
Dsn = Annotated[str | None, typer.Option("--dsn", metavar="URL", help="PostgreSQL of your own.")]
BaseUrl = Annotated[str | None, typer.Option("--base-url", metavar="URL", help="An embedding API of your own.")]


def bench(  # noqa: PLR0913 - an option each
    *,
    documents: Documents = 20_000,
    dimensions: Dimensions = 1536,
    characters: Characters = 900,
    sizes: OfSizes = "fixed",
    vector_type: OfType = "vector",
    workload: Workloads = None,
    rate: Rate = None,
    latency_ms: Latencies = None,
    error_rate: ErrorRate = 0.0,
    concurrency: Concurrency = 8,
    workers: Workers = 1,
    hnsw: Hnsw = False,
    rows: Rows = 0,
    repeat: Repeat = None,
    bootstrap_servers: Brokers = None,
    dsn: Dsn = None,
    base_url: BaseUrl = None,
    profile: Profiled = False,
    stacks: Stacks = None,
    write: Write = None,
    as_json: Json = False,
) -> None:
    """Measure throughput and latency against a fake provider, beside a bare loop.

    On a stack of its own, which needs no Docker and leaves nothing behind: each stage alone, the least code that does
    the same work without any guarantee (the bare loop), and the worker, each on a topic of its own that becomes
    readable all at once. Every document must come to be stored once and embedded once, else there is no result.

    On servers of your own, names of topics, groups and schemas begin with bench_ and are removed afterwards. Keys,
    passwords and the model come from headrace.toml and HEADRACE_ variables. A provider of your own sends a bill.

    Examples:
        headrace bench
        headrace bench --repeat 3 --json > bench.json
        headrace bench --workload unchanged --workload updates
        headrace bench --rate 100 --documents 2000 --latency-ms 20
        headrace bench --profile
        headrace bench --dsn postgresql://me@db/test --bootstrap-servers kafka:9092
        headrace bench --write docs/performance.md
    """
    if write is not None:
        if any((bootstrap_servers, dsn, base_url, workload, rate, latency_ms)):
            raise ConfigurationError(
                "--write measures a set of its own: give --documents, --dimensions and --repeat alone"
            )
        _write(write, documents, dimensions, repeat or 3, stacks, as_json=as_json)
        return
    plan = Plan(
        case=Case(
            documents=documents,
            dimensions=dimensions,
            sizes=sizes,
            characters=characters,
            vector_type=vector_type,
            error_rate=error_rate,
            concurrency=concurrency,
            workers=workers,
            hnsw=hnsw,
            rows=rows,
            rate=rate,
        ),
        latencies_ms=tuple(dict.fromkeys(latency_ms or (0, 50))) if base_url is None else (None,),
        workloads=tuple(dict.fromkeys(workload or (Workload.LOAD,))),
        repeat=repeat or 1,
    )
    _see_that_it_can_be(plan, fake=base_url is None or not (latency_ms or error_rate))
    base = _servers(bootstrap_servers, dsn, base_url)
    samples = (stacks or STACKS).absolute() if profile or stacks else None
    report = _run(measure(plan, stderr().print, base=base, samples=samples))
    print_json(report) if as_json else show_report(report)
    if samples is not None:
        stderr().print(f"the stacks are in {samples}: open them at speedscope.app, or with flamegraph.pl")


def _write(file: Path, documents: int, dimensions: int, repeat: int, stacks: Path | None, *, as_json: bool) -> None:
    """Measure what docs/performance.md shows, and write it."""
    with tempfile.TemporaryDirectory(prefix="headrace-") as folder:
        samples = stacks.absolute() if stacks else Path(folder) / "stacks.txt"
        page = _run(measure_page(documents, dimensions, repeat, samples, stderr().print))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(page_of(page), encoding="utf-8")
    print_json(page) if as_json else show_aims(page)


def _see_that_it_can_be(plan: Plan, *, fake: bool) -> None:
    """Refuse what can not be measured. Raises ConfigurationError."""
    case = plan.case
    if not fake:
        raise ConfigurationError("--latency-ms and --error-rate are told to the fake provider: leave out --base-url")
    if case.rate is not None and plan.workloads != (Workload.LOAD,):
        raise ConfigurationError("--rate is for documents that arrive one by one: leave out --workload")
    if case.hnsw and case.dimensions > HNSW_DIMENSIONS[case.vector_type]:
        most = HNSW_DIMENSIONS[case.vector_type]
        raise ConfigurationError(f"--hnsw: an index over {case.vector_type} takes at most {most:,} dimensions")


def _servers(bootstrap_servers: str | None, dsn: str | None, base_url: str | None) -> Settings | None:
    """Return the settings of the servers that were named; what was not named stays ours, whatever a file says of it."""
    named = {"kafka.bootstrap_servers": bootstrap_servers, "store.dsn": dsn, "provider.base_url": base_url}
    if not any(named.values()):
        return None
    found = load(None, os.environ, {name: value for name, value in named.items() if value}).settings
    return Settings(
        kafka=found.kafka if bootstrap_servers else KafkaSettings(bootstrap_servers=""),
        provider=found.provider if base_url else ProviderSettings(),
        store=found.store if dsn else StoreSettings(),
    )


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end; SIGINT or SIGTERM end it early, with everything stopped and removed."""
    found = uvloop.run(_interruptible(work))
    if found is None:
        raise typer.Exit(INTERRUPTED)
    return found


async def _interruptible(work: Coroutine[Any, Any, T]) -> T | None:
    """Return None where SIGINT or SIGTERM has ended it; what was started is stopped first, in order."""
    task = asyncio.create_task(work)
    loop = asyncio.get_running_loop()
    stopped = False

    def stop() -> None:
        nonlocal stopped
        if not stopped:  # a second one would interrupt the cleaning up
            stopped = True
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    with suppress(asyncio.CancelledError):
        return await task
    return None
