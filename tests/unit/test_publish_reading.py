"""What files hold, and what is refused of them."""

import codecs
import io
import json
import os
import sys
from pathlib import Path

import pytest

from compose.headings import first_heading
from compose.reading import Format, Found, Item, Reading, Refusal, Skipped, identity


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name: str, content: str | bytes) -> str:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return name


def read(*paths: str, form: Format = Format.AUTO, tenant: str | None = None, most: int = 1000) -> list[Item]:
    return list(Reading(form, tenant, most).read(paths))


def ids(items: list[Item]) -> list[str]:
    return [item.document.id for item in items if isinstance(item, Found)]


def refusals(items: list[Item]) -> list[tuple[str, int | None, str]]:
    return [(item.source, item.line, item.code) for item in items if isinstance(item, Refusal)]


def test_a_line_of_jsonl_is_a_document_with_all_its_fields() -> None:
    line = {
        "id": 7,
        "text": "words",
        "title": "T",
        "tenant": "acme",
        "version": 3,
        "content_type": "text/markdown",
        "metadata": {"b": [1, None], "a": "ü"},
        "unknown": 1,
    }
    (found,) = read(write("a.jsonl", json.dumps(line)))
    assert isinstance(found, Found)
    document = found.document
    assert (document.tenant, document.id, document.text, document.version) == ("acme", "7", "words", 3)
    assert (document.title, document.content_type) == ("T", "text/markdown")
    assert json.loads(document.metadata or "") == line["metadata"]


def test_bad_lines_are_told_with_file_line_and_code_and_the_good_ones_are_found() -> None:
    items = read(
        write(
            "a.jsonl",
            b'{"id":"1","text":"x"}\n{bad\n{"id":"3"}\n[1]\n{"text":"x"}\n{"id":"6","text":"\xff"}\n'
            b'{"id":"7","text":"\\ud800"}\n{"id":"8","text":"'
            + b"x"
            * 1000
            + b'"}\n{"id":"9","text":"x","version":1.5}\n'
            b'{"id":"10","text":"x","tenant":"a b"}\n{"id":"' + b"x" * 1025 + b'","text":"x"}\n{"id":"12","text":"x"}',
        ),
        most=1100,
    )
    assert ids(items) == ["1", "8", "12"]
    assert refusals(items) == [
        ("a.jsonl", 2, "invalid-document"),
        ("a.jsonl", 3, "empty-text"),
        ("a.jsonl", 4, "invalid-document"),
        ("a.jsonl", 5, "missing-id"),
        ("a.jsonl", 6, "invalid-document"),
        ("a.jsonl", 7, "invalid-document"),
        ("a.jsonl", 9, "invalid-document"),
        ("a.jsonl", 10, "invalid-document"),
        ("a.jsonl", 11, "invalid-document"),
    ]


def test_a_refusal_reads_as_place_reason_and_code() -> None:
    (refusal,) = read(write("a.jsonl", '\n{"id":"3"}'))
    assert str(refusal) == "a.jsonl:2: the document has no text (empty-text)"


def test_a_document_larger_than_a_worker_takes_is_refused() -> None:
    items = read(write("a.jsonl", f'{{"id":"1","text":"{"x" * 2000}"}}\n{{"id":"2","text":"x"}}'))
    assert (ids(items), refusals(items)) == (["2"], [("a.jsonl", 1, "document-too-large")])
    assert refusals(read(write("a.md", "x" * 1001))) == [("a.md", 1, "document-too-large")]
    escaped = "\x01" * 300
    assert refusals(read(write("b.txt", escaped))) == [("b.txt", None, "document-too-large")]


def test_an_array_and_an_object_for_people_are_read_item_by_item() -> None:
    array = write("a.json", '[{"id":"1","text":"x"},\n {"id":"2"},\n {"id":"3","text":"x"}]')
    printed = write("b.json", json.dumps({"id": "4", "text": "x"}, indent=2))
    items = read(array, printed)
    assert ids(items) == ["1", "3", "4"]
    assert refusals(items) == [("a.json", 2, "empty-text")]


def test_an_array_that_does_not_end_is_told() -> None:
    items = read(write("a.json", '[{"id":"1","text":"x"}'))
    assert (ids(items), refusals(items)) == (["1"], [("a.json", 1, "invalid-document")])


def test_markdown_has_its_path_as_id_and_its_first_heading_as_title() -> None:
    (found,) = read(write("docs/guide/a.md", "\ufeffintro\n\n## The *Title* ##\n\nwords"))
    assert isinstance(found, Found)
    document = found.document
    assert (document.id, document.title, document.content_type) == (
        "docs/guide/a.md",
        "The *Title*",
        "text/markdown",
    )
    assert document.text.startswith("intro")


def test_text_has_no_title() -> None:
    (found,) = read(write("a.txt", "# no heading"))
    assert isinstance(found, Found)
    assert (found.document.title, found.document.content_type, found.size) == (None, "text/plain", 12)


