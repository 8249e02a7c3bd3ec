"""``headrace reconcile``: does the index hold what the topic says?"""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from compose.cli.console import one_line, print_table, readable, stderr, stdout
from compose.cli.errors import FAILED, INTERRUPTED
from compose.cli.options import configured
from compose.reconciling import LISTED, WORDS, Line, Summary, detail, differences, line, reconciliation, summary
from consumers.core.reconciling import DIFFERENCES, REPAIRABLE, Finding
from consumers.reconcile import Account, Reconciliation, Tally
from schemas.documents import DEFAULT_TENANT
from schemas.errors import ConfigurationError
from schemas.settings import Settings

TERMINAL_EVERY_S, PLAIN_EVERY_S = 0.1, 5.0

List = Annotated[bool, typer.Option("--list", help="Also a line for each document that is not right.")]
Json = Annotated[bool, typer.Option("--json", help="Print lines of JSON: one a document that is not right, then all.")]
Repair = Annotated[bool, typer.Option("--repair", help="Publish again what is missing, stale or differs.")]
DeleteOrphans = Annotated[bool, typer.Option("--delete-orphans", help="With --repair: publish deletions of orphans.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="With --repair: say what would be published, and end.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Rate = Annotated[float | None, typer.Option(min=0.01, metavar="N", help="Publish at most so many a second.")]


async def reconcile(
    *,
    listed: List = False,
    repair: Repair = False,
    delete_orphans: DeleteOrphans = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    rate: Rate = None,
    as_json: Json = False,
) -> None:
    """Compare the latest record of each document with the index.

    The whole topic is read, as the worker would read it, and put beside one snapshot of the index; workers may go on
    meanwhile. What the group has not come to yet is no difference, and neither is what the topic has lost to
    retention. Exit code: 0 if nothing differs, 1 if something does, 2 for wrong usage or configuration.

    With --repair, the records of documents that are missing, stale or different are published again with their origin,
    as `dlq replay` does: what came since stays. Only what is missing is embedded. Dead letters are left to
    `headrace dlq replay`, and orphans stay unless --delete-orphans is given. The exit code is then 0 if all that
    differs was published.

    Examples:
        headrace reconcile
        headrace reconcile --list
        headrace reconcile --json | jq -r 'select(.finding == "missing").id'
        headrace reconcile --repair --rate 50 --yes
    """
    _see_that_it_makes_sense(repair=repair, only_with_repair={"--delete-orphans": delete_orphans, "--dry-run": dry_run})
    if repair and not (dry_run or yes or (sys.stdin.isatty() and sys.stderr.isatty())):
        raise ConfigurationError("nobody is there to be asked: say --yes, or look first without --repair")
    settings = configured("store.dsn").settings
    async with await reconciliation(settings, repairs=repair) as run:
        account = await _looked(run)
        await _tell(settings, run, account, listed=listed, as_json=as_json)
        left = differences(account)
        if repair and not dry_run:
            left -= await _repaired(run, account, yes=yes, orphans=delete_orphans, rate=rate, as_json=as_json)
        elif repair:
            stderr().print(f"{_of(account, orphans=delete_orphans):,} records would be published")
        elif not as_json and (wanted := _of(account, orphans=False)):
            stderr().print(f"`headrace reconcile --repair` publishes {wanted:,} records again")
    if left:
        raise typer.Exit(FAILED)


def _see_that_it_makes_sense(*, repair: bool, only_with_repair: dict[str, bool]) -> None:
    for option, given in only_with_repair.items():
        if given and not repair:
            raise ConfigurationError(f"{option} says nothing without --repair")


async def _looked(run: Reconciliation) -> Account:
    """Look, with the progress on standard error; leave through ``typer.Exit`` where it was interrupted."""
    with _interruptible(run):
        async with _progress(run.tally, stderr()):
            account = await run.look()
    if account is None:
        typer.echo("interrupted: nothing can be said of a topic that was read in part", err=True)
        raise typer.Exit(INTERRUPTED)
    return account


async def _tell(settings: Settings, run: Reconciliation, account: Account, *, listed: bool, as_json: bool) -> None:
    if as_json or listed:
        async with aclosing(run.found()) as pages:
            async for page in pages:
                _print_page([line(finding, pair) for finding, pair in page if finding in LISTED], as_json=as_json)
    told = summary(settings, account, run.tally)
    if as_json:
        _print_line({"summary": told})
    else:
        _print_summary(told, stdout())


def _print_page(lines: list[Line], *, as_json: bool) -> None:
    for told in lines:
        if as_json:
            _print_line(told)
        else:
            whose = "" if told.tenant == DEFAULT_TENANT else f" of {told.tenant}"
            name = readable(one_line(told.id))
            stdout().print(f"{told.finding.value:<13} {name}{whose}: {readable(detail(told))}", soft_wrap=True)


def _print_line(value: object) -> None:
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")


def _print_summary(told: Summary, console: Console) -> None:
    odd = f", {told.undecodable:,} of them no documents" if told.undecodable else ""
    console.print(
        f"{readable(told.topic)}: {told.documents:,} documents and {told.deletions:,} deleted ones "
        f"in {told.records:,} records{odd}"
    )
    console.print(f"{told.index}: {told.live:,} documents, compared in {told.seconds:.1f} s")
    rows = [
        (finding.value, f"{told.findings[finding.value]:,}", words)
        for finding, words in WORDS.items()
        if told.findings[finding.value] or finding in DIFFERENCES
    ]
    if told.wrong_model:
        words = "vectors of another model or chunking than the settings say: `headrace check`"
        rows.append(("wrong-model", f"{told.wrong_model:,}", words))
    console.print()
    print_table(console, ("what", "documents", ""), rows, "documents")


async def _repaired(
    run: Reconciliation, account: Account, *, yes: bool, orphans: bool, rate: float | None, as_json: bool
) -> int:
    """Repair, once that is agreed to; return how many differences were dealt with."""
    wanted = _of(account, orphans=orphans)
    if not wanted:
        return 0
    if not yes and not typer.confirm(f"Publish {wanted:,} records?", default=False, err=True):
        raise typer.Exit(FAILED)
    run.tally.total, run.tally.looked_at = wanted, 0
    try:
        with _interruptible(run):
            async with _progress(run.tally, stderr()):
                await run.repair(orphans=orphans, rate=rate)
    finally:
        _print_repair(run.tally, as_json=as_json)
    if run.tally.interrupted:
        raise typer.Exit(INTERRUPTED)
    return run.tally.done


def _print_repair(tally: Tally, *, as_json: bool) -> None:
    if as_json:
        _print_line({"repair": tally})
        return
    console = stdout()
    interrupted = "interrupted: " if tally.interrupted else ""
    deleted = f", {tally.deleted:,} of them deletions" if tally.deleted else ""
    console.print(f"{interrupted}{tally.done:,} records published{deleted}; a worker has to take them in")
    for reason, count in tally.skipped.items():
        console.print(f"skipped {count:,}: {readable(reason)}")
    if tally.interrupted:
        console.print("run it again to go on: what was published is no difference any more once a worker took it in")


def _of(account: Account, *, orphans: bool) -> int:
    """Count what a repair would publish."""
    kinds = (*REPAIRABLE, Finding.ORPHAN) if orphans else REPAIRABLE
    return sum(account.findings[kind] for kind in kinds)


@contextmanager
def _interruptible(run: Reconciliation) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end it at the next opportunity; a second one ends at once."""
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
        task = progress.add_task(tally.doing, total=None)
        while True:
            await asyncio.sleep(TERMINAL_EVERY_S)
            progress.update(task, total=tally.total or None, completed=tally.looked_at, description=tally.doing)


async def _lines(tally: Tally, console: Console) -> None:
    while True:
        await asyncio.sleep(PLAIN_EVERY_S)
        far = f": {tally.looked_at:,} of {tally.total:,}" if tally.total else ""
        console.print(f"{tally.doing}{far}")
