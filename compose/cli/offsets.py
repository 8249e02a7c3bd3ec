"""``headrace offsets show|export``: where a group stands."""

from pathlib import Path
from typing import Annotated

import typer

from compose.cli.console import print_json, print_table, stderr, stdout
from compose.cli.options import Json, configured
from compose.embedded.files import write_atomically
from compose.offsets import GroupOffsets, Offsets
from schemas.errors import ConfigurationError

MODE = 0o644
STDOUT = "-"


async def show(as_json: Json = False) -> None:  # noqa: FBT002 - a flag
    """Show where the group stands in each partition.

    The time is that of the last record below the committed offset; who committed it is a worker of an index, `headrace
    offsets`, or another tool.

    Examples:
        headrace offsets show
        headrace offsets show --group headrace-docs_v2 --json | jq '[.partitions[].lag] | add'
    """
    found = await _look()
    if as_json:
        print_json(found)
        return
    console = stdout()
    console.print(f"{found.group} in {found.topic}: {found.state}, lag {sum(one.lag for one in found.partitions):,}")
    columns = ("partition", "start", "committed", "end", "lag", "time", "by", "owner")
    rows = [
        (
            one.partition,
            one.start,
            _or_dash(one.committed),
            one.end,
            one.lag,
            *map(_or_dash, (one.time, one.by, one.owner)),
        )
        for one in found.partitions
    ]
    print_table(console, columns, rows, "partition start committed end lag")


async def export(
    file: Annotated[str, typer.Argument(metavar="[FILE]", help="Where to; standard output if not given.")] = STDOUT,
) -> None:
    """Write where the group stands, a line of topic,partition,offset each, as `reset --to FILE` takes it.

    kafka-consumer-groups writes and takes the same with --export and --from-file.

    Examples:
        headrace offsets export > before.csv
        headrace offsets reset --to before.csv
    """
    found = await _look()
    known = [one for one in found.partitions if one.committed is not None]
    text = "".join(f"{found.topic},{one.partition},{one.committed}\n" for one in known)
    if file == STDOUT:
        typer.echo(text, nl=False)
    else:
        try:
            write_atomically(Path(file), text, mode=MODE)
        except OSError as error:
            raise ConfigurationError(f"{file} can not be written: {error.strerror}") from None
    if missing := [one.partition for one in found.partitions if one.committed is None]:
        stderr().print(f"left out, since never committed: {', '.join(map(str, missing))}")


async def _look() -> Offsets:
    async with GroupOffsets(configured().settings) as at:
        return await at.look()


def _or_dash(value: object) -> object:
    return "-" if value is None else value
