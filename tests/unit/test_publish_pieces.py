"""Where a value begins and ends in a file, whatever surrounds it."""

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compose.pieces import CHUNK, Layout, Piece, layout_of, pieces


class Dribble(io.RawIOBase):
    """A stream that hands out a few bytes at a time, as a slow pipe does."""

    def __init__(self, content: bytes, step: int) -> None:
        self._rest = content
        self._step = step

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - collections.abc.Buffer came with 3.12
        view = memoryview(buffer)
        part = self._rest[: min(self._step, len(view))]
        self._rest = self._rest[len(part) :]
        view[: len(part)] = part
        return len(part)


def cut(content: bytes, layout: Layout | None = None, *, limit: int = 1000, step: int = CHUNK) -> list[Piece]:
    found = layout or layout_of(io.BufferedReader(io.BytesIO(content)))
    assert found is not None
    return list(pieces(io.BufferedReader(Dribble(content, step)), found, limit))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='ab"\\[]{},: \n\t\u00fc'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='a"\\]}'), inner, max_size=3),
    max_leaves=8,
)


@given(
    items=st.lists(values, max_size=6), indent=st.sampled_from([None, 1]), ascii_=st.booleans(), step=st.integers(1, 9)
)
def test_every_item_of_an_array_is_found_wherever_the_chunks_end(
    items: list[Any], indent: int | None, *, ascii_: bool, step: int
) -> None:
    content = json.dumps(items, indent=indent, ensure_ascii=ascii_).encode()
    assert [json.loads(piece.raw or b"") for piece in cut(content, Layout.ARRAY, step=step)] == items


@given(
    items=st.lists(st.dictionaries(st.text(alphabet='a"\\]}'), values, max_size=3), max_size=5),
    between=st.sampled_from(["", " ", "\n\n"]),
    step=st.integers(1, 9),
)
def test_every_one_of_values_in_a_row_is_found(items: list[dict[str, Any]], between: str, step: int) -> None:
    content = between.join(json.dumps(item, indent=2) for item in items).encode()
    assert [json.loads(piece.raw or b"") for piece in cut(content, Layout.VALUES, step=step)] == items


@pytest.mark.parametrize(
    ("content", "layout"),
    [
        (b'{"a":1}\n{"b":1}', Layout.LINES),
        (b"\xef\xbb\xbf {\n1}", Layout.VALUES),
        (b"{ \r\n1}", Layout.VALUES),
        (b"\n\n [", Layout.ARRAY),
        (b"", Layout.LINES),
        (b"# words", None),
    ],
)
def test_a_file_shows_by_its_beginning_how_it_is_laid_out(content: bytes, layout: Layout | None) -> None:
    file = io.BufferedReader(io.BytesIO(content))
    assert layout_of(file) is layout
    assert file.read() == content


def test_lines_are_numbered_and_blank_ones_left_out() -> None:
    assert cut(b'\xef\xbb\xbf{"a":1}\r\n\n \n{bad\n{"b":1}', Layout.LINES) == [
        Piece(1, b'{"a":1}'),
        Piece(4, b"{bad"),
        Piece(5, b'{"b":1}'),
    ]


@pytest.mark.parametrize("step", [1, 7, CHUNK])
def test_items_are_told_with_the_line_they_begin_on(step: int) -> None:
    content = b'\xef\xbb\xbf\n[{"a":1},\n{bad}\n,\n\n {"c":\n1} ]\n'
    expected = [Piece(2, b'{"a":1}'), Piece(3, b"{bad}"), Piece(6, b'{"c":\n1}')]
    assert cut(content, Layout.ARRAY, step=step) == expected


@pytest.mark.parametrize("step", [1, 7, CHUNK])
def test_a_value_that_is_too_long_is_left_out_and_its_neighbours_are_not(step: int) -> None:
    long = b'"' + b"x" * (3 * CHUNK) + b'"'
    array = b'[{"a":1},\n' + long + b',\n{"b":1}]'
    assert cut(array, limit=50, step=step) == [Piece(1, b'{"a":1}'), Piece(2, None), Piece(3, b'{"b":1}')]
    lines = b'{"a":1}\n' + long + b'\n{"b":1}'
    assert cut(lines, limit=50, step=step) == [Piece(1, b'{"a":1}'), Piece(2, None), Piece(3, b'{"b":1}')]


def test_a_line_of_exactly_the_limit_passes() -> None:
    line = b'{"a":"' + b"x" * 42 + b'"}'
    for end in (b"", b"\n", b"\r\n"):
        assert cut(line + end, Layout.LINES, limit=50) == [Piece(1, line)]
        assert cut(b"x" + line + end, Layout.LINES, limit=50) == [Piece(1, None)]


@pytest.mark.parametrize(
    ("content", "raws"),
    [
        (b"[]", []),
        (b"[1,,2]", [b"1", b"", b"2"]),
        (b'[{"a":1}', [b'{"a":1}', b""]),
        (b"[", [b""]),
        (b'[{"a":1}] x', [b'{"a":1}', b"x"]),
        (b"[1]]", [b"1", b"]"]),
        (b'[{"a":"never closed}, {"b":2}]', [b'{"a":"never closed}, {"b":2}]', b""]),
    ],
)
def test_what_is_wrong_with_an_array_shows_as_a_piece_that_is_no_value(content: bytes, raws: list[bytes]) -> None:
    assert [piece.raw for piece in cut(content)] == raws


def test_a_stray_bracket_spoils_no_more_than_the_value_it_stands_before() -> None:
    assert [piece.raw for piece in cut(b'{"a":1}}{"b":1}', Layout.VALUES)] == [b'{"a":1}', b"}", b'{"b":1}']
