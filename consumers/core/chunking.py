"""Into which pieces is a text cut?

A short text stays whole. Boundaries are semantic (paragraph, sentence, word) and deterministic: the same text under
the same settings gives the same chunks, which is what makes unchanged text free.
"""

import hashlib
import re

from semantic_text_splitter import MarkdownSplitter, TextSplitter

from schemas.index import ChunkRow
from schemas.settings import ChunkingSettings

CHARACTERS_PER_TOKEN = 4
LONG_TEXT = 32_768
"""Characters above which a text is to be split off the event loop: Markdown takes about 0.4 us a character."""

LINE = 16_384
"""Characters of a line above which it is cut before it is split."""
SENTENCE_ENDS = (". ", "! ", "? ", "。")

HASH_BYTES = 16
"""How much of its text's digest is the hash of a chunk."""

MARKDOWN_TYPES = frozenset({"text/markdown", "text/x-markdown"})
PLAIN_TYPES = frozenset({"text/plain"})
CHARACTERS = "characters/4"


def media_type(content_type: str) -> str:
    """Return the type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def is_known(content_type: str | None) -> bool:
    """Say whether a chunking exists for this content type; unknown ones are treated as plain text."""
    return content_type is None or media_type(content_type) in MARKDOWN_TYPES | PLAIN_TYPES


class Chunker:
    """Cut texts by one set of settings. A text of at most ``whole`` characters is never cut."""

    def __init__(self, settings: ChunkingSettings) -> None:
        """Prepare both splitters. Raises ValueError where the tokenizer's file or the overlap is not usable."""
        self._kind = settings.kind
        self._usual = settings.max_tokens * CHARACTERS_PER_TOKEN
        if settings.tokenizer is None:
            size, overlap = self._usual, settings.overlap * CHARACTERS_PER_TOKEN
            self.whole = size
            self._text = TextSplitter(size, overlap)
            self._markdown = MarkdownSplitter(size, overlap)
        else:
            path, size, overlap = settings.tokenizer, settings.max_tokens, settings.overlap
            # A token is at least one byte and a character at most four, so that many characters always fit.
            self.whole = size // 4
            try:
                self._text = TextSplitter.from_huggingface_tokenizer_file(path, size, overlap)
                self._markdown = MarkdownSplitter.from_huggingface_tokenizer_file(path, size, overlap)
            except Exception as error:  # noqa: BLE001 - the library raises nothing narrower
                raise ValueError(f"chunking.tokenizer = {path!r}: {error}") from None

    def expected(self, characters: int) -> int:
        """Say how many chunks a text of so many *characters* makes, at least and nearly."""
        return 1 if characters <= self.whole else -(-characters // self._usual)

    def split(self, text: str, content_type: str | None) -> list[str]:
        """Return the pieces of *text*, at least one, none of them empty.

        *text* holds something but white space.
        """
        if len(text) <= self.whole:
            return [text.strip()]
        markdown = self._kind == "markdown" or (
            self._kind == "auto" and content_type is not None and media_type(content_type) in MARKDOWN_TYPES
        )
        cut = (self._markdown if markdown else self._text).chunks
        pieces = [piece for part in _parts(text) for piece in cut(part)]
        return pieces or [text.strip()]

    def chunks(self, text: str, content_type: str | None, digest: bytes | None = None) -> tuple[ChunkRow, ...]:
        """Return the chunks of *text*, without vectors; *digest* is the text's, where it is known already."""
        if len(text) <= self.whole and digest is not None:
            piece = text.strip()
            return (chunk_row(piece, digest if len(piece) == len(text) else None),)
        return tuple([chunk_row(piece) for piece in self.split(text, content_type)])


def _parts(text: str) -> list[str]:
    """Cut lines of many thousand characters behind a sentence or at a blank, for splitting one takes the square."""
    cuts, start = [0], 0
    while len(text) - start > LINE:
        newline = text.rfind("\n", start, start + LINE + 1)
        if newline >= 0:  # no line up to it is longer
            start = newline + 1
            continue
        end = text.find("\n", start + LINE)
        end = len(text) if end < 0 else end
        while end - start > LINE:
            window = text[start + LINE // 2 : start + LINE]
            found = max((window.rfind(mark) + len(mark) for mark in SENTENCE_ENDS if mark in window), default=0)
            start += LINE // 2 + (found or window.rfind(" ") + 1 or len(window))
            cuts.append(start)
        start = end
    return [text[start:end] for start, end in zip(cuts, [*cuts[1:], len(text)], strict=True)]


def text_digest(text: str) -> bytes:
    """Return blake2b-256 of a text: most documents are one chunk, and their text is hashed once."""
    return hashlib.blake2b(text.encode(), digest_size=32).digest()


def chunk_row(text: str, digest: bytes | None = None) -> ChunkRow:
    """Return a chunk for exactly this text, with its hash and its tokens as characters/4."""
    return ChunkRow(text, (digest or text_digest(text))[:HASH_BYTES], (len(text) + 3) // CHARACTERS_PER_TOKEN)


def describe(settings: ChunkingSettings) -> tuple[str, str]:
    """Return the chunking and the tokenizer as a fingerprint names them."""
    name = CHARACTERS if settings.tokenizer is None else re.split(r"[/\\]", settings.tokenizer)[-1]
    return f"{settings.kind}/{settings.max_tokens}/{settings.overlap}", name
