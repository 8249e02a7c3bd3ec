"""What COPY is sent can be read as PostgreSQL reads it."""

import struct
from datetime import UTC, datetime, timedelta

import pytest

from consumers.stores.copying import COLUMNS, PIECE_BYTES, Row, pieces
from tests.benchmarks.twins import rows_of

AT = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
MICROSECONDS = (AT - datetime(2000, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def row(number: int, text: str = "text", tenant: str = "we", vector: bytes = b"\0\0\x80\x3f") -> Row:
    return tenant, f"doc-{number}", number, text, b"hash", 7, vector, AT


def fields(one: Row) -> list[bytes]:
    tenant, document_id, ordinal, text, digest, tokens, vector, _ = one
    return [
        tenant.encode(),
        document_id.encode(),
        struct.pack(">i", ordinal),
        text.encode(),
        digest,
        struct.pack(">i", tokens),
        struct.pack(">HH", len(vector) // 4, 0) + vector,
        struct.pack(">q", MICROSECONDS),
    ]


def test_every_field_of_every_row_is_there() -> None:
    rows = [row(0), row(1, "ünï ⚙ 🦆"), row(2, "", "they", bytes(12)), row(3, tenant="they"), row(4)]
    assert rows_of(b"".join(pieces(rows, "vector")), len(COLUMNS)) == [fields(one) for one in rows]


def test_no_rows_are_an_empty_stream() -> None:
    assert rows_of(b"".join(pieces([], "vector")), len(COLUMNS)) == []


def test_many_rows_come_in_pieces() -> None:
    rows = [row(n, "x" * 1000, vector=bytes(6144)) for n in range(300)]
    told = list(pieces(rows, "vector"))
    assert len(told) == 300 * 7144 // PIECE_BYTES + 1
    assert max(map(len, told)) < PIECE_BYTES + 10_000 + 300 * 60
    assert rows_of(b"".join(told), len(COLUMNS)) == [fields(one) for one in rows]


@pytest.mark.parametrize(
    "bad",
    [row(0, vector=bytes(5)), row(0, "lone \ud800"), row(2**31), row(0, vector=bytes(4 * 2**16))],
)
def test_what_no_column_can_hold_is_refused(bad: Row) -> None:
    with pytest.raises((ValueError, struct.error)):
        list(pieces([row(1), bad], "vector"))
