"""``headrace run``: the consumer."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Annotated

import structlog
import typer
import uvloop

from compose.cli.options import configured
from compose.configuration import Configuration
from compose.http.server import StatusServer
from compose.indexes import advice
from compose.masking import masker
from compose.memory import keep_at_hand
from compose.reporting import Reporter
from compose.service import Worker
from compose.supervisor import supervise
from consumers.telemetry import logs
from consumers.telemetry.metrics import Metrics
from consumers.telemetry.tally import Tally
from consumers.telemetry.tracing import Traces, otlp_exporter
from schemas.events import Event, Observer

NEEDED = ("provider.base_url", "provider.model", "provider.dimensions", "store.dsn")
TICK_S = 1.0
FORCED = 130
GO_ON = "headrace run --set worker.force_before="


def run(
    *,
    workers: Annotated[
        int | None, typer.Option("--workers", metavar="N", help="Processes; the same as --set worker.workers=N.", min=1)
    ] = None,
    until_caught_up: Annotated[
        bool, typer.Option("--until-caught-up", help="End once what is in the topic now is committed.")
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Embed again what was embedded before now, where its record is read again."),
    ] = False,
) -> None:
    """Take documents from Kafka to the index, until stopped.

    SIGTERM and SIGINT drain: calls already sent are finished and what is resolved is committed; a second one ends at
    once. A part that does not answer is waited for.

    What is stored is not embedded again, unless by --force: then each document that is read is, once. It does not go
    back in the topic: `headrace offsets reset --to earliest` does. An interrupted --force is gone on with by the moment
    that it names, as --set worker.force_before=TIME, which pays only for what is left.

    Examples:
      headrace run
      headrace run --workers 2
      headrace run --until-caught-up
      headrace run --force --until-caught-up
      headrace run --set provider.concurrency=16 --set http.port=0
    """
    now = datetime.now(UTC).isoformat(timespec="milliseconds") if force else None
    found = configured(*NEEDED, worker__workers=workers, worker__force_before=now)
    settings = found.settings
    if settings.worker.force_before and settings.worker.force_before.isoformat(timespec="milliseconds") == now:
        typer.echo(f"embedding again what was embedded before {now}; to go on later: {GO_ON}{now}", err=True)
    if settings.worker.workers > 1:
        raise typer.Exit(supervise(sys.argv[1:], settings))
    keep_at_hand()
    uvloop.run(work(found, until_caught_up=until_caught_up))


async def work(found: Configuration, *, until_caught_up: bool) -> None:
    """Run one worker in this process, with its status server, logs and metrics."""
    settings = found.settings
    logs.configure(settings.telemetry, masker(settings))
    tally = Tally()
    listeners: list[Observer] = [tally, logs.EventLog(settings.telemetry.log_level)]

    def observe(event: Event) -> None:
        for listener in listeners:
            listener(event)

    worker = Worker(settings, observe)
    reporter = Reporter(worker, tally, observe)
    metrics = Metrics(settings.telemetry, reporter.status, reporter.instance)
    listeners.append(metrics)
    async with AsyncExitStack() as opened:
        opened.callback(metrics.close)
        if endpoint := settings.telemetry.otlp_endpoint:
            traces = Traces(otlp_exporter(endpoint), reporter.instance)
            opened.callback(traces.close)
            listeners.append(traces)
        await opened.enter_async_context(StatusServer(settings.http, reporter.status, metrics.exposition))
        _stop_on_signals(worker.stop)
        async with asyncio.TaskGroup() as tasks:
            ticking = tasks.create_task(_tick(reporter))
            await worker.run(until_caught_up=until_caught_up)
            ticking.cancel()
        if until_caught_up and (told := await advice(settings)) is not None:
            structlog.get_logger().info(told)


async def _tick(reporter: Reporter) -> None:
    while True:
        reporter.tick()
        await asyncio.sleep(TICK_S)


def _stop_on_signals(stop: Callable[[], None]) -> None:
    """Drain on the first SIGTERM or SIGINT, end at once on the second."""
    loop = asyncio.get_running_loop()

    def first() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, os._exit, FORCED)
        stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, first)
