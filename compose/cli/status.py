"""``headrace status``: lag, rates and states, once or every second."""

import asyncio
import sys
from typing import Annotated

import msgspec
import typer
from rich.console import Group as Lines
from rich.console import RenderableType
from rich.live import Live
from rich.text import Text

from compose.cli.budget import spent_in_words
from compose.cli.console import grid_of, print_json, readable, show, stdout, table_of
from compose.cli.errors import FAILED
from compose.cli.options import Json, configured
from compose.offsets import UNKNOWN_GROUP
from compose.overview import IndexPart, KafkaPart, Lookout, Overview
from consumers.core.spending import daily_budget
from schemas.settings import Settings
from schemas.spending import Spent
from schemas.status import State, Status

EVERY_S = 1.0
STATE_STYLES = {State.STUCK: "bold red", State.BLOCKED: "bold red", State.RUNNING: "green", State.IDLE: "green"}
Row = tuple[Text, Text]
LABEL = 8
NEEDED_PARTS = ("kafka", "index")

Watch = Annotated[bool, typer.Option("--watch", "-w", help="Look again each second, until Ctrl-C.")]


async def status(watch: Watch = False, as_json: Json = False) -> None:  # noqa: FBT002 - flags
    """Show lag, rates and states.

    Lag, members and dead letters are what Kafka says of the whole group; the worker is the one that answers at
    http.host and http.port. Works also while parts are down: it says which. The exit code is 1 if Kafka or the
    database does not answer.

    Examples:
        headrace status
        headrace status --watch
        headrace status --json | jq .kafka.lag
    """
    settings = configured().settings
    async with Lookout(settings) as lookout:
        if watch:
            try:
                await _watch(lookout, settings, as_json=as_json)
            except asyncio.CancelledError:
                # Ctrl-C is how one stops watching, and no failure.
                return
        overview = await lookout.look()
    if as_json:
        print_json(overview)
    else:
        show(stdout(), rendered(overview, settings))
    if any(part in overview.problems for part in NEEDED_PARTS):
        raise typer.Exit(FAILED)


async def _watch(lookout: Lookout, settings: Settings, *, as_json: bool) -> None:
    console = stdout()
    if as_json:
        while True:
            sys.stdout.write(msgspec.json.encode(await lookout.look()).decode() + "\n")
            sys.stdout.flush()
            await asyncio.sleep(EVERY_S)
    if not console.is_terminal:
        while True:
            show(console, rendered(await lookout.look(), settings), "")
            await asyncio.sleep(EVERY_S)
    with Live(rendered(await lookout.look(), settings), console=console, auto_refresh=False) as live:
        while True:
            await asyncio.sleep(EVERY_S)
            live.update(rendered(await lookout.look(), settings), refresh=True)


def rendered(overview: Overview, settings: Settings) -> RenderableType:
    """Return an overview as text and a table."""
    lines: list[RenderableType] = []
    rows: list[Row] = []
    if overview.kafka is not None:
        lines += [*_kafka(overview.kafka), ""]
        rows.append(_dead_letters(overview.kafka))
    if overview.index is not None:
        rows.append(_index(overview.index))
        rows += _spent(overview.index, settings)
        rows += [_row("order", readable(one), "yellow") for one in overview.index.orders]
    if overview.worker is not None:
        rows += _worker(overview.worker, settings)
    for part, why in overview.problems.items():
        rows.append(_row(part, readable(why), "red" if part in NEEDED_PARTS else "dim"))
    return Lines(*lines, grid_of(rows, LABEL))


def _kafka(kafka: KafkaPart) -> list[RenderableType]:
    group = kafka.group
    count = len(group.members)
    members = "no member" if count == 0 else f"{count} member{'s' if count > 1 else ''}"
    pace = "" if kafka.per_s is None else f", {kafka.per_s:,.0f}/s{_left(kafka)}"
    owners = {partition: readable(one.client_id) for one in group.members for partition in one.partitions}
    cells = [
        (
            one.partition,
            "-" if one.committed is None else one.committed,
            one.end,
            one.lag,
            owners.get(one.partition, "-"),
        )
        for one in kafka.partitions
    ]
    rows = [
        _row("topic", kafka.topic),
        _row(
            "group",
            f"{group.name}: {'not known to Kafka yet' if group.state == UNKNOWN_GROUP else group.state}, {members}",
        ),
        _row("lag", f"{kafka.lag:,}{pace}", "bold"),
    ]
    columns = ("partition", "committed", "end", "lag", "member")
    return [grid_of(rows, LABEL), "", table_of(columns, cells, "partition committed end lag")]


