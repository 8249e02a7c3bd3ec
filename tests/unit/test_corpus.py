"""The demo's corpus: documentation by parsing, never by importing."""

import sys
from pathlib import Path

import orjson
import pytest

from compose.corpus import corpus, sources
from producers.documents import record_of
from schemas.documents import Document

MODULE = '''
"""Boils eggs.

Softly."""

import nothing_that_exists
raise SystemExit("it was imported")

if True:
    def boil(egg, /, minutes: int = 4, *rest, hard=False, **more) -> "Egg":
        """Boil one egg."""

def undocumented(): ...

def _private():
    """Hidden."""

class Pot(dict):
    def __init__(self, size):
        """Fill it."""

    class Lid:
        """Covers."""

        async def lift(self):
            """Look."""

class Bare:
    def method(self): ...
'''


@pytest.fixture
def library(tmp_path: Path) -> Path:
    files = {
        "eggs.py": MODULE,
        "zoo/__init__.py": '"""Animals."""',
        "zoo/cage.py": '"""Bars."""',
        "zoo/tests/__init__.py": '"""Tests."""',
        "test/support.py": '"""Tests."""',
        "site-packages/alien.py": '"""Of others."""',
        "config-3.11/makefile.py": '"""No package."""',
        "empty.py": "x = 1",
        "broken.py": "def (",
        "nul.py": '"""a"""\0',
        "latin.py": "# -*- coding: latin-1 -*-\n'''caf\u00e9'''",
        "lying.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(text.encode("latin-1"))
    (tmp_path / "lying.py").write_bytes(b"# -*- coding: utf-8 -*-\n'''\xff'''")
    return tmp_path


def named(documents: list[Document], name: str) -> Document:
    return next(document for document in documents if document.id == name)


def test_a_module_becomes_one_document_of_headings_signatures_and_docstrings(library: Path) -> None:
    eggs = named(list(corpus(library)), "eggs")
    assert eggs.text == (
        "# eggs\n\nBoils eggs.\n\nSoftly.\n\n"
        "## boil(egg, /, minutes: int=4, *rest, hard=False, **more)\n\nBoil one egg.\n\n"
        "## class Pot(dict)\n\n"
        "### Pot.__init__(self, size)\n\nFill it.\n\n"
        "### class Pot.Lid\n\nCovers.\n\n"
        "#### Pot.Lid.lift(self)\n\nLook.\n"
    )
    assert eggs.title == "eggs: Boils eggs."
    assert eggs.content_type == "text/markdown"
    assert orjson.loads(eggs.metadata or "") == {"module": "eggs", "path": "eggs.py", "docstrings": 5}


def test_only_documented_modules_of_the_library_itself_are_there_in_order(library: Path) -> None:
    assert [document.id for document in corpus(library)] == ["eggs", "latin", "zoo", "zoo.cage"]


def test_the_encoding_a_source_declares_is_used(library: Path) -> None:
    assert "caf\u00e9" in named(list(corpus(library)), "latin").text


def test_the_library_of_this_python_gives_thousands_of_docstrings_that_can_all_be_published() -> None:
    loaded = set(sys.modules)
    documents = list(corpus())
    assert set(sys.modules) == loaded
    names = [document.id for document in documents]
    assert names == sorted(set(names))
    assert {"json.decoder", "asyncio.tasks", "pathlib"} <= set(names)
    assert not any(name.startswith(("test.", "idlelib.", "site")) and name != "site" for name in names)
    counts = [orjson.loads(document.metadata or "")["docstrings"] for document in documents]
    assert 4_000 < sum(counts) < 9_000
    for document in documents:
        assert record_of(document).value


def test_documents_come_one_at_a_time(library: Path) -> None:
    documents = corpus(library)
    assert next(documents).id == "eggs"
    (library / "zoo" / "cage.py").unlink()
    assert [document.id for document in documents] == ["latin", "zoo"]


def test_sources_names_packages_by_their_folder(library: Path) -> None:
    assert ("zoo", Path("zoo/__init__.py")) in sources(library)
