"""Where does each value of a JSON file begin and end? Lines of JSONL, items of an array, values one behind the other.

Nothing is decoded here, so one bad value does not hide those behind it, each can be told with its line, and no more
than one is held in memory.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

BinaryFile: TypeAlias = "io.BufferedReader[Any]"

CHUNK = 64 * 1024
BOM = b"\xef\xbb\xbf"
_IN_STRING = re.compile(rb'["\\]')
_OUTSIDE = re.compile(rb'["{}\[\],]')
_SPACE = b" \t\r\n"


class Layout(StrEnum):
    """How values are laid out in a file."""

    LINES = "one value a line"
    ARRAY = "items of one array"
    VALUES = "values one behind the other"


@dataclass(frozen=True, slots=True)
class Piece:
    """The bytes of one value and the line it begins on; None for bytes that are more than was asked for."""

    line: int
    raw: bytes | None


def layout_of(file: BinaryFile) -> Layout | None:
    """Look at how a file begins, without reading on; None where it does not begin with a JSON object or array.

    An object that does not end on the line it begins on is printed for people, so that lines mean nothing.
    """
    ahead = file.peek(CHUNK).removeprefix(BOM).lstrip(_SPACE)
    if not ahead:
        return Layout.LINES
    if ahead.startswith(b"["):
        return Layout.ARRAY
    if ahead.startswith(b"{"):
        return Layout.VALUES if re.match(rb"\{[ \t\r]*\n", ahead) else Layout.LINES
    return None


def pieces(file: BinaryFile, layout: Layout, limit: int) -> Iterator[Piece]:
    """Yield the values of a file in order; of one longer than *limit* bytes only where it begins."""
    return _lines(file, limit) if layout is Layout.LINES else _Splitter(limit, layout is Layout.ARRAY).split(file)


def _lines(file: BinaryFile, limit: int) -> Iterator[Piece]:
    number = 0
    while line := file.readline(limit + 2):
        number += 1
        whole = (line.removeprefix(BOM) if number == 1 else line).strip(_SPACE)
        cut = len(line) > limit and not line.endswith(b"\n")
        if whole or cut:
            yield Piece(number, None if cut or len(whole) > limit else whole)
        while cut and line and not line.endswith(b"\n"):
            line = file.readline(CHUNK)


class _Splitter:
    """Cut a stream of chunks where a value ends, by brackets and quotes alone."""

    def __init__(self, limit: int, array: bool) -> None:  # noqa: FBT001 - one of two layouts
        self._limit = limit
        self._array = array
        self._depth = 0
        self._in_string = False
        self._skip = 0
        self._line = 1
        self._begun_on = 1
        self._held = bytearray()
        self._too_long = False
        self._ended = False

    def split(self, file: BinaryFile) -> Iterator[Piece]:
        yield from self._feed(file.read(len(BOM)).removeprefix(BOM))
        while chunk := file.read1(CHUNK):
            yield from self._feed(chunk)
        # What is left is a value that does not end, or what stands behind the array; the array has to end as well.
        if self._held or self._too_long:
            yield self._take()
        if self._array and not self._ended:
            yield Piece(self._line, b"")

    def _feed(self, chunk: bytes) -> Iterator[Piece]:
        start, at = 0, self._skip
        self._skip = 0
        while found := (_IN_STRING if self._in_string else _OUTSIDE).search(chunk, at):
            mark, here = found.group(), found.start()
            at = here + 1
            if mark == b"\\":
                at += 1  # whatever is escaped; it may lie in the next chunk
            elif mark == b'"':
                self._in_string = not self._in_string
            else:
                cut = self._cut(mark, here)
                if cut is not None:
                    self._hold(chunk[start:cut])
                    start = at
                    if mark != b"[" and (mark == b"," or self._held or self._too_long):
                        yield self._take()
        self._skip = max(0, at - len(chunk))
        self._hold(chunk[start:])

    def _cut(self, mark: bytes, here: int) -> int | None:
        """Follow the brackets; return where a value ends, or the array begins or ends. None where none of it does."""
        if mark in b"{[":
            self._depth += 1
            return here if self._array and mark == b"[" and self._depth == 1 and not self._ended else None
        if mark == b",":
            return here if self._array and self._depth == 1 else None
        self._depth = max(0, self._depth - 1)
        if self._depth != 0 or self._ended:
            return None
        self._ended = self._array
        return here if self._array else here + 1

    def _hold(self, part: bytes) -> None:
        """Keep a part of the value that is being read, and count lines."""
        if not self._held and not self._too_long:
            blank = len(part) - len(part.lstrip(_SPACE))
            self._line += part.count(b"\n", 0, blank)
            self._begun_on = self._line
            part = part[blank:]
        self._line += part.count(b"\n")
        if len(self._held) + len(part) > self._limit + CHUNK:
            self._too_long = True
            self._held.clear()
        elif not self._too_long:
            self._held += part

    def _take(self) -> Piece:
        raw = bytes(self._held).rstrip(_SPACE)
        piece = Piece(self._begun_on, None if self._too_long or len(raw) > self._limit else raw)
        self._held.clear()
        self._too_long = False
        return piece