def _dead_letters(kafka: KafkaPart) -> Row:
    hint = ", dealt with or not: `headrace dlq stats` says which" if kafka.dead_letters else ""
    return _row("letters", f"{kafka.dead_letters:,} dead in {kafka.dlq_topic}{hint}", "yellow" if hint else "")


def _left(kafka: KafkaPart) -> str:
    if not kafka.per_s or not kafka.lag:
        return ""
    seconds = kafka.lag / kafka.per_s
    for size, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f", {seconds / size:.0f} {unit} left"
    return f", {seconds:.0f} seconds left"


def _index(index: IndexPart) -> Row:
    counts = index.counts
    about = "about " if counts.estimated else ""
    held = f"{counts.documents:,} documents, {counts.chunks:,} chunks, {counts.tombstones:,} deleted"
    return _row("index", f"{index.name}: {about}{held}")


def _spent(index: IndexPart, settings: Settings) -> list[Row]:
    if not index.spent_today:
        return []
    whole = sum(index.spent_today.values(), Spent())
    limit = daily_budget(settings.provider, index.raised).token_limit
    of = f", {whole.tokens / limit:.0%} of the day's budget" if limit else ""
    tenants = f", {len(index.spent_today)} tenants" if len(index.spent_today) > 1 else ""
    return [_row("spent", f"{spent_in_words(whole)} today (UTC){of}{tenants}: `headrace budget show` says more")]


def _worker(worker: Status, settings: Settings) -> list[Row]:
    short, long = worker.rates.last_10_s, worker.rates.last_60_s
    held, done, limits = worker.in_flight, worker.totals, worker.limits
    writes = f"{limits.transactions} transactions of {limits.group_rows:,} rows"
    paced = "" if limits.calls_per_s is None else f" ({limits.calls_per_s:,.1f} a second)"
    became = f"{done.stored:,} stored, {done.unchanged:,} unchanged, {done.superseded:,} superseded"
    calls = f"{done.calls:,} calls ({done.calls_failed:,} failed), {done.tokens:,} tokens"
    since = worker.since[:19].replace("T", " ")
    rows = [
        _row("worker", f"{worker.state}: {readable(worker.reason)}", STATE_STYLES.get(worker.state, "yellow")),
        _row("", f"since {since} UTC, {worker.instance}, headrace {worker.version}"),
        _row("rate", f"{short.documents_per_s:,.0f} documents/s, {short.texts_per_s:,.0f} texts/s in 10 s"),
        _row("", f"{long.documents_per_s:,.0f} documents/s, {long.texts_per_s:,.0f} texts/s in 60 s"),
        _row("holds", f"{held.documents:,} documents, {held.bytes / 1_000_000:,.1f} MB, {held.calls} calls"),
        _row("allows", f"{limits.calls} calls{paced} and {writes} at once, by what it measured"),
        _row("did", f"{became}, {done.deleted:,} deleted, {done.dead_lettered:,} dead-lettered"),
        _row("", f"{done.texts_embedded:,} texts embedded, {done.texts_reused:,} reused, {calls}"),
    ]
    if worker.group != settings.group:
        rows.append(_row("", f"it works for another group: {readable(worker.group)}", "yellow"))
    if late := sum(one.late for one in worker.partitions):
        waits = "documents wait" if late > 1 else "document waits"
        rows.append(_row("", f"{late:,} {waits} longer than {worker.deadline_s:g} s", "yellow"))
    near = [str(one.partition) for one in worker.partitions if one.retention_nears]
    if near:
        said = f"retention is about to delete unread records of {'partitions' if near[1:] else 'partition'} "
        rows.append(_row("", said + ", ".join(near), "bold red"))
    return rows + [_row("", readable(one.blocked), "bold red") for one in worker.partitions if one.blocked]


def _row(label: str, text: str, style: str = "") -> Row:
    return Text(label, style="dim"), Text(text, style=style)
