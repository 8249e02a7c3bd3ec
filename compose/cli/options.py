"""Which options does every command take, and what did they say?

A command is a plain function that asks ``configured()`` for its settings: where they come from is no concern of its.
"""

import inspect
import os
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from compose.configuration import Configuration

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

CONFIG = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="Settings; headrace.toml by default.")]
SET = Annotated[
    list[str] | None, typer.Option("--set", metavar="SECTION.NAME=VALUE", help="One setting; can be repeated.")
]
TOPIC = Annotated[str | None, typer.Option("--topic", metavar="NAME", help="The same as --set kafka.topic=NAME.")]
GROUP = Annotated[str | None, typer.Option("--group", metavar="NAME", help="The same as --set kafka.group=NAME.")]
INDEX = Annotated[str | None, typer.Option("--index", metavar="NAME", help="The same as --set store.index=NAME.")]
DEBUG = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]

COMMON: Mapping[str, tuple[Any, object]] = {
    "config": (CONFIG, None),
    "set_": (SET, None),
    "topic": (TOPIC, None),
    "group": (GROUP, None),
    "index": (INDEX, None),
    "debug": (DEBUG, False),
}
SHORTCUTS = {"topic": "kafka.topic", "group": "kafka.group", "index": "store.index"}


@dataclass(frozen=True)
class Invocation:
    """What this command was told about its settings."""

    file: Path | None = None
    flags: Mapping[str, object] = field(default_factory=dict)


_invocation: ContextVar[Invocation] = ContextVar("invocation", default=Invocation())  # noqa: B039 - it is frozen


def configured(*needed: str, **flags: object) -> "Configuration":
    """Read the configuration for the running command, and refuse to go on without the settings that are *needed*.

    *flags* are options of the command itself, as ``section__name=value``; None is not given.
    """
    from compose import configuration  # noqa: PLC0415 - `headrace --help` does without pydantic

    told = _invocation.get()
    own = {name.replace("__", "."): value for name, value in flags.items()}
    found = configuration.load(told.file, os.environ, {**own, **told.flags})
    configuration.require(found.settings, *needed)
    return found


def with_common_options(function: Callable[..., Any], *, settings: bool = True) -> Callable[..., Any]:
    """Give a command the common options, save those it declares itself; without *settings* only ``--debug``.

    A coroutine function is run to its end.
    """
    own = inspect.signature(function, eval_str=True).parameters
    names = [name for name in (COMMON if settings else ("debug",)) if name not in own]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=COMMON[name][0], default=COMMON[name][1])
        for name in names
    ]

    @wraps(function)
    def command(**arguments: Any) -> None:  # noqa: ANN401 - whatever the command takes
        common = {name: arguments.pop(name) for name in names}
        token = _invocation.set(_told(common))
        try:
            result = function(**arguments)
            if inspect.iscoroutine(result):
                import asyncio  # noqa: PLC0415 - a third of the time that `headrace --help` takes

                asyncio.run(result)
        finally:
            _invocation.reset(token)

    parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own.values()]
    command.__signature__ = inspect.Signature([*parameters, *added])  # type: ignore[attr-defined] # read by inspect
    command.__annotations__ = {one.name: one.annotation for one in (*parameters, *added)}
    return command


def _told(common: Mapping[str, Any]) -> Invocation:
    flags: dict[str, object] = {SHORTCUTS[name]: common[name] for name in SHORTCUTS if common.get(name)}
    for assignment in common.get("set_") or ():
        name, equals, value = assignment.partition("=")
        if not equals:
            raise ConfigurationError(f"--set {name}: write --set section.name=value")
        flags[name.strip()] = value
    return Invocation(common.get("config"), flags)
