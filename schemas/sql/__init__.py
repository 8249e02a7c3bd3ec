"""Where is the SQL?

Statements stand in the files of ``QUERIES``, each under a line ``-- name --``; migrations of an index in files that
start with their number. A placeholder is a name in braces; what fills it is quoted here and nowhere else.
"""

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files

import msgspec

_HEADING = re.compile(r"^-- (\w+) --$", re.MULTILINE)
_MIGRATION = re.compile(r"^(\d{4})_(\w+)\.sql$")

QUERIES = (
    "queries.sql",
    "spending.sql",
    "staging.sql",
    "reading.sql",
    "deletion.sql",
    "offsets.sql",
    "reconcile.sql",
)
"""The files of statements; a name stands in one of them."""


class Migration(msgspec.Struct, frozen=True):
    """A step that an index's tables go through once."""

    number: int
    name: str
    sql: str


def identifier(name: str) -> str:
    """Quote the name of a schema or a type."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """Quote a string."""
    return "'" + value.replace("'", "''") + "'"


def fill(sql: str, values: Mapping[str, str]) -> str:
    """Put values that are already quoted in the place of their names in braces."""
    return re.sub(r"\{(\w+)\}", lambda found: values[found[1]], sql)


def queries(values: Mapping[str, str], names: Sequence[str] = QUERIES) -> dict[str, str]:
    """Return every statement of these files by its name, filled in."""
    parts = _HEADING.split("\n".join(["", *map(script, names)]))
    return {name: fill(sql, values).strip() for name, sql in zip(parts[1::2], parts[2::2], strict=True)}


def script(name: str) -> str:
    """Return a file of this package, not filled in."""
    return files(__name__).joinpath(name).read_text(encoding="utf-8")


def migrations() -> list[Migration]:
    """Return the migrations of an index in the order of their numbers, not filled in."""
    found = (_MIGRATION.match(entry.name) for entry in files(__name__).iterdir())
    return sorted(
        (Migration(int(match[1]), match[2], script(match[0])) for match in found if match),
        key=lambda migration: migration.number,
    )
