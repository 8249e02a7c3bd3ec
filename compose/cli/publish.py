"""``headrace publish``: files, folders and standard input to the source topic."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from compose.cli.errors import FAILED, INTERRUPTED
from compose.cli.options import Json, configured
from compose.publishing import Publication, Tally
from compose.reading import Format, Reading, Refusal
from schemas.errors import ConfigurationError, InvalidDocument
from schemas.rules import tenant_of

MOST_IN_JSON = 1_000
TERMINAL_EVERY_S, PLAIN_EVERY_S = 0.1, 5.0

Paths = Annotated[list[str], typer.Argument(metavar="PATH…", help="Files and folders; - is standard input.")]
Tenant = Annotated[str | None, typer.Option(metavar="NAME", help="Tenant of every document.")]
Form = Annotated[Format, typer.Option("--format", help="What the files are; by suffix if not said.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Read and check everything, publish nothing.")]


async def publish(
    paths: Paths,
    tenant: Tenant = None,
    form: Form = Format.AUTO,
    dry_run: DryRun = False,  # noqa: FBT002 - a flag
    as_json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """Publish files, folders or standard input.

    JSONL and JSON arrays hold documents: {"id", "text", "title"?, "metadata"?, "tenant"?, "version"?, "content_type"?}.
    Text and Markdown files are one document each, whose id is the path from here. What the worker could not store is
    told with its line and reason, the others are published; then the exit code is 1.

    Examples:
        headrace publish docs/
        headrace publish articles.jsonl notes.md --tenant acme
        zcat dump.jsonl.gz | headrace publish -
        headrace publish dump.json --dry-run
    """
    settings = configured().settings
    try:
        reading = Reading(form, tenant if tenant is None else tenant_of(tenant), settings.worker.max_document_bytes)
    except InvalidDocument as error:
        raise ConfigurationError(f"--tenant: {error}") from None
    console = Console(stderr=True)
    refusals: list[Refusal] = []

    def refused(refusal: Refusal) -> None:
        if len(refusals) < MOST_IN_JSON:
            refusals.append(refusal)
        console.print(f"refused {refusal}", markup=False, highlight=False, soft_wrap=True)

    publication = Publication(settings.kafka, refused, dry_run=dry_run)
    try:
        with _interruptible(publication):
            async with _progress(publication.tally, console):
                await publication.run(reading.read(paths))
    finally:
        _summarise(publication.tally, refusals, dry_run=dry_run, as_json=as_json)
    if publication.tally.interrupted:
        raise typer.Exit(INTERRUPTED)
    if publication.tally.refused:
        raise typer.Exit(FAILED)


@contextmanager
def _interruptible(publication: Publication) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the reading and wait for what was sent; a second one ends at once."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        publication.stop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


@asynccontextmanager
async def _progress(tally: Tally, console: Console) -> AsyncIterator[None]:
    """Show how far it has come: a moving line on a terminal, now and then a line elsewhere."""
    showing = asyncio.create_task(_on_terminal(tally, console) if console.is_terminal else _in_lines(tally, console))
    try:
        yield
    finally:
        showing.cancel()
        with suppress(asyncio.CancelledError):
            await showing


async def _on_terminal(tally: Tally, console: Console) -> None:
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(_words(tally))
        while True:
            await asyncio.sleep(TERMINAL_EVERY_S)
            progress.update(task, description=_words(tally))


async def _in_lines(tally: Tally, console: Console) -> None:
    while True:
        await asyncio.sleep(PLAIN_EVERY_S)
        console.print(_words(tally), markup=False, highlight=False, soft_wrap=True)


def _words(tally: Tally) -> str:
    said = [f"{tally.published:,} published", f"{tally.refused:,} refused"]
    if tally.skipped:
        said.append(f"{tally.skipped:,} files skipped")
    if tally.unacknowledged:
        said.append(f"{tally.unacknowledged:,} not acknowledged")
    return ", ".join([*said, f"{tally.size / 1_000_000:,.1f} MB"])


def _summarise(tally: Tally, refusals: list[Refusal], *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        said = asdict(tally) | {"rate": round(tally.rate, 1), "dry_run": dry_run}
        sys.stdout.write(json.dumps(said | {"refusals": [asdict(one) for one in refusals]}) + "\n")
        return
    words = _words(tally).replace("published", "could be published") if dry_run else _words(tally)
    speed = "" if dry_run else f" ({tally.rate:,.0f} documents/s)"
    typer.echo(f"{'interrupted: ' if tally.interrupted else ''}{words}, {tally.seconds:.1f} s{speed}")
