"""Which documents does a command speak of? A tenant's, and those whose metadata says what is asked for."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import product
from typing import Annotated, Any

import msgspec
import typer

from schemas.errors import ConfigurationError

MOST = 256

Tenant = Annotated[str | None, typer.Option(metavar="NAME", help="Only this tenant's documents.")]
Where = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY=VALUE", help="Only documents whose metadata says so; a.b=1 looks inside of a; can be repeated."
    ),
]


def conditions(told: Sequence[str] | None) -> list[str]:
    """Return JSON objects of which metadata has to contain one, for ``a.b=1`` and the like; all of those have to hold.

    A value that is JSON is looked for as such and as text: who types ``year=2026`` need not know how it was written.
    """
    ways = [list(_ways(one)) for one in told or ()]
    found = [merged for chosen in product(*ways) if (merged := _merged(chosen)) is not None] if ways else []
    if ways and not found:
        raise ConfigurationError(f"--where {' --where '.join(told or ())}: no document can say all of that")
    if len(found) > MOST:
        raise ConfigurationError(f"--where: so many conditions can be read in {len(found)} ways, {MOST} at most")
    return [msgspec.json.encode(one).decode() for one in found]


def _ways(told: str) -> Sequence[dict[str, Any]]:
    """Return what one condition may mean."""
    path, equals, value = told.partition("=")
    names = path.split(".")
    if not equals or not all(names):
        raise ConfigurationError(f"--where {told}: write KEY=VALUE, or KEY.KEY=VALUE for what lies inside of an object")
    values: list[Any] = [value]
    with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        values.insert(0, msgspec.json.decode(value))
    return [_nested(names, one) for one in values]


def _nested(names: Sequence[str], value: object) -> dict[str, Any]:
    first, *rest = names
    return {first: _nested(rest, value) if rest else value}


def _merged(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return one object that says what all of them say; None where they contradict each other."""
    whole: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            if name not in whole or msgspec.json.encode(whole[name]) == msgspec.json.encode(value):
                whole[name] = value
            elif isinstance(whole[name], dict) and isinstance(value, dict):
                if (inner := _merged([whole[name], value])) is None:
                    return None
                whole[name] = inner
            elif isinstance(whole[name], list) and isinstance(value, list):
                whole[name] = [*whole[name], *value]
            else:
                return None
    return whole
