"""The static embedding model: a vector per token, averaged and normalised."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from compose.embedded.extra import not_installed

Vectors = npt.NDArray[np.float32]

TEXTS_AT_ONCE = 64
TOKENS_AT_ONCE = 16_384
"""16 MiB of token vectors. A text's vector never depends on the others of its call."""


@dataclass(frozen=True)
class Embedded:
    """Row i belongs to text i; a text without meaning to the model has a row of zeros. ``tokens`` counts them all."""

    vectors: Vectors
    tokens: int


class Model:
    """WordLlama with the weights of its wheel: nothing is downloaded."""

    def __init__(self) -> None:
        try:
            import wordllama  # noqa: PLC0415 - the extra may be missing
        except ImportError as missing:
            raise not_installed() from missing
        folder = Path(wordllama.__file__).parent
        loaded = wordllama.WordLlama.load(cache_dir=folder, disable_download=True)
        self._table: Vectors = loaded.embedding
        self._tokenizer: Any = loaded.tokenizer
        self._tokenizer.no_padding()  # padded to the longest, one long text would cost memory for all

    @property
    def dimensions(self) -> int:
        """Length of a whole vector."""
        return int(self._table.shape[1])

    def embed(self, texts: Sequence[str], dimensions: int) -> Embedded:
        """Embed texts as unit vectors of the first *dimensions* numbers."""
        vectors = np.zeros((len(texts), dimensions), dtype=np.float32)
        tokens = 0
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            encoded = self._tokenizer.encode_batch(list(texts[start : start + TEXTS_AT_ONCE]), add_special_tokens=False)
            for row, encoding in enumerate(encoded, start):
                tokens += len(encoding.ids)
                vectors[row] = self._mean(encoding.ids)[:dimensions]
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        np.divide(vectors, lengths, out=vectors, where=lengths > 0)
        return Embedded(vectors, tokens)

    def _mean(self, ids: Sequence[int]) -> Vectors:
        known = np.clip(np.asarray(ids, dtype=np.int64), 0, len(self._table) - 1)
        total = np.zeros(self.dimensions, dtype=np.float32)
        for start in range(0, len(known), TOKENS_AT_ONCE):
            total += self._table[known[start : start + TOKENS_AT_ONCE]].sum(axis=0)
        return total / np.float32(max(1, len(known)))
