"""How does a command speak? Answers on standard output, messages on standard error, colours on terminals only."""

import re
import sys
from collections.abc import Iterable, Sequence

import msgspec
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

UNLIMITED = 100_000
"""Columns where nobody looks: a line that a program reads is not to be broken."""
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""C0 and C1 but for tab and newline, what turns the direction of writing, lone surrogates."""


def stdout() -> Console:
    """Return the console for answers. Text is printed as it is: a document may look like markup or like an emoji."""
    return _console(stderr=False)


def stderr() -> Console:
    """Return the console for messages."""
    return _console(stderr=True)


def print_json(value: object) -> None:
    """Print one JSON document."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def table_of(columns: Sequence[str], rows: Iterable[Sequence[object]], numbers: str = "") -> Table:
    """Return a table; *numbers* names the columns to be aligned at their right, separated by blanks."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", show_edge=False)
    for column in columns:
        right = column in numbers.split()
        table.add_column(column.upper(), justify="right" if right else "left", no_wrap=right)
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else str(cell) for cell in row))
    return table


def grid_of(rows: Iterable[Sequence[Text | str]], *widths: int) -> Table:
    """Return rows whose last column keeps its left edge when wrapped; *widths* are of the columns before it."""
    grid = Table.grid(padding=(0, 1, 0, 0))
    for width in widths:
        grid.add_column(min_width=width, no_wrap=True)
    grid.add_column()
    for row in rows:
        grid.add_row(*row)
    return grid


def show(console: Console, *lines: RenderableType) -> None:
    """Print; where nobody looks without the blanks with which tables fill up their lines."""
    if console.is_terminal:
        console.print(*lines, sep="\n")
        return
    with console.capture() as captured:
        console.print(*lines, sep="\n")
    console.file.writelines(line.rstrip() + "\n" for line in captured.get().splitlines())


def print_table(console: Console, columns: Sequence[str], rows: Iterable[Sequence[object]], numbers: str = "") -> None:
    """Print a table."""
    show(console, table_of(columns, rows, numbers))


def indented(text: Text | str, by: int) -> Padding:
    """Return text that keeps its distance from the left in every line."""
    return Padding(text, (0, 0, 0, by), expand=False)


def readable(text: str) -> str:
    """Write control characters as escapes: a key or a message must not move the cursor of whoever looks at it."""
    return CONTROL.sub(lambda found: ascii(found.group())[1:-1], text)


def readable_bytes(raw: bytes | None) -> str:
    """Write anybody's bytes: text as it is, other bytes as hexadecimal escapes, nothing as null."""
    return "null" if raw is None else readable(raw.decode("utf-8", "backslashreplace"))


def one_line(text: str) -> str:
    """Return text with every run of white space as one blank."""
    return " ".join(text.split())


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, markup=False, emoji=False, highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console.width = UNLIMITED
    return console
