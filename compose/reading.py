"""Which documents do these files hold?

Lazily, in memory of one document, and by the worker's own rules: what it would make a dead letter is refused here,
with its file, line and reason, and does not stop the others.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from compose.headings import first_heading
from compose.pieces import BinaryFile, Layout, Piece, layout_of, pieces
from consumers.core.decoding import decode
from producers.documents import record_of
from schemas import headers
from schemas.documents import DEFAULT_TENANT, Document
from schemas.errors import InvalidDocument
from schemas.messages import Headers, Message, TimestampType
from schemas.settings import MIB

STANDARD_INPUT = "-"
MAX_DOCUMENT_BYTES = 16 * MIB


class Format(StrEnum):
    """How documents are written in a file."""

    AUTO = "auto"
    JSONL = "jsonl"
    JSON = "json"
    TEXT = "text"
    MARKDOWN = "markdown"


SUFFIXES = {
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".json": Format.JSON,
    ".txt": Format.TEXT,
    ".text": Format.TEXT,
    ".md": Format.MARKDOWN,
    ".markdown": Format.MARKDOWN,
}
CONTENT_TYPES = {Format.TEXT: "text/plain", Format.MARKDOWN: "text/markdown"}


@dataclass(frozen=True, slots=True)
class Found:
    """A document that can be published, and the bytes it was read from."""

    document: Document
    source: str
    line: int | None
    size: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that is no document, where it stands and why. ``code`` is that of its dead letter, had it been sent."""

    source: str
    line: int | None
    code: str
    reason: str

    def __str__(self) -> str:
        place = self.source if self.line is None else f"{self.source}:{self.line}"
        return f"{place}: {self.reason} ({self.code})"


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file of a folder that is hidden or of no known kind."""

    source: str


Item = Found | Refusal | Skipped


@dataclass(frozen=True, slots=True)
class Reading:
    """How to read: the format, the tenant of every document, and the most bytes a worker takes."""

    form: Format = Format.AUTO
    tenant: str | None = None
    max_document_bytes: int = MAX_DOCUMENT_BYTES

    def read(self, paths: Iterable[str]) -> Iterator[Item]:
        """Yield what the files hold, in the order named and folders sorted; ``-`` is standard input."""
        for path in paths:
            if path == STANDARD_INPUT:
                yield from self._read_stream()
            elif Path(path).is_dir():
                yield from self._read_folder(Path(path))
            else:
                yield from self._read_file(Path(path))

    def _read_folder(self, folder: Path) -> Iterator[Item]:
        for name, folders, files in os.walk(folder):
            folders[:] = sorted(inner for inner in folders if not inner.startswith("."))
            for file in sorted(files):
                path = Path(name, file)
                known = SUFFIXES.get(path.suffix.lower())
                wanted = known is not None and self.form in (Format.AUTO, known)
                if file.startswith(".") or not wanted or not path.is_file():
                    yield Skipped(str(path))
                else:
                    yield from self._read_file(path)

    def _read_file(self, path: Path) -> Iterator[Item]:
        source = str(path)
        form = self.form if self.form is not Format.AUTO else SUFFIXES.get(path.suffix.lower())
        if form is None:
            known = ", ".join(SUFFIXES)
            yield Refusal(source, None, "unknown-format", f"none of {known}: say what it is with --format")
            return
        try:
            with path.open("rb") as file:
                yield from self._read_open(file, source, form, identity(path))
        except OSError as error:
            yield Refusal(source, None, "unreadable", error.strerror or type(error).__name__)

    def _read_stream(self) -> Iterator[Item]:
        # Not sys.stdin: a thread that waits in its buffer for ever would keep the interpreter from ending.
        with open(0, "rb", closefd=False) as file:
            yield from self._read_open(file, "standard input", self.form, "stdin")

    def _read_open(self, file: BinaryFile, source: str, form: Format, name: str) -> Iterator[Item]:
        if file.peek(2)[:2] in (b"\xff\xfe", b"\xfe\xff"):
            yield Refusal(source, None, "invalid-document", "this is UTF-16, UTF-8 is needed")
        elif form in CONTENT_TYPES:
            yield self._whole(file, source, form, name)
        elif (layout := Layout.LINES if form is Format.JSONL else layout_of(file)) is None:
            reason = "begins neither with { nor with [: is it JSON? For others say --format text or markdown"
            yield Refusal(source, None, "unknown-format", reason)
        else:
            limit = self.max_document_bytes
            yield from (self._value(piece, source) for piece in pieces(file, layout, limit))

    def _value(self, piece: Piece, source: str) -> Item:
        if piece.raw is None:
            reason = f"the document has more than {self.max_document_bytes} bytes"
            return Refusal(source, piece.line, "document-too-large", reason)
        if not piece.raw:
            return Refusal(source, piece.line, "invalid-document", "the array does not end, or an item is missing")
        try:
            return Found(self._decoded(piece.raw), source, piece.line, len(piece.raw))
        except InvalidDocument as error:
            other = self.tenant is not None and error.path == "$.tenant"
            reason = f"the document names another tenant than {self.tenant}" if other else str(error)
            return Refusal(source, piece.line, error.code, reason)

    def _whole(self, file: BinaryFile, source: str, form: Format, name: str) -> Item:
        raw = file.read(self.max_document_bytes + 1)
        if len(raw) > self.max_document_bytes:
            return self._value(Piece(1, None), source)
        try:
            text = raw.decode("utf-8-sig")
            title = first_heading(text) if form is Format.MARKDOWN else None
            tenant = DEFAULT_TENANT if self.tenant is None else self.tenant
            document = Document(tenant, name, text, None, title, None, CONTENT_TYPES[form])
            return Found(self._decoded(record_of(document).value or b""), source, None, len(raw))
        except UnicodeDecodeError as error:
            reason = f"not UTF-8 at byte {error.start}: convert it, for instance with iconv -f latin1 -t utf-8"
            return Refusal(source, None, "invalid-document", reason)
        except InvalidDocument as error:
            return Refusal(source, None, error.code, str(error))

    def _decoded(self, value: bytes) -> Document:
        """Decode a value as the worker will. Naming another tenant than the one asked for is a disagreement."""
        told: Headers = () if self.tenant is None else ((headers.TENANT, self.tenant.encode()),)
        message = Message("", 0, 0, 0, TimestampType.CREATE_TIME, None, value, told)
        subject = decode(message, 0, self.max_document_bytes).subject
        assert isinstance(subject, Document)  # noqa: S101 - only a null value is a deletion
        return subject


def identity(path: Path) -> str:
    """Return the id of a file: its path relative to the current folder, or in full where it lies elsewhere.

    So two files never share an id, and a file has the same one whether it or its folder was named.
    """
    full, here = path.absolute(), Path.cwd()
    return (full.relative_to(here) if full.is_relative_to(here) else full).as_posix()
