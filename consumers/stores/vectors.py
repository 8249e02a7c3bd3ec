"""How does a packed vector become what pgvector sends and receives?

A vector is big-endian float32 everywhere in this program. pgvector's binary form of ``vector`` is the same behind a
header of four bytes, that of ``halfvec`` has float16 behind the same header.
"""

import struct
from collections.abc import Callable, Sequence
from operator import itemgetter

import numpy as np

_HEADER = struct.Struct(">HH")
HEADER_BYTES = _HEADER.size
ITEM_BYTES = {"vector": 4, "halfvec": 2}

without_header: Callable[[bytes], bytes] = itemgetter(slice(HEADER_BYTES, None))
"""Return the packed numbers of pgvector's binary form."""


def header_of(vector_type: str) -> Callable[[bytes], bytes]:
    """Return what puts the header before packed numbers of *vector_type*."""
    known: dict[int, bytes] = {}

    def with_header(packed: bytes) -> bytes:
        header = known.get(len(packed))
        if header is None:
            header = known[len(packed)] = header_for(len(packed), vector_type)
        return header + packed

    return with_header


def header_for(size: int, vector_type: str) -> bytes:
    """Return the header of packed numbers that take *size* bytes. Raises ValueError where they are no *vector_type*."""
    length, rest = divmod(size, ITEM_BYTES[vector_type])
    if rest:
        raise ValueError(f"{size} bytes are no {vector_type}")
    return _HEADER.pack(length, 0)


def stored_form(vectors: Sequence[bytes], vector_type: str) -> Sequence[bytes]:
    """Return the vectors in the numbers of the column: as they are, or halved at once for the whole group."""
    if vector_type == "vector" or not vectors:
        return vectors
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and PostgreSQL refuses it by name
        halves = np.frombuffer(b"".join(vectors), ">f4").astype(">f2").tobytes()
    ends = np.cumsum([len(vector) // 2 for vector in vectors]).tolist()
    return [halves[start:end] for start, end in zip([0, *ends], ends, strict=False)]
