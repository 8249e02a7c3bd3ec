"""What does a worker talk to while its work is counted? A provider and a database that answer at once, and count.

The worker's own code is real to its edges: the bytes of a record, of a reply, and the arguments of a statement.
"""

from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

import msgspec

from consumers.providers.deterministic import base64_of, digest_of
from producers.documents import record_of
from schemas import sql
from schemas.documents import Document
from tests.simulation.loop import EPOCH_S, START_S

CHARACTERS = 900
NOW_MS = int((EPOCH_S + START_S) * 1000)
NOW = datetime.fromtimestamp(NOW_MS / 1000, UTC)


def records(count: int) -> list[tuple[bytes | None, bytes | None, tuple[tuple[str, bytes | None], ...]]]:
    """Return key, value and headers of documents, no two alike."""
    made = [record_of(Document("default", f"document-{n}", f"{n} ".ljust(CHARACTERS, "w"))) for n in range(count)]
    return [(one.key, one.value, one.headers) for one in made]


@cache
def reply(count: int, dimensions: int) -> bytes:
    """Return the body of a reply to so many texts, as OpenAI writes it."""
    vectors = base64_of([digest_of(str(n)) for n in range(count)], dimensions)
    data = b",".join(
        b'{"object":"embedding","index":%d,"embedding":"%b"}' % (n, vector) for n, vector in enumerate(vectors)
    )
    return b'{"object":"list","data":[%b],"usage":{"prompt_tokens":1,"total_tokens":1}}' % data


class Session:
    """An HTTP session whose every post is answered at once."""

    def __init__(self, dimensions: int, counts: Counter[str]) -> None:
        self._dimensions = dimensions
        self._counts = counts

    @asynccontextmanager
    async def post(self, url: object, *, data: bytes, **options: object) -> AsyncIterator["Response"]:
        """Answer with a vector for each text."""
        del url, options
        self._counts["provider calls"] += 1
        self._counts["bytes to the provider"] += len(data)
        yield Response(reply(len(msgspec.json.decode(data)["input"]), self._dimensions))

    async def close(self) -> None:
        """Close nothing."""


@dataclass
class Response:
    """A success, which comes in one piece."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def content(self) -> "Response":
        """The stream."""
        return self

    async def iter_any(self) -> AsyncIterator[bytes]:
        """Return the body."""
        yield self.body

    def close(self) -> None:
        """Close nothing."""


class Database:
    """The connections of a store; a statement is recorded, and answered as by an index that knows *standing*."""

    vector_schema = "public"

    def __init__(self, index: str, standing: str | None, counts: Counter[str]) -> None:
        queries = sql.queries({"index": sql.identifier(index), "vector_schema": ""})
        self._names = {query: name for name, query in queries.items()}
        self._index = index
        self._standing = standing
        self._counts = counts

    @asynccontextmanager
    async def one(self) -> AsyncIterator["Database"]:
        """Lend the connection."""
        yield self

    @asynccontextmanager
    async def transaction(self, **options: object) -> AsyncIterator[None]:
        """Count a transaction."""
        del options
        yield
        self._counts["transactions"] += 1

    async def fetch(self, query: str, *arguments: Any) -> list[Any]:  # noqa: ANN401 - whatever a statement takes
        """Answer the two questions that a worker asks of many documents."""
        name = self._note(query, arguments)
        if name == "look_up" and self._standing is not None:
            return [(self._standing, list(range(1, len(_array(arguments[0])) + 1)), None)]
        if name == "write_documents":
            return [(_array(arguments[0])[0], 1, NOW, _array(arguments[1]))]
        return []

    async def fetchval(self, query: str, *arguments: object) -> object:
        """Take positions as they come, and find nothing else."""
        return self._note(query, arguments) == "advance_positions" or None

    async def fetchrow(self, query: str, *arguments: object) -> None:
        """Find nothing."""
        self._note(query, arguments)

    async def execute(self, query: str, *arguments: object) -> str:
        """Do nothing."""
        self._note(query, arguments)
        return ""

    async def executemany(self, query: str, rows: Sequence[Sequence[object]]) -> None:
        """Do nothing."""
        self._note(query, [argument for row in rows for argument in row])
        self._counts["rows of chunks"] += len(rows)

    def add_termination_listener(self, listener: object) -> None:
        """Never end."""

    def remove_termination_listener(self, listener: object) -> None:
        """Do nothing."""

    async def copy_to_table(
        self,
        table: str,
        *,
        schema_name: str,
        source: AsyncIterable[bytes],
        columns: Sequence[str],
        format: str,  # noqa: A002 - as asyncpg names it
    ) -> None:
        """Read rows, and do nothing with them."""
        assert (schema_name, format) == (self._index, "binary")
        rows = rows_of(b"".join([piece async for piece in source]), len(columns))
        self._count(f"copy to {table}", [field for row in rows for field in row])
        self._counts["rows of chunks"] += len(rows)

    async def aclose(self) -> None:
        """Close nothing."""

    def _note(self, query: str, arguments: Sequence[object]) -> str:
        name = self._names[query]
        if name not in ("orders", "load_positions", "server"):  # asked by the clock, not by the document
            self._count(name, arguments)
        return name

    def _count(self, name: str, arguments: Sequence[object]) -> None:
        self._counts[f"statements: {name}"] += 1
        self._counts["bytes to the database"] += sum(len(one) for one in arguments if isinstance(one, bytes | str))


def rows_of(stream: bytes, width: int) -> list[list[bytes]]:
    """Read what COPY would read in PostgreSQL's binary format, without nulls."""
    assert stream.startswith(b"PGCOPY\n\xff\r\n\0" + bytes(8))
    rows, at = [], 19
    while (fields := int.from_bytes(stream[at : at + 2], signed=True)) == width:
        at += 2
        row = []
        for _ in range(fields):
            size = int.from_bytes(stream[at : at + 4])
            row.append(stream[at + 4 : at + 4 + size])
            at += 4 + size
        rows.append(row)
    assert (fields, at + 2) == (-1, len(stream))
    return rows


def _array(written: str) -> list[str]:
    """Read an array of plain texts as PostgreSQL writes it."""
    found: list[str] = msgspec.json.decode(f"[{written[1:-1]}]")
    return found


class Letters:
    """A dead-letter topic that is never needed."""

    async def send(self, letter: object) -> None:
        """Refuse."""
        raise AssertionError(f"no document is a dead letter: {letter}")