def test_a_folder_is_read_in_order_without_hidden_and_unknown_files() -> None:
    for name in ("d/b.md", "d/a.txt", "d/sub/x.MD", "d/.hidden.md", "d/.git/y.md", "d/c.png", "d/Z/q.jsonl"):
        write(name, '{"id":"line","text":"x"}' if name.endswith("jsonl") else "words")
    os.mkfifo("d/pipe.md")
    items = read("d")
    assert ids(items) == ["d/a.txt", "d/b.md", "line", "d/sub/x.MD"]
    assert [item.source for item in items if isinstance(item, Skipped)] == ["d/.hidden.md", "d/c.png", "d/pipe.md"]
    assert ids(read("d", form=Format.TEXT)) == ["d/a.txt"]


def test_a_file_has_one_id_whichever_way_it_is_named() -> None:
    write("d/a.md", "words")
    assert ids(read("d", "d/a.md", "./d/a.md", str(Path("d/a.md").absolute()))) == ["d/a.md"] * 4


def test_files_elsewhere_keep_their_whole_path_so_that_none_shares_an_id(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    one, two = tmp_path_factory.mktemp("one") / "a.md", tmp_path_factory.mktemp("two") / "a.md"
    assert identity(one) == str(one)
    assert identity(one) != identity(two)


@pytest.mark.parametrize("content", [b"caf\xe9", codecs.BOM_UTF16_LE + "x".encode("utf-16-le")])
def test_a_file_that_is_not_utf8_is_refused_in_words_and_the_others_are_read(content: bytes) -> None:
    items = read(write("a.txt", content), write("b.txt", "x"), write("c.jsonl", codecs.BOM_UTF16_BE + b"\0{"))
    assert ids(items) == ["b.txt"]
    assert refusals(items) == [("a.txt", None, "invalid-document"), ("c.jsonl", None, "invalid-document")]
    assert "UTF-8" in str(items[0])


def test_what_can_not_be_opened_or_is_of_no_known_kind_is_refused() -> None:
    items = read("missing.md", write("a.bin", "x"), write("b.json", "words"))
    assert refusals(items) == [
        ("missing.md", None, "unreadable"),
        ("a.bin", None, "unknown-format"),
        ("b.json", None, "unknown-format"),
    ]
    assert ids(read("a.bin", form=Format.TEXT)) == ["a.bin"]


def test_a_tenant_is_given_to_all_and_a_document_of_another_is_refused() -> None:
    lines = '{"id":"1","text":"x"}\n{"id":"2","text":"x","tenant":"acme"}\n{"id":"3","text":"x","tenant":"other"}'
    items = read(write("a.jsonl", lines), write("a.md", "x"), tenant="acme")
    assert [(item.document.tenant, item.document.id) for item in items if isinstance(item, Found)] == [
        ("acme", "1"),
        ("acme", "2"),
        ("acme", "a.md"),
    ]
    assert [str(item) for item in items if isinstance(item, Refusal)] == [
        "a.jsonl:3: the document names another tenant than acme (invalid-document)"
    ]


def test_a_name_that_is_no_utf8_is_refused_as_an_id() -> None:
    name = os.fsdecode(b"caf\xe9.txt")
    try:
        write(name, "x")
    except OSError:  # a file system that refuses such names has no such problem
        assert sys.platform == "darwin"
        return
    (refusal,) = read(name)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "invalid-document"


def test_reading_is_lazy() -> None:
    items = Reading().read([write("a.md", "x"), "b.md"])
    assert isinstance(next(items), Found)
    write("b.md", "y")
    assert ids(list(items)) == ["b.md"]


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("# A", "A"),
        ("   ### A b ###", "A b"),
        ("# C#", "C#"),
        ("#hashtag\n\n# Real", "Real"),
        ("# \n## B", "B"),
        ("---\ntitle: # no\n---\n\n# A", "A"),
        ("```\n# comment\n```\n# A", "A"),
        ("~~~~\n# x\n~~~\n# y\n~~~~\n# A", "A"),
        ("Title\n=====\n", "Title"),
        ("words\nTitle\n---\n", "Title"),
        ("words\n\n---\n\n# A", "A"),
        ("    # code", None),
        ("", None),
        ("words", None),
        ("# a" + " " * 100_000 + "b", "# a" + " " * 100_000 + "b"),
    ],
)
def test_the_first_heading_is_found_outside_of_code_and_front_matter(text: str, title: str | None) -> None:
    found = first_heading(text)
    assert found == (title if title is None or len(title) < 1000 else title[2:])


def test_standard_input_is_a_file_like_any_other() -> None:
    reading, writing = os.pipe()
    kept = os.dup(0)
    os.dup2(reading, 0)
    try:
        with io.FileIO(writing, "wb") as pipe:
            pipe.write(b'{"id":"1","text":"x"}\n{"id":"2"}\n')
        items = read("-")
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        os.close(reading)
    assert ids(items) == ["1"]
    assert refusals(items) == [("standard input", 2, "empty-text")]
