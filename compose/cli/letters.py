"""Which dead letters does a command speak of? The same options for each that looks at them or deals with them."""

import inspect
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Annotated, Any

import typer

from consumers.core.selection import Filter
from schemas.errors import ConfigurationError

AGO = re.compile(r"(\d{1,6})([smhd])")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

TEXT = str | None
NUMBER = int | None
OPTIONS: dict[str, Any] = {
    "code": Annotated[TEXT, typer.Option(metavar="CODE", help="Only this reason, such as invalid-document.")],
    "stage": Annotated[TEXT, typer.Option(metavar="STAGE", help="Only decode, embed, write or provider.")],
    "tenant": Annotated[TEXT, typer.Option(metavar="NAME", help="Only this tenant's.")],
    "key": Annotated[TEXT, typer.Option(metavar="KEY", help="Only records with this key.")],
    "since": Annotated[
        TEXT, typer.Option(metavar="TIME", help="Only later ones: 15m, 2h, 7d, or 2026-01-31T12:00 (UTC).")
    ],
    "until": Annotated[TEXT, typer.Option(metavar="TIME", help="Only earlier ones.")],
    "partition": Annotated[
        NUMBER, typer.Option(min=0, metavar="N", help="Only this partition of the dead-letter topic.")
    ],
    "offset": Annotated[
        NUMBER, typer.Option(min=0, metavar="N", help="Only the one at this offset; with --partition.")
    ],
}


def selecting(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that select dead letters, in the place of its parameter ``asked``."""
    own = [one for one in inspect.signature(function, eval_str=True).parameters.values() if one.name != "asked"]

    @wraps(function)
    def command(**arguments: Any) -> Any:  # noqa: ANN401 - whatever the command takes
        told = {name: arguments.pop(name, None) for name in OPTIONS}
        return function(asked=selection(**told), **arguments)

    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=None)
        for name, annotation in OPTIONS.items()
    ]
    parameters = [*(one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own), *options]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # read by inspect
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    return command


def selection(  # noqa: PLR0913 - an argument an option
    *,
    code: str | None = None,
    stage: str | None = None,
    tenant: str | None = None,
    key: str | None = None,
    since: str | None = None,
    until: str | None = None,
    partition: int | None = None,
    offset: int | None = None,
) -> Filter:
    """Return what the options ask for. Raises ConfigurationError for what makes no sense."""
    if offset is not None and partition is None:
        raise ConfigurationError("--offset says nothing without --partition: `headrace dlq list` shows both as P:O")
    return Filter(
        code=code,
        stage=stage,
        tenant=tenant,
        key=None if key is None else key.encode("utf-8", "surrogateescape"),
        partition=partition,
        offset=offset,
        since_ms=None if since is None else _moment("--since", since),
        until_ms=None if until is None else _moment("--until", until),
    )


def _moment(option: str, text: str) -> int:
    """Return milliseconds since the epoch for ``2h`` ago or for a time in ISO 8601, UTC where it names no zone."""
    try:
        if found := AGO.fullmatch(text):
            moment = datetime.now(UTC) - timedelta(**{UNITS[found[2]]: int(found[1])})
        else:
            moment = datetime.fromisoformat(text)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ConfigurationError(f"{option} {text}: write 15m, 2h, 7d or a time as 2026-01-31T12:00") from None
    return max(int(moment.timestamp() * 1000), 0)
