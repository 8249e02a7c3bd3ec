"""``headrace up``: the embedded stack in the foreground."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer

from compose.embedded import discovery
from compose.embedded.stack import PartFailed, Stack

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = 130

Port = Annotated[int | None, typer.Option(min=1, max=65535, show_default="a free one, then the same", metavar="PORT")]


def up(
    fresh: Annotated[bool, typer.Option("--fresh", help="Remove the data of earlier runs first.")] = False,  # noqa: FBT002 - a flag
    state: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where data is kept.", show_default="~/.local/state/headrace"),
    ] = None,
    port_kafka: Port = None,
    port_postgres: Port = None,
    port_embeddings: Port = None,
) -> None:
    """Run Kafka, PostgreSQL and an embedding server here, until Ctrl-C.

    Needs no Docker, Java or API key. The other commands find it by themselves when nothing else is configured.
    Data stays between runs.

    \b
    Examples:
      headrace up
      headrace up --fresh
      headrace up --state ./state --port-kafka 9092
    """  # noqa: D301 - the escaped character keeps the lines of the examples
    folder = state or discovery.state_folder()
    chosen = {"kafka": port_kafka, "postgres": port_postgres, "embeddings": port_embeddings}
    ports = {name: port for name, port in chosen.items() if port is not None}
    stack = Stack(folder, observe=_tell, ports=ports, fresh=fresh)
    asyncio.run(_serve(stack, named=state is not None))


def _tell(part: str, words: str) -> None:
    typer.echo(f"{part:<10} {words}", err=True)


async def _serve(stack: Stack, *, named: bool) -> None:
    """Run until a signal; raises PartFailed if a part does not start, or dies."""
    stopping = asyncio.Event()
    with _signals(stack, stopping):
        running = asyncio.create_task(_run(stack, named=named))
        asked = asyncio.create_task(stopping.wait())
        await asyncio.wait({running, asked}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if not running.done():
            typer.echo("stopping; Ctrl-C again to kill", err=True)
            running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        typer.echo("stopped; the data is kept", err=True)


async def _run(stack: Stack, *, named: bool) -> None:
    """Start, announce and watch; only a failure or a cancellation ends this."""
    async with stack:
        discovery.announce(stack.folder, stack.endpoints)
        try:
            typer.echo(_welcome(stack, named=named))
            part = await stack.failed()
            raise PartFailed(part.failure or f"{part.name} ended")
        finally:
            discovery.withdraw(stack.folder)


def _welcome(stack: Stack, *, named: bool) -> str:
    at = stack.endpoints
    find = f"in another terminal (after: export HEADRACE_STATE='{stack.folder}')" if named else "in another terminal"
    return f"""
Running, with data in {stack.folder}

  Kafka        {at.bootstrap_servers}
  PostgreSQL   {at.dsn}
  embeddings   {at.base_url}  (model {at.model}, {at.dimensions} dimensions)

Next, {find}:

  headrace init
  headrace publish README.md
  headrace run --until-caught-up
  headrace search "how do I start?"

Ctrl-C, or kill {os.getpid()}, stops everything."""


@contextmanager
def _signals(stack: Stack, stopping: asyncio.Event) -> Iterator[None]:
    """Stop in order on the first signal; on the second kill what runs and leave."""

    def asked() -> None:
        if stopping.is_set():
            stack.kill_at_once()
            discovery.withdraw(stack.folder)
            os._exit(INTERRUPTED)
        stopping.set()

    loop = asyncio.get_running_loop()
    under_nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    heard = [number for number in SIGNALS if not (under_nohup and number is signal.SIGHUP)]
    for number in heard:
        loop.add_signal_handler(number, asked)
    try:
        yield
    finally:
        for number in heard:
            loop.remove_signal_handler(number)
