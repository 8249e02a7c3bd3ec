"""How is an order about dead letters shown, agreed to, and carried out?"""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime
from typing import NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from compose.cli.console import print_json, print_table, readable, stderr, stdout
from compose.cli.errors import FAILED, INTERRUPTED
from consumers.core.reckoning import Preview, Tally
from consumers.core.replaying import Order
from consumers.replay import Run
from consumers.stores.tombstones import Tombstones
from schemas.errors import ConfigurationError, HeadraceError, InvalidDocument
from schemas.fates import FateKind
from schemas.settings import Settings

TERMINAL_EVERY_S, PLAIN_EVERY_S = 0.1, 5.0


async def deal(settings: Settings, order: Order, *, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Carry out an order, once it is agreed to; leave through ``typer.Exit`` where not all of it was done."""
    asks = sys.stdin.isatty() and sys.stderr.isatty()
    if not (dry_run or yes or asks):
        raise ConfigurationError("nobody is there to be asked: say --yes, or look first with --dry-run")
    known, purged_before = await _purged_before(settings, order)
    run = Run(settings, order, purged_before)
    await run.prepare()
    if dry_run or not yes or order.document is not None or purged_before is not None:
        preview = await _previewed(run, order)
        if not known:
            preview.unguarded = None
        if dry_run:
            if as_json:
                print_json(preview)
            else:
                _print_preview(preview, stdout())
            return
        if not yes and not _agreed(preview):
            raise typer.Exit(FAILED)
        if yes:
            _warn(preview, stderr())
    try:
        with _interruptible(run):
            async with _progress(run.tally, stderr()):
                await run.run()
    finally:
        _summarise(run.tally, as_json=as_json)
    if run.tally.interrupted:
        raise typer.Exit(INTERRUPTED)
    if run.tally.done[FateKind.SKIPPED]:
        raise typer.Exit(FAILED)


async def _purged_before(settings: Settings, order: Order) -> tuple[bool, datetime | None]:
    """Ask the index, where it matters, whether tombstones were purged; the first is False where it does not say."""
    if order.kind is not FateKind.REPLAYED or order.document is not None:
        return True, None
    try:
        async with Tombstones(settings.store) as tombstones:
            return True, await tombstones.purged_before()
    except HeadraceError as error:
        if order.again:
            stderr().print(f"the index does not say whether deleted documents were purged: {readable(str(error))}")
        return False, None


async def _previewed(run: Run, order: Order) -> Preview:
    try:
        preview = await run.preview()
    except InvalidDocument as error:
        raise ConfigurationError(f"the corrected document can not be stored either: {error.code}: {error}") from None
    if order.document is not None and not preview.fates:
        _nothing_to_edit(preview)
    return preview


def _nothing_to_edit(preview: Preview) -> NoReturn:
    if preview.before:
        raise ConfigurationError("this dead letter was dealt with before: add --again to replace it nevertheless")
    raise ConfigurationError("there is no dead letter at this place: `headrace dlq list` shows what is there")


def _agreed(preview: Preview) -> bool:
    """Show what would be done, and ask; the answer of the command itself stays alone on standard output."""
    _print_preview(preview, stderr())
    if not preview.fates:
        raise typer.Exit
    return typer.confirm("Do it?", default=False, err=True)


def _print_preview(preview: Preview, console: Console) -> None:
    would = ", ".join(f"{count:,} would be {kind.value}" for kind, count in preview.fates.items())
    console.print(would or "no dead letters to deal with")
    if preview.topics:
        console.print(f"to {', '.join(f'{readable(topic)} ({count:,})' for topic, count in preview.topics.items())}")
    if preview.before:
        console.print(f"{preview.before:,} more were dealt with before (--again takes them as well)")
    _print_reasons(console, preview.skipped)
    _warn(preview, console)
    if preview.codes:
        rows = [
            (readable(code), f"{count:,}", f"{preview.passing[code]:,}", f"{preview.failing[code]:,}")
            for code, count in preview.codes.most_common()
        ]
        console.print()
        print_table(console, ("code", "count", "decoding", "invalid"), rows, "count decoding invalid")


def _warn(preview: Preview, console: Console) -> None:
    if preview.unguarded:
        console.print(
            f"warning: {preview.unguarded:,} of them may be older than deletions that were purged: "
            "replayed, such a document is there again",
            style="yellow",
        )


def _print_reasons(console: Console, skipped: Mapping[str, int]) -> None:
    for reason, count in skipped.items():
        console.print(f"skipped {count:,}: {readable(reason)}")


@contextmanager
def _interruptible(run: Run) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end it behind the group that is on its way; a second one ends at once."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)

    def stop() -> None:
        run.stop()
        for number in numbers:
            loop.remove_signal_handler(number)

    for number in numbers:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


@asynccontextmanager
async def _progress(tally: Tally, console: Console) -> AsyncIterator[None]:
    """Show how far it has come: a bar on a terminal, now and then a line elsewhere."""
    showing = asyncio.create_task(_bar(tally, console) if console.is_terminal else _lines(tally, console))
    try:
        yield
    finally:
        showing.cancel()
        with suppress(asyncio.CancelledError):
            await showing


async def _bar(tally: Tally, console: Console) -> None:
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(_words(tally), total=tally.total)
        while True:
            await asyncio.sleep(TERMINAL_EVERY_S)
            progress.update(task, completed=tally.looked_at, description=_words(tally))


async def _lines(tally: Tally, console: Console) -> None:
    while True:
        await asyncio.sleep(PLAIN_EVERY_S)
        console.print(f"{_words(tally)}, {tally.looked_at:,} of {tally.total:,} records looked at")


def _words(tally: Tally) -> str:
    done = [f"{count:,} {kind.value}" for kind in FateKind if (count := tally.done[kind])]
    return ", ".join(done) or "nothing done"


def _summarise(tally: Tally, *, as_json: bool) -> None:
    if as_json:
        print_json(tally)
        return
    console = stdout()
    console.print(f"{'interrupted: ' if tally.interrupted else ''}{_words(tally)}, {tally.seconds:.1f} s")
    if tally.before:
        console.print(f"{tally.before:,} left out, since they were dealt with before")
    if tally.meanwhile:
        console.print(
            f"{tally.meanwhile:,} of them were dealt with by another run at the same time: "
            "the worker takes the second copy as the redelivery of the first"
        )
    if tally.interrupted:
        console.print("run it again to go on: what is done will be left out")
    _print_reasons(console, tally.skipped)
