"""How do vectors get into a file as large as they come, in the memory of a few?

The matrix is a ``.npy`` file of its final size, of which a window at a time is mapped, filled, flushed and let go: what
was written stands neither in this process nor, for long, in the page cache. Lines go to a second file, behind their
vectors: whoever finds a whole line finds its vector.
"""

import os
from collections.abc import Generator, Sequence
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np

from schemas.errors import HeadraceError
from schemas.exports import DType, Place, Row

_STORED = {"vector": ">f4", "halfvec": ">f2"}
_WRITTEN = {"float32": "<f4", "float16": "<f2"}

_encoder = msgspec.json.Encoder()


class Matrix:
    """A matrix of *rows* vectors and the lines beside it; both are opened with the first *kept* rows as they are.

    Raises OSError where the disk is full or can not be written: the room for all vectors is taken at once, since a
    mapped file that runs out of disk would end the process.
    """

    def __init__(self, vectors: Path, lines: Path, dtype: DType, rows: int, dimensions: int, *, kept: "Kept") -> None:
        self._path = vectors
        self._dtype = np.dtype(_WRITTEN[dtype])
        self._shape = rows, dimensions
        self._done = kept.rows
        self._data_at = self._prepare()
        self._lines: IO[bytes] = lines.open("r+b" if kept.rows else "wb")
        self._lines.truncate(kept.bytes)
        self._lines.seek(kept.bytes)

    def __repr__(self) -> str:
        return f"<Matrix {self._path} {self._done} of {self._shape[0]} rows>"

    @property
    def done(self) -> int:
        """How many rows are written."""
        return self._done

    def append(self, rows: Sequence[Row], vectors: Sequence[bytes], vector_type: str) -> None:
        """Write rows and their vectors, packed as a column of *vector_type* holds them, behind those before."""
        width = self._shape[1]
        stored = np.frombuffer(b"".join(vectors), _STORED[vector_type]).reshape(len(rows), width)
        with np.errstate(over="ignore"):
            numbers = stored.astype(self._dtype)
        if not np.isfinite(numbers).all():
            raise HeadraceError("a vector has numbers too large for float16: export as float32")
        begin = self._data_at + self._done * width * self._dtype.itemsize
        window = np.memmap(self._path, self._dtype, "r+", offset=begin, shape=numbers.shape)
        window[:] = numbers
        window.flush()
        del window
        self._forget(begin, numbers.nbytes)
        self._lines.writelines(_encoder.encode(row) + b"\n" for row in rows)
        self._lines.flush()
        self._done += len(rows)

    def close(self) -> None:
        """Put everything on the disk."""
        self._lines.flush()
        os.fsync(self._lines.fileno())
        self._lines.close()

    def _prepare(self) -> int:
        """Make the file as long as it will be, with its header; return where the first vector begins."""
        header = _header(self._dtype, self._shape)
        size = len(header) + self._shape[0] * self._shape[1] * self._dtype.itemsize
        with self._path.open("r+b" if self._done else "wb") as file:
            file.write(header)
            file.truncate(size)
            file.flush()
            if hasattr(os, "posix_fallocate"):  # not everywhere
                os.posix_fallocate(file.fileno(), 0, size)
        return len(header)

    def _forget(self, begin: int, size: int) -> None:
        """Let the page cache keep what others need."""
        if not hasattr(os, "posix_fadvise"):  # not everywhere
            return
        with self._path.open("rb") as file:
            os.posix_fadvise(file.fileno(), begin, size, os.POSIX_FADV_DONTNEED)


class Kept(msgspec.Struct, frozen=True):
    """How much of an earlier run can stay: so many rows, which are so many bytes of lines."""

    rows: int = 0
    bytes: int = 0


def written(
    vectors: Path, lines: Path, dtype: DType, dimensions: int
) -> Generator[tuple[list[Place], Kept], None, None]:
    """Yield the rows of each document that an earlier run wrote, and how much there is up to its end.

    The last one may be incomplete. Ends where a line is, or where its vector does not fit into the file.
    """
    header = len(_header(np.dtype(_WRITTEN[dtype]), (0, dimensions)))
    room = (vectors.stat().st_size - header) // (dimensions * np.dtype(_WRITTEN[dtype]).itemsize)
    group: list[Place] = []
    rows = size = 0
    with lines.open("rb") as file:
        for line in file:
            row = _decoded(line) if rows < room else None
            if row is None:
                break
            if group and (row.tenant, row.id) != (group[0].tenant, group[0].id):
                yield group, Kept(rows, size)
                group = []
            group.append(row)
            rows, size = rows + 1, size + len(line)
    if group:
        yield group, Kept(rows, size)


def _decoded(line: bytes) -> Place | None:
    if not line.endswith(b"\n"):
        return None
    try:
        return msgspec.json.decode(line, type=Place)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _header(dtype: "np.dtype[Any]", shape: tuple[int, int]) -> bytes:
    """Return the beginning of a ``.npy`` file. numpy leaves it room to grow: it is as long for any number of rows."""
    file = BytesIO()
    form = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, form)
    return file.getvalue()
