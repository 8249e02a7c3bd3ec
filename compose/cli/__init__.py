"""What can a user type?

A command is a function in a module of its own, and is imported only when its name is typed: `headrace --help` has to
answer at once, and Kafka's client alone takes longer than that to import.
"""

import io
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from inspect import getdoc
from typing import Annotated, Any

import typer

from compose.cli.errors import guarded, report
from compose.cli.options import with_common_options
from schemas import __version__

COMPLETION = "_HEADRACE_COMPLETE"
"""Set by a shell that asks for completions."""


@dataclass(frozen=True)
class Command:
    """A command by its name, where its function is, and what it does in a line."""

    name: str
    module: str
    function: str
    help: str
    settings: bool = True


COMMANDS = (
    Command("demo", "demo", "demo", "Show it all, with real documents, in under a minute.", settings=False),
    Command("up", "up", "up", "Run Kafka, PostgreSQL and embeddings here, without Docker.", settings=False),
    Command("init", "init", "init", "Create the topics and the index."),
    Command("check", "check", "check", "Say what is wrong with the configuration, before it runs."),
    Command("run", "run", "run", "Run the worker: topic to vectors."),
    Command("publish", "publish", "publish", "Publish files, folders or standard input."),
    Command("search", "search", "search", "Find the nearest chunks."),
    Command("export", "export", "export", "Write vectors to memory-mapped files."),
    Command("delete", "delete", "delete", "Delete documents, or a whole tenant."),
    Command("purge", "purge", "purge", "Forget deleted documents."),
    Command("reconcile", "reconcile", "reconcile", "Compare the topic with the index, and mend what differs."),
    Command("status", "status", "status", "Show lag, rates and states."),
    Command("pause", "orders", "pause", "Let a whole group take nothing in."),
    Command("resume", "orders", "resume", "Let a whole group go on."),
    Command("bench", "bench", "bench", "Measure how fast it is here, beside a bare loop.", settings=False),
    Command(
        "fake-provider",
        "fake_provider",
        "fake_provider",
        "Run an embedding API that misbehaves as told.",
        settings=False,
    ),
)
DEAD_LETTERS = (
    Command("list", "dlq", "list_letters", "List the dead letters."),
    Command("show", "dlq", "show", "Show one dead letter whole."),
    Command("stats", "dlq", "stats", "Count the dead letters by reason, topic, tenant and hour."),
    Command("replay", "dlq_replay", "replay", "Publish dead letters to their topic again."),
    Command("park", "dlq_replay", "park", "Give dead letters up: move them to the parked topic."),
    Command("discard", "dlq_replay", "discard", "Give dead letters up where they are."),
    Command("export", "dlq_export", "export", "Write dead letters to a file, a line each."),
)
OFFSETS = (
    Command("show", "offsets", "show", "Show where the group stands in each partition."),
    Command("reset", "offsets_reset", "reset_offsets", "Let the group read again, or skip."),
    Command("undo", "offsets_reset", "undo", "Put the group back to where it was before a reset."),
    Command("export", "offsets", "export", "Write where the group stands to a file."),
)
BUDGET = (
    Command("show", "budget", "show_ledger", "Show what embedding has cost, by day and tenant."),
    Command("raise", "budget", "raise_limits", "Let the group spend more today."),
)
INDEXES = (
    Command("list", "index", "list_indexes", "List the indexes of the database."),
    Command("create", "index", "create", "Create an index beside those that are there."),
    Command("build", "index_build", "build", "Build a vector index, for fast searches."),
    Command("compare", "index_compare", "compare", "Say what one index has of another."),
    Command("promote", "index_promote", "promote", "Let readers use another index."),
    Command("drop", "index", "drop", "Drop an index with all its rows."),
)
GROUPS = {
    "index": ("Look at the indexes, and change the one that readers use.", INDEXES),
    "dlq": ("Look at the dead letters, and deal with them.", DEAD_LETTERS),
    "budget": ("Look at what embedding has cost, and limit it.", BUDGET),
    "offsets": ("Look at the offsets of the group, and change them.", OFFSETS),
}

EPILOG = """\b
Examples:
    headrace demo
    headrace up                   in one terminal, and in another:
    headrace init && headrace publish docs/ && headrace run --until-caught-up
    headrace search "how do I reset an offset"
"""
SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"]}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line, and leave through SystemExit with its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    _prepare_output()
    try:
        program = build(given)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - also a command that can not be imported ends in words
        sys.exit(report(error, debug="--debug" in given))
    program(given, prog_name="headrace")


def _prepare_output() -> None:
    """Let no character fail on a terminal that can not show it, and no client's log line stand between ours."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())


def build(arguments: Sequence[str]) -> typer.Typer:
    """Return the program with the command loaded that *arguments* name; the others are there for the help."""
    app = _group("Documents from Kafka, through an embedding API, into PostgreSQL + pgvector.", EPILOG)
    named = [word for word in [*_completing(), *arguments] if not word.startswith("-")]
    app.callback(epilog=EPILOG)(_options)
    for command in COMMANDS:
        _add(app, command, load=named[:1] == [command.name])
    for name, (text, commands) in GROUPS.items():
        group = _group(text, None)
        for command in commands:
            _add(group, command, load=named[:2] == [name, command.name])
        app.add_typer(group, name=name, help=text)
    return app


def _completing() -> list[str]:
    """Return the words before the cursor where a shell asks how they could go on."""
    if COMPLETION not in os.environ:
        return []
    return (os.environ.get("_TYPER_COMPLETE_ARGS") or os.environ.get("COMP_WORDS") or "").split()[1:]


def _group(text: str, epilog: str | None) -> typer.Typer:
    return typer.Typer(
        name="headrace",
        help=text,
        epilog=epilog,
        no_args_is_help=True,
        # rich's help takes longer to import than the rest takes to answer.
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=SETTINGS,
    )


def _add(app: typer.Typer, command: Command, *, load: bool) -> None:
    if not load:
        app.command(command.name, help=command.help)(_not_loaded)
        return
    function = getattr(import_module(f"compose.cli.{command.module}"), command.function)
    text = getdoc(function) or command.help
    if "\b" not in text:
        # It keeps the help's formatter from filling the examples into one paragraph.
        text = text.replace("\nExamples:\n", "\n\b\nExamples:\n")
    whole = guarded(with_common_options(function, settings=command.settings))
    app.command(command.name, help=text, short_help=command.help)(whole)


def _not_loaded() -> None:
    """Stand in the help for a command whose name was not typed."""


def _version(asked: bool) -> None:  # noqa: FBT001 - typer passes it so
    if asked:
        typer.echo(f"headrace {__version__}")
        raise typer.Exit


VERSION = Annotated[bool, typer.Option("--version", is_eager=True, callback=_version, help="Print the version.")]


def _options(*, version: VERSION = False) -> None:
    """Take what may stand before the command; ``version`` is answered by its callback."""
