"""``headrace dlq``: what could not be stored, and why."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from compose import dead_letters
from compose.cli.console import indented, one_line, print_json, print_table, readable, readable_bytes, stdout
from compose.cli.console import show as show_on
from compose.cli.letters import selecting
from compose.cli.options import Json, configured
from compose.dead_letters import Stats
from compose.letter_forms import Letter, today, whole
from consumers.core.selection import Filter
from schemas import headers
from schemas.dead_letters import DeadLetter
from schemas.errors import ConfigurationError
from schemas.fates import Fate

BAR = 40
Limit = Annotated[int, typer.Option(min=1, max=100_000, help="How many, the newest.")]
All = Annotated[bool, typer.Option("--all", help="Also those that were replayed, parked or discarded.")]


@selecting
async def list_letters(
    asked: Filter,
    limit: Limit = 50,
    settled: All = False,  # noqa: FBT002 - a flag
    as_json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """List the dead letters.

    The first column is the place in the dead-letter topic, for `headrace dlq show`; the origin is where the message
    first lay. What was replayed, parked or discarded is left out, unless --all is given.

    Examples:
        headrace dlq list
        headrace dlq list --code invalid-document --since 2h
        headrace dlq list --limit 1000 --json | jq -r '.[].key'
    """
    letters = await dead_letters.newest(configured().settings, asked, limit, settled=settled)
    if as_json:
        print_json(letters)
        return
    console = stdout()
    if not letters:
        console.print("no dead letters")
    elif console.is_terminal:
        for letter in letters:
            _print_letter(console, letter)
    else:
        columns = ("place", "failed at", "stage", "code", "origin", "tenant", "key", "fate", "message")
        print_table(console, columns, [_row(one) for one in letters])


async def show(
    place: Annotated[str, typer.Argument(metavar="PARTITION:OFFSET", help="As `dlq list` shows it.")],
    offset: Annotated[int | None, typer.Argument(metavar="[OFFSET]", help="If not given with the partition.")] = None,
    as_json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """Show one dead letter whole: why it is here, what became of it, and what this version would make of it.

    Examples:
        headrace dlq show 3:1024
        headrace dlq show 3 1024 --json | jq -r .value.text
    """
    partition, _, told = place.partition(":")
    wanted = told or ("" if offset is None else str(offset))
    if not (partition.isdecimal() and wanted.isdecimal()) or (told and offset is not None):
        raise ConfigurationError(f"{place} is no place: write PARTITION:OFFSET, as `headrace dlq list` shows it")
    settings = configured().settings
    letter, fate = await dead_letters.one(settings, int(partition), int(wanted))
    now = today(letter, int(time.time() * 1000), settings.worker.max_document_bytes)
    if as_json:
        print_json(whole(letter, fate, now))
    else:
        _print_whole(stdout(), letter, fate, now)


@selecting
async def stats(
    asked: Filter,
    settled: All = False,  # noqa: FBT002 - a flag
    as_json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """Count the dead letters by reason, topic, tenant and hour.

    What was replayed, parked or discarded does not count, unless --all is given.

    Examples:
        headrace dlq stats
        headrace dlq stats --since 1d
    """
    counted = await dead_letters.statistics(configured().settings, asked, settled=settled)
    if as_json:
        print_json(counted)
    else:
        _print_stats(stdout(), counted)


def _row(one: Letter) -> tuple[str, ...]:
    place = f"{one.partition}:{one.offset}"
    key, fate = "null" if one.key is None else one.key, "-" if one.fate is None else one.fate.kind.value
    words = (one.stage, one.code, one.origin, one.tenant or "-", key, fate, one.message)
    return (place, one.failed_at, *(readable(one_line(word)) for word in words))


def _print_letter(console: Console, one: Letter) -> None:
    """Print a dead letter in two or three lines that fit into any terminal."""
    place, failed_at, stage, code, origin, tenant, key, _, message = _row(one)
    when = failed_at[:19].replace("T", " ")
    head = Text.assemble((f"{place:<9} ", "bold cyan"), (code, "bold red"), (f"  in {stage}, {when}", "dim"))
    whose = f", tenant {tenant}" if one.tenant not in (None, "default") else ""
    whence = Text(f"key {key}{whose}, from {origin}", style="dim")
    became = [] if one.fate is None else [indented(Text(f"-> {readable(_became(one.fate))}", style="yellow"), 10)]
    show_on(console, head, indented(message, 10), indented(whence, 10), *became, "")


def _became(fate: Fate) -> str:
    what = "replaced by a corrected document" if fate.edited else fate.kind.value
    to = f" to {fate.to}" if fate.to else ""
    return f"{what}{to} at {fate.at}" + (f": {one_line(fate.reason)}" if fate.reason else "")


def _print_whole(console: Console, letter: DeadLetter, fate: Fate | None, now: str) -> None:
    message, origin, failure = letter.message, letter.origin, letter.failure
    told = {
        "place": f"{message.topic} {message.partition}:{message.offset}",
        "origin": f"{origin.topic} {origin.partition}:{origin.offset}",
        "received": f"{_time(origin.timestamp)} ({origin.timestamp_type})",
        "reason": f"{failure.code}: {failure.message}",
        "stage": failure.stage,
        "attempts": f"{failure.attempts}, first {failure.first_failed_at}, last {failure.failed_at}",
        "replays": letter.replays,
        "written by": f"{letter.software}, group {letter.group}, index {letter.index}",
        "fate": "none yet" if fate is None else _became(fate),
        "now": now,
        "key": readable_bytes(message.key),
    }
    for name, value in told.items():
        console.print(_labelled(name, readable(str(value))))
    own = [(name, value) for name, value in message.headers if not headers.is_ours(name)]
    for name, value in own:
        console.print(_labelled("header", f"{readable(name)}: {readable_bytes(value)}"))
    size = "null: a deletion" if message.value is None else f"{message.size:,} bytes"
    console.print(_labelled("value", size))
    if message.value is not None:
        console.print()
        console.print(Text(_pretty(message.value)), soft_wrap=True)


def _labelled(label: str, text: str) -> Text:
    return Text.assemble((f"{label:<11} ", "dim"), text)


def _pretty(value: bytes) -> str:
    """Return the value indented where it is JSON, else as it is."""
    try:
        return readable(msgspec.json.format(value, indent=2).decode())
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return readable_bytes(value)


def _print_stats(console: Console, counted: Stats) -> None:
    console.print(f"{counted.total:,} dead letter{'' if counted.total == 1 else 's'}")
    hours = {hour.replace("T", " "): count for hour, count in counted.hours.items()}
    tables = {
        "code": counted.codes,
        "stage": counted.stages,
        "topic": counted.topics,
        "tenant": counted.tenants,
        "fate": counted.fates if set(counted.fates) != {"open"} else {},
        "hour (UTC)": hours,
    }
    for title, counts in tables.items():
        if counts:
            console.print()
            print_table(console, (title, "count", ""), _bars(counts), "count")


def _bars(counts: Mapping[str, int]) -> list[tuple[str, str, str]]:
    most = max(counts.values())
    return [(readable(name), f"{count:,}", "█" * max(round(BAR * count / most), 1)) for name, count in counts.items()]


def _time(timestamp_ms: int) -> str:
    try:
        return datetime.fromtimestamp(timestamp_ms / 1000, UTC).isoformat(sep=" ", timespec="milliseconds")
    except (OverflowError, ValueError, OSError):
        return f"{timestamp_ms} ms"
