"""``headrace demo``: all of it, in under a minute."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Annotated

import typer
import uvloop
from rich.console import Console
from rich.live import Live
from rich.padding import Padding
from rich.spinner import Spinner
from rich.text import Text

from compose.cli.console import one_line, readable, stdout, table_of
from compose.cli.search import find, print_hit
from compose.demonstration import Demonstration, Run, demonstration

Paths = Annotated[
    list[str] | None,
    typer.Argument(metavar="[PATH…]", help="Your own files and folders; the standard library's documentation if none."),
]
EVERY_S, PLAIN_EVERY_S = 0.1, 5.0


def demo(paths: Paths = None) -> None:
    """Show it all: documents from a Kafka topic, through an embedding API, into pgvector, and back as search results.

    Starts a private Kafka, PostgreSQL and embedding server, publishes the documentation of Python's own standard
    library, runs a worker until nothing is left to do, searches, and stops everything it started.

    Examples:
      headrace demo
      headrace demo ~/notes README.md
    """
    # What Kafka's client says while a new broker settles is no concern of whoever watches.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    uvloop.run(_demo(paths or []))


async def _demo(paths: list[str]) -> None:
    console = stdout()
    _end_on_sigterm()
    _say(console, "Starting Kafka, PostgreSQL and an embedding server, private to this demo")
    async with demonstration(paths, lambda part, words: _detail(console, f"{part:<10} {words}")) as shown:
        _say(console, "Creating the topics and the index")
        await shown.prepare()
        _say(console, f"Publishing {'your documents' if paths else 'the documentation of the standard library'}")
        async with _progress(console, lambda: f"{shown.published} documents"):
            await shown.publish()
        for refusal in shown.refusals:
            _detail(console, f"refused {readable(str(refusal))}")
        _detail(console, f"{shown.published} documents, and one that is broken")
        _say(console, "Running a worker until nothing is left to do")
        async with _progress(console, lambda: _so_far(shown)):
            run = await shown.work()
        _summarise(console, run)
        await _search(console, shown)
        await _dead_letter(console, shown)
    _say(console, "Everything that was started is stopped. Next: `headrace up`, or the README")


def _summarise(console: Console, run: Run) -> None:
    totals = run.totals
    rows = [
        ("documents stored", f"{run.counts.documents:,}"),
        ("chunks", f"{run.counts.chunks:,}"),
        ("documents a second", f"{totals.stored / run.seconds:,.0f}"),
        ("calls to the provider", f"{totals.calls:,}"),
        ("tokens", f"{totals.tokens:,}"),
        ("dead letters", f"{totals.dead_lettered:,}"),
        ("seconds", f"{run.seconds:.1f}"),
    ]
    table = table_of(("", "this run"), rows, "this run")
    console.print(Padding(table, (1, 0, 1, 4), expand=False))


async def _search(console: Console, shown: Demonstration) -> None:
    for query in shown.queries():
        _say(console, f'headrace search "{readable(one_line(query))}"')
        for hit in await find(shown.settings, query, limit=1):
            print_hit(console, hit)


async def _dead_letter(console: Console, shown: Demonstration) -> None:
    letter = await shown.first_dead_letter()
    if letter is None:
        return
    _say(console, "headrace dlq list")
    _detail(console, f"{letter.partition}:{letter.offset}  key {letter.key}  {letter.stage}  {letter.code}")
    _detail(console, readable(letter.message))
    console.print()


def _so_far(shown: Demonstration) -> str:
    totals = shown.tally.totals()
    return f"{totals.resolved} of {shown.published + 1} documents, {totals.texts_embedded} texts embedded"


def _say(console: Console, words: str) -> None:
    console.print(Text(words, style="bold"))


def _detail(console: Console, words: str) -> None:
    console.print(Text(f"    {words}", style="dim"))


@asynccontextmanager
async def _progress(console: Console, words: Callable[[], str]) -> AsyncIterator[None]:
    """Show how far it has come: a moving line on a terminal, now and then a plain line elsewhere."""
    showing = asyncio.create_task(_live(console, words) if console.is_terminal else _lines(console, words))
    try:
        yield
    finally:
        showing.cancel()
        with suppress(asyncio.CancelledError):
            await showing


async def _live(console: Console, words: Callable[[], str]) -> None:
    spinner = Spinner("dots")
    with Live(spinner, console=console, transient=True):
        while True:
            spinner.update(text=Text(f" {words()}"))
            await asyncio.sleep(EVERY_S)


async def _lines(console: Console, words: Callable[[], str]) -> None:
    while True:
        await asyncio.sleep(PLAIN_EVERY_S)
        _detail(console, words())


def _end_on_sigterm() -> None:
    """Let SIGTERM unwind as Ctrl-C does, so that nothing is left."""
    main = asyncio.current_task()
    if main is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, main.cancel)
