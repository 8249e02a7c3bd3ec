"""``headrace offsets reset|undo``: to other offsets, and back."""

import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from compose.cli.console import print_json, print_table, stderr, stdout
from compose.cli.options import Json, configured
from compose.estimating import Estimate, estimate
from compose.offsets import GroupOffsets
from compose.resets import Done, Plan, plan_reset, plan_undo, reset, undo_reset
from consumers.core.resetting import FORMS, Target, read_file, read_target
from schemas.errors import ConfigurationError
from schemas.settings import Settings

WHERE = Annotated[str, typer.Option("--to", metavar="TARGET", help=f"Where to: {FORMS}.")]
PARTITIONS = Annotated[
    list[int] | None, typer.Option("--partition", metavar="N", help="Only this partition; can be repeated.")
]
EXECUTE = Annotated[bool, typer.Option("--execute", help="Do it; without it nothing is changed.")]
ORCHESTRATE = Annotated[
    bool, typer.Option("--orchestrate", help="Send our own workers out of the group for as long as it takes.")
]
UNDO_FILE = Annotated[
    Path | None, typer.Option("--undo-file", metavar="FILE", help="Where to keep what it was before.")
]
FILE = Annotated[Path | None, typer.Argument(metavar="[FILE]", help="The newest of this group if not given.")]


class Answer(msgspec.Struct, frozen=True):
    """What a program reads; ``file`` is None and ``executed`` false in a dry run."""

    executed: bool
    plan: Plan
    estimate: Estimate | None = None
    file: str | None = None


async def reset_offsets(
    *,
    to: WHERE,
    partition: PARTITIONS = None,
    execute: EXECUTE = False,
    orchestrate: ORCHESTRATE = False,
    undo_file: UNDO_FILE = None,
    as_json: Json = False,
) -> None:
    """Let the group read again, or skip. A dry run, unless --execute is given.

    Reading again costs nothing where nothing has changed: the dry run reads a sample, and says what would. A group
    with members is refused; --orchestrate lets headrace's own workers finish what they have, leave the group, and join
    again behind the reset. What it was before is written to a file first: `headrace offsets undo` puts it back.

    A time is ISO 8601, UTC where it names no zone; 2h or 3d is so long ago; a file is what `headrace offsets export`
    or kafka-consumer-groups writes.

    Examples:
        headrace offsets reset --to earliest
        headrace offsets reset --to 2026-01-31T12:00 --execute --orchestrate
        headrace offsets reset --to shift=1 --partition 3 --execute
        headrace offsets reset --to before.csv --execute --undo-file now.json
    """
    _see_that_it_makes_sense(execute=execute, orchestrate=orchestrate)
    if undo_file is not None and not execute:
        raise ConfigurationError("--undo-file says nothing without --execute")
    settings = configured("store.dsn").settings
    target = _target(to, settings)
    async with GroupOffsets(settings) as at:
        if execute:
            done = await reset(at, target, partition or (), undo_file, orchestrate=orchestrate, tell=_tell)
            named = "" if undo_file is None else f" {shlex.quote(str(undo_file))}"
            _show_done(done, f"put back by `headrace offsets undo{named} --execute`", as_json=as_json)
            return
        plan = await plan_reset(at, target, partition or ())
        _show_plan(plan, await estimate(at, plan.moves), as_json=as_json)


async def undo(
    file: FILE = None,
    *,
    execute: EXECUTE = False,
    orchestrate: ORCHESTRATE = False,
    as_json: Json = False,
) -> None:
    """Put the group back to where it was before a reset. A dry run, unless --execute is given.

    Without a file the last reset of this group is meant that was not undone yet. What a worker has stored since stays
    stored. Safe to do again, also after a kill half-way.

    Examples:
        headrace offsets undo
        headrace offsets undo --execute --orchestrate
        headrace offsets undo now.json --execute
    """
    _see_that_it_makes_sense(execute=execute, orchestrate=orchestrate)
    async with GroupOffsets(configured("store.dsn").settings) as at:
        if execute:
            done = await undo_reset(at, file, orchestrate=orchestrate, tell=_tell)
            _show_done(done, "what it was undone by", as_json=as_json)
            return
        path, _, plan = await plan_undo(at, file)
        if not as_json:
            stdout().print(f"by {path}")
        _show_plan(plan, None, as_json=as_json)


def _see_that_it_makes_sense(*, execute: bool, orchestrate: bool) -> None:
    if orchestrate and not execute:
        raise ConfigurationError("--orchestrate says nothing without --execute: a dry run sends nobody away")


def _target(said: str, settings: Settings) -> Target:
    target = read_target(said, datetime.now(UTC))
    if target is not None:
        return target
    try:
        lines = Path(said).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or error
        raise ConfigurationError(f"--to {said}: write {FORMS} ({said} can not be read: {why})") from None
    if lines and lines[0].startswith("{"):
        raise ConfigurationError(f"--to {said}: write topic,partition,offset; `headrace offsets undo` takes undo files")
    return read_file(lines, said, settings.group, settings.kafka.topic)


def _tell(words: str) -> None:
    stderr().print(words)


def _show_plan(plan: Plan, cost: Estimate | None, *, as_json: bool) -> None:
    if as_json:
        print_json(Answer(executed=False, plan=plan, estimate=cost))
        return
    console = stdout()
    console.print(f"{plan.group} in {plan.topic} to {plan.to}: nothing is changed yet")
    _print_moves(console, plan)
    if cost is not None:
        _print_estimate(console, cost)
    _print_warnings(console, plan)
    if plan.members:
        console.print(f"live      members: {', '.join(plan.members)}")
        console.print("--execute needs them to be stopped, or --orchestrate to send headrace's own out for a moment")
    else:
        console.print("--execute does it")


def _show_done(done: Done, what: str, *, as_json: bool) -> None:
    if as_json:
        print_json(Answer(executed=True, plan=done.plan, file=done.file))
        return
    console, plan = stdout(), done.plan
    console.print(f"{plan.group} in {plan.topic} was set to {plan.to}")
    _print_moves(console, plan)
    _print_warnings(console, plan)
    console.print(f"file      {done.file}: {what}")


def _print_moves(console: Console, plan: Plan) -> None:
    columns = ("partition", "start", "end", "before", "after", "again", "skipped")
    rows = [
        (one.partition, one.start, one.end, _known(one.before), _known(one.after), one.again, one.skipped)
        for one in plan.moves
    ]
    print_table(console, columns, rows, " ".join(columns))


def _print_estimate(console: Console, cost: Estimate) -> None:
    console.print(f"again     {cost.messages:,} messages")
    if cost.sampled:
        share = cost.free / cost.sampled
        invalid = f", {cost.invalid:,} invalid" if cost.invalid else ""
        console.print(f"sample    {cost.sampled:,} of them: {cost.free:,} need no call ({share:.0%}){invalid}")
    if not cost.messages:
        return
    told = {
        "tokens": None if cost.tokens is None else f"about {cost.tokens:,}",
        "money": None if cost.money is None else f"about {cost.money:,.4f}".rstrip("0").rstrip("."),
        "hours": None if cost.hours is None else f"about {cost.hours:,.3f} at the present rate",
    }
    for label, words in told.items():
        console.print(f"{label:<9} {'unknown' if words is None else words}")
    for note in cost.notes:
        console.print(f"note      {note}")


def _print_warnings(console: Console, plan: Plan) -> None:
    for warning in plan.warnings:
        console.print(f"warning   {warning}", style="yellow")


def _known(offset: int | None) -> str:
    return "-" if offset is None else str(offset)
