"""What does each layer of the configuration give, and what in it is no setting at all?

A layer yields ``(section.name, Given)`` and adds what is wrong to *problems*, so that everything is told at once.
"""

import difflib
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from schemas.errors import ConfigurationError
from schemas.settings import Section, Settings

PREFIX = "HEADRACE_"
OTHER_VARIABLES = ("HEADRACE_CACHE", "HEADRACE_CONFIG", "HEADRACE_STATE")
"""Variables that are read elsewhere, and are no settings."""
OF_TESTS = "HEADRACE_TEST_"
"""So begin the names of variables that the tests read."""


@dataclass(frozen=True)
class Given:
    """A value somebody gave: its layer, and the place an error has to point at."""

    value: object = field(repr=False)
    source: str
    place: str


Layer = Iterator[tuple[str, Given]]


def sections() -> dict[str, type[Section]]:
    """Return the sections by name."""
    return {name: one.annotation for name, one in Settings.model_fields.items() if isinstance(one.annotation, type)}


def fields() -> dict[str, FieldInfo]:
    """Return every setting by its full name, in the order of the sections."""
    return {
        f"{section}.{name}": one for section, model in sections().items() for name, one in model.model_fields.items()
    }


def variable(name: str) -> str:
    """Return the variable that sets ``section.name``."""
    return PREFIX + name.replace(".", "__").upper()


def from_file(path: Path, problems: list[str]) -> Layer:
    """Read a TOML file. Raises ConfigurationError where it can not be read at all."""
    for section, values in _read(path).items():
        if section not in sections():
            problems.append(f"{path}: {_unknown_section(section, values)}")
        elif not isinstance(values, dict):
            problems.append(f"{path}: {section} is a section: write [{section}] on a line, and its settings below")
        else:
            for full, value in ((f"{section}.{name}", value) for name, value in values.items()):
                if full in fields():
                    yield full, Given(value, "file", f"{path}: {full}")
                else:
                    problems.append(f"{path}: there is no setting {full}{nearest(full, fields())}")


def from_environment(environ: Mapping[str, str], problems: list[str]) -> Layer:
    """Read the variables. An empty one counts as unset: compose files write them so."""
    known = {variable(name): name for name in fields()}
    for key, value in environ.items():
        if not key.startswith(PREFIX) or key in OTHER_VARIABLES or key.startswith(OF_TESTS):
            continue
        if key not in known:
            problems.append(f"{key}: there is no such setting{nearest(key, [*known, *OTHER_VARIABLES])}")
        elif value:
            yield known[key], Given(value, "environment", key)


def from_flags(flags: Mapping[str, object], problems: list[str]) -> Layer:
    """Take what the command line says; None stands for a flag that was not given."""
    for name, value in flags.items():
        if name not in fields():
            problems.append(f"--set {name}: there is no such setting{nearest(name, fields())}")
        elif value is not None:
            yield name, Given(value, "flag", f"--set {name}")


def nearest(word: str, names: Iterable[str]) -> str:
    """Name the likeliest right spelling, as the end of a sentence."""
    lowered = {name.lower(): name for name in names}
    found = difflib.get_close_matches(word.lower(), lowered, n=1)
    return f"; did you mean {lowered[found[0]]}?" if found else ""


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        # It names line and column, and quotes single characters at most: never a secret.
        raise ConfigurationError(f"{path} is not TOML: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError(f"{path} can not be read: {why}") from None


def _unknown_section(section: str, values: object) -> str:
    if isinstance(values, dict):
        return f"there is no section [{section}]{nearest(section, sections())}"
    homes = [name for name in fields() if name.endswith(f".{section}")]
    hint = f"; {' and '.join(homes)} exist: put it below its section" if homes else nearest(section, sections())
    return f"there is no setting {section} outside the sections{hint}"
