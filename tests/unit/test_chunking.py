"""Into which pieces is a text cut?"""

from pathlib import Path

import pytest

from consumers.core.chunking import Chunker, chunk_row, describe, is_known, text_digest
from schemas.settings import ChunkingSettings

PARAGRAPH = "The wheel turns because the water falls. " * 12
LONG = "\n\n".join(f"Paragraph {n}. {PARAGRAPH}" for n in range(20))


def chunker(**settings: object) -> Chunker:
    return Chunker(ChunkingSettings.model_validate(settings))


def test_a_short_text_stays_whole_but_for_the_space_around_it() -> None:
    assert chunker().split("  short \n", None) == ["short"]


def test_no_chunk_is_longer_than_the_limit_and_no_word_is_lost() -> None:
    pieces = chunker(max_tokens=100).split(LONG, None)
    assert max(map(len, pieces)) <= 400
    assert " ".join(pieces).split() == LONG.split()


def test_the_same_text_gives_the_same_chunks() -> None:
    assert chunker(max_tokens=100).chunks(LONG, None) == chunker(max_tokens=100).chunks(LONG, None)


def test_markdown_is_cut_at_its_headings() -> None:
    text = "\n\n".join(f"# Heading {n}\n\n{PARAGRAPH}" for n in range(5))
    pieces = chunker(max_tokens=140).split(text, "text/markdown; charset=utf-8")
    assert all(piece.startswith("# Heading") for piece in pieces)


def test_a_kind_that_is_set_wins_over_the_content_type() -> None:
    text = "\n\n".join(f"# Heading {n}\n\n{PARAGRAPH}" for n in range(5))
    as_text = chunker(max_tokens=140, kind="text").split(text, "text/markdown")
    assert as_text == chunker(max_tokens=140).split(text, "text/plain")


def test_neighbours_share_the_overlap() -> None:
    words = " ".join(f"w{n}" for n in range(2000))
    apart, sharing = chunker(max_tokens=100).split(words, None), chunker(max_tokens=100, overlap=20).split(words, None)
    assert len(sharing) > len(apart)
    assert sharing[1].split()[0] in sharing[0].split()


def test_a_text_without_any_boundary_is_cut_all_the_same() -> None:
    pieces = chunker(max_tokens=10).split("x" * 1000, None)
    assert "".join(pieces) == "x" * 1000


def test_a_chunk_has_the_hash_of_exactly_its_text() -> None:
    assert chunk_row("a").hash != chunk_row("b").hash
    assert chunk_row("a").hash == chunk_row("a").hash
    assert chunk_row("abcde").tokens == 2


@pytest.mark.parametrize(
    ("content_type", "known"),
    [(None, True), ("text/plain", True), ("TEXT/Markdown; x=y", True), ("application/pdf", False)],
)
def test_an_unknown_content_type_is_noticed(content_type: str | None, known: bool) -> None:  # noqa: FBT001 - a table
    assert is_known(content_type) is known


def test_a_fingerprint_names_chunking_and_tokenizer() -> None:
    assert describe(ChunkingSettings()) == ("auto/512/0", "characters/4")
    assert describe(ChunkingSettings(tokenizer="/models/a/tokenizer.json"))[1] == "tokenizer.json"


def test_a_tokenizer_that_is_not_there_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.json"):
        chunker(tokenizer=str(tmp_path / "none.json"))


def test_a_digest_that_is_known_gives_the_same_chunk_as_one_that_is_not() -> None:
    cut = chunker(max_tokens=100)
    for text in ("short", "  with blanks around it\n", LONG):
        assert cut.chunks(text, None, text_digest(text)) == cut.chunks(text, None)


@pytest.mark.parametrize("line", ["The wheel turns. " * 60_000, "x" * 1_000_000, "word " * 200_000])
def test_a_line_without_an_end_is_cut_in_linear_time_and_nothing_of_it_is_lost(line: str) -> None:
    pieces = chunker().split(f"before\n\n{line}\n\nbehind", "text/markdown")
    assert "".join("".join(pieces).split()) == "".join(f"before{line}behind".split())
    assert max(map(len, pieces)) <= 2048
    assert all(piece.endswith(".") for piece in pieces[1:-1]) or "." not in line
