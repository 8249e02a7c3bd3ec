"""``headrace dlq``: what could not be stored, and why."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from compose import dead_letters
from compose.cli.console import indented, one_line, print_json, print_table, readable, readable_bytes, stdout
from compose.cli.console import show as show_on
from compose.cli.options import Json, configured
from compose.dead_letters import Filter, Letter, Stats
from schemas import headers
from schemas.dead_letters import DeadLetter
from schemas.errors import ConfigurationError

BAR = 40
AGO = re.compile(r"(\d{1,6})([smhd])")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

Code = Annotated[str | None, typer.Option(metavar="CODE", help="Only this reason, such as invalid-document.")]
Stage = Annotated[str | None, typer.Option(metavar="STAGE", help="Only decode, embed or write.")]
Partition = Annotated[
    int | None, typer.Option(min=0, metavar="N", help="Only this partition of the dead-letter topic.")
]
Since = Annotated[str | None, typer.Option(metavar="TIME", help="Only later ones: 15m, 2h, 7d, or 2026-01-31T12:00.")]
Limit = Annotated[int, typer.Option(min=1, max=100_000, help="How many, the newest.")]


async def list_letters(
    code: Code = None,
    stage: Stage = None,
    partition: Partition = None,
    since: Since = None,
    limit: Limit = 50,
    as_json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """List the dead letters.

    The first column is the place in the dead-letter topic, for `headrace dlq show`; the origin is where the message
    first lay.

    Examples:
        headrace dlq list
        headrace dlq list --code invalid-document --since 2h
        headrace dlq list --limit 1000 --json | jq -r '.[].key'
    """
    letters = await dead_letters.newest(configured().settings, _filter(code, stage, partition, since), limit)
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
        columns = ("place", "failed at", "stage", "code", "origin", "tenant", "key", "message")
        print_table(console, columns, [_row(one) for one in letters])


async def show(
    place: Annotated[str, typer.Argument(metavar="PARTITION:OFFSET", help="As `dlq list` shows it.")],
    offset: Annotated[int | None, typer.Argument(metavar="[OFFSET]", help="If not given with the partition.")] = None,
    as_json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """Show one dead letter whole.

    Examples:
        headrace dlq show 3:1024
        headrace dlq show 3 1024 --json | jq -r .value.text
    """
    partition, _, told = place.partition(":")
    wanted = told or ("" if offset is None else str(offset))
    if not (partition.isdecimal() and wanted.isdecimal()) or (told and offset is not None):
        raise ConfigurationError(f"{place} is no place: write PARTITION:OFFSET, as `headrace dlq list` shows it")
    letter = await dead_letters.one(configured().settings, int(partition), int(wanted))
    if as_json:
        print_json(dead_letters.whole(letter))
    else:
        _print_whole(stdout(), letter)


async def stats(
    code: Code = None,
    stage: Stage = None,
    partition: Partition = None,
    since: Since = None,
    as_json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """Count the dead letters by reason and by hour.

    Examples:
        headrace dlq stats
        headrace dlq stats --since 1d
    """
    counted = await dead_letters.statistics(configured().settings, _filter(code, stage, partition, since))
    if as_json:
        print_json(counted)
    else:
        _print_stats(stdout(), counted)


def _filter(code: str | None, stage: str | None, partition: int | None, since: str | None) -> Filter:
    return Filter(code, stage, partition, None if since is None else _moment(since))


def _moment(text: str) -> int:
    """Return milliseconds since the epoch for ``2h`` ago or for a time in ISO 8601, UTC where it names no zone."""
    if found := AGO.fullmatch(text):
        moment = datetime.now(UTC) - timedelta(**{UNITS[found[2]]: int(found[1])})
    else:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise ConfigurationError(f"--since {text}: write 15m, 2h, 7d or a time as 2026-01-31T12:00") from None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


def _row(one: Letter) -> tuple[str, ...]:
    place = f"{one.partition}:{one.offset}"
    words = (one.stage, one.code, one.origin, one.tenant or "-", "null" if one.key is None else one.key, one.message)
    return (place, one.failed_at, *(readable(one_line(word)) for word in words))


def _print_letter(console: Console, one: Letter) -> None:
    """Print a dead letter in two or three lines that fit into any terminal."""
    place, failed_at, stage, code, origin, tenant, key, message = _row(one)
    when = failed_at[:19].replace("T", " ")
    head = Text.assemble((f"{place:<9} ", "bold cyan"), (code, "bold red"), (f"  in {stage}, {when}", "dim"))
    whose = f", tenant {tenant}" if one.tenant not in (None, "default") else ""
    whence = Text(f"key {key}{whose}, from {origin}", style="dim")
    show_on(console, head, indented(message, 10), indented(whence, 10), "")


def _print_whole(console: Console, letter: DeadLetter) -> None:
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
    for title, counts in (("code", counted.codes), ("stage", counted.stages), ("hour (UTC)", hours)):
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
