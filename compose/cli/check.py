"""``headrace check``: what is wrong, before it runs."""

from typing import Annotated

import typer
from rich.text import Text

from compose.checking import Finding
from compose.checking import check as find
from compose.cli.console import grid_of, print_json, readable, show, stdout, table_of
from compose.cli.errors import WRONG
from compose.cli.options import Json, configured
from compose.configuration import Configuration

WIDTHS = (len("warning"), len("provider"))
STYLES = {"ok": "green", "warning": "yellow", "wrong": "bold red"}

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show neither the settings nor what is ok.")]


async def check(quiet: Quiet = False, as_json: Json = False) -> None:  # noqa: FBT002 - flags
    """Say what is wrong with the configuration, before it runs.

    Shows every setting and where it comes from, then connects to Kafka, PostgreSQL and the provider and looks at the
    topics, the index and one real embedding. Changes nothing. The exit code is 2 if anything is wrong.

    Examples:
        headrace check
        headrace check --quiet
        headrace check --json | jq '.findings[] | select(.level != "ok")'
    """
    configuration = configured()
    findings = await find(configuration)
    if as_json:
        file = None if configuration.file is None else str(configuration.file)
        settings = {one.name: {"value": one.value, "source": one.source} for one in configuration.shown()}
        print_json({"file": file, "settings": settings, "findings": findings})
    else:
        _print(configuration, findings, quiet=quiet)
    if any(one.level == "wrong" for one in findings):
        raise typer.Exit(WRONG)


def _row(one: Finding) -> tuple[Text, Text, Text]:
    mend = (f"\n-> {one.mend}", "cyan") if one.mend else ""
    return Text(one.level, STYLES[one.level]), Text(one.part, "dim"), Text.assemble(readable(one.text), mend)


def _print(configuration: Configuration, findings: list[Finding], *, quiet: bool) -> None:
    console = stdout()
    if not quiet:
        rows = [
            (one.name, readable(one.value), Text(one.source, style="dim" if one.source == "default" else "cyan"))
            for one in configuration.shown()
        ]
        show(console, table_of(("setting", "value", "from"), rows), "")
    told = [one for one in findings if not (one.level == "ok" and quiet)]
    if told:
        show(console, grid_of([_row(one) for one in told], *WIDTHS))
    counts = {level: sum(one.level == level for one in findings) for level in ("wrong", "warning")}
    if not any(counts.values()):
        console.print("all is well")
