"""Which vector stands for a text where there is no model?

One that anybody can compute from the text alone, so that a test knows which text a stored vector belongs to. It is a
short pattern taken from the text's hash and repeated, of norm 1: cheap enough to keep up with any worker.
"""

import hashlib
from base64 import b64encode
from collections.abc import Sequence

import numpy as np

PATTERN = 12
"""Numbers in the pattern: 48 bytes, which base64 turns into 64 characters without a remainder."""

Matrix = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


def digest_of(text: str) -> bytes:
    """Return the 24 bytes that name a text."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=2 * PATTERN).digest()


def vector_of(text: str, dimensions: int) -> bytes:
    """Return the text's vector as it is stored: big-endian float32, packed, of norm 1."""
    return _tiled(_patterns([digest_of(text)], dimensions), dimensions).astype(">f4").tobytes()


def floats_of(digests: Sequence[bytes], dimensions: int) -> list[list[float]]:
    """Return the vectors as lists of numbers."""
    vectors: list[list[float]] = _tiled(_patterns(digests, dimensions), dimensions).tolist()
    return vectors


def base64_of(digests: Sequence[bytes], dimensions: int) -> list[bytes]:
    """Return the vectors as base64 of little-endian float32."""
    patterns = _patterns(digests, dimensions)
    if dimensions % PATTERN:
        return [b64encode(row.tobytes()) for row in _tiled(patterns, dimensions)]
    return [b64encode(row.tobytes()) * (dimensions // PATTERN) for row in patterns]


def _patterns(digests: Sequence[bytes], dimensions: int) -> Matrix:
    """Return a row of PATTERN numbers for each digest, scaled so that *dimensions* of them in turn have norm 1."""
    # Half a step off zero: no number is 0, so no vector of any length is.
    numbers = np.frombuffer(b"".join(digests), "<i2").reshape(-1, PATTERN).astype(np.float64) + 0.5
    squares = numbers * numbers
    rounds, rest = divmod(dimensions, PATTERN)
    norms = np.sqrt(rounds * squares.sum(axis=1) + squares[:, :rest].sum(axis=1))
    scaled: Matrix = (numbers / norms[:, None]).astype("<f4")
    return scaled


def _tiled(patterns: Matrix, dimensions: int) -> Matrix:
    return np.tile(patterns, -(-dimensions // PATTERN))[:, :dimensions]
