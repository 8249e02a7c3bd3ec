"""``headrace bench``: how fast is it here?"""

import asyncio
import signal
from collections.abc import Coroutine
from contextlib import suppress
from typing import Annotated, Any

import typer
import uvloop
from rich.table import Table

from compose.bench.results import Plan, Report
from compose.bench.run import measure
from compose.cli.console import print_json, show, stderr, stdout, table_of
from compose.cli.errors import INTERRUPTED
from compose.cli.options import Json

ONE_CHUNK = 2_000
"""Characters that are surely one chunk, as the programs that are compared make of each document."""

Documents = Annotated[int, typer.Option(min=1, help="Documents in each topic.")]
Dimensions = Annotated[int, typer.Option(min=1, max=16_000, help="Length of a vector.")]
Characters = Annotated[int, typer.Option(min=20, max=ONE_CHUNK, help="Length of a text, which is one chunk.")]
Latencies = Annotated[
    list[int] | None,
    typer.Option("--latency-ms", min=0, help="Latency of the provider; can be repeated.", show_default="0 and 50"),
]
Repeat = Annotated[int, typer.Option(min=1, help="Runs of each program; the median is shown.")]
Concurrency = Annotated[int, typer.Option(min=1, help="Calls to the provider at once.")]


def bench(
    documents: Documents = 20_000,
    dimensions: Dimensions = 1536,
    characters: Characters = 900,
    latency_ms: Latencies = None,
    repeat: Repeat = 1,
    concurrency: Concurrency = 8,
    as_json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """Measure throughput against the built-in fake provider.

    On a stack of its own, which needs no Docker and leaves nothing behind: each stage alone, the least code that does
    the same work without any guarantee (the bare loop), and the worker, each on a topic of its own that becomes
    readable all at once. Every document must come to be stored once and embedded once, else there is no result.

    Examples:
        headrace bench
        headrace bench --repeat 3 --json > bench.json
        headrace bench --documents 100000 --latency-ms 20
    """
    plan = Plan(
        documents=documents,
        dimensions=dimensions,
        characters=characters,
        latencies_ms=tuple(dict.fromkeys(latency_ms or (0, 50))),
        repeat=repeat,
        concurrency=concurrency,
    )
    console = stderr()
    report = uvloop.run(_interruptible(measure(plan, console.print)))
    if report is None:
        raise typer.Exit(INTERRUPTED)
    if as_json:
        print_json(report)
    else:
        _show(report)


async def _interruptible(work: Coroutine[Any, Any, Report]) -> Report | None:
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


def _show(report: Report) -> None:
    plan = report.plan
    show(
        stdout(),
        f"{plan.documents:,} documents of {plan.characters} characters, {plan.dimensions} dimensions, "
        f"{plan.concurrency} calls at once, median of {plan.repeat}; {report.software}, Python {report.python}, "
        f"{report.cpus} CPUs shared by everything",
        "",
        _stages(report),
        "",
        _programs(report),
        "",
        _ratios(report),
    )


def _stages(report: Report) -> Table:
    rows = [(one.name, _at(one.latency_ms), f"{one.documents_per_s:,.0f}") for one in report.stages]
    return table_of(("stage alone", "provider", "documents/s"), rows, "documents/s")


def _programs(report: Report) -> Table:
    columns = ("program", "provider", "documents/s", "cpu", "broker", "database", "fake-api", "peak-mb")
    rows = [("", "", "", "s/1,000", "s/1,000", "s/1,000", "s/1,000", "")]
    for run in report.medians:
        costs = (run.cpu.program, run.cpu.broker, run.cpu.database, run.cpu.provider)
        cpu, broker, database, provider = (f"{cost:.3f}" for cost in costs)
        rate = f"{run.documents_per_s:,.0f}"
        rows.append((run.program, _at(run.latency_ms), rate, cpu, broker, database, provider, f"{run.peak_mb:,.0f}"))
    return table_of(columns, rows, " ".join(columns[2:]))


def _ratios(report: Report) -> Table:
    """The worker against the bare loop, and its rate against each stage alone."""
    columns = ("worker against", "provider", "bare-rate", "bare-cpu", *report.ratios[0].of_stages)
    rows = [
        ("ratio", _at(one.latency_ms), *(f"{ratio:.2f}" for ratio in (one.rate, one.cpu, *one.of_stages.values())))
        for one in report.ratios
    ]
    return table_of(columns, rows, " ".join(columns[2:]))


def _at(latency_ms: int | None) -> str:
    return "" if latency_ms is None else f"{latency_ms} ms"
