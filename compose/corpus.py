"""What does everybody have who runs Python, and can judge? The documentation of its standard library.

One Markdown document a module, made from the docstrings by parsing the sources: nothing is imported.
"""

import ast
import os
import sysconfig
import tokenize
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import orjson

from schemas.documents import DEFAULT_TENANT, Document

NOT_DOCUMENTATION = frozenset(
    {
        "__pycache__",
        "dist-packages",
        "distutils",
        "encodings",
        "ensurepip",
        "idlelib",
        "lib2to3",
        "pydoc_data",
        "site-packages",
        "test",
        "tests",
        "turtledemo",
    }
)
"""Folders of tests, tables and applications, and of what was installed beside the library."""

DEEPEST_HEADING = 6
LONGEST_TITLE = 120

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Section(NamedTuple):
    """A heading, and the docstring below it."""

    heading: str
    docstring: str | None


class Source(NamedTuple):
    """A module of the library: its name, and its file relative to the library's folder."""

    module: str
    path: Path


def corpus(library: Path | None = None) -> Iterator[Document]:
    """Yield the documents of all modules that document something, in the order of their names.

    About 350 documents of 6,000 docstrings, in two or three seconds, nearly all of them for parsing.
    """
    folder = library or Path(sysconfig.get_path("stdlib"))
    for source in sources(folder):
        if (document := document_of(source, folder)) is not None:
            yield document


def sources(folder: Path) -> list[Source]:
    """Return the modules below *folder*, without tests and without what was installed beside them."""
    found = []
    for name, inner, files in os.walk(folder):
        inner[:] = [one for one in inner if one not in NOT_DOCUMENTATION and one.isidentifier()]
        for file in files:
            path = Path(name, file).relative_to(folder)
            if path.suffix == ".py" and path.stem.isidentifier():
                parts = path.with_suffix("").parts
                found.append(Source(".".join(parts[:-1] if parts[-1] == "__init__" else parts), path))
    return sorted(source for source in found if source.module)


def document_of(source: Source, folder: Path) -> Document | None:
    """Return the documentation of one module; None where there is none, or where it can not be parsed."""
    try:
        with tokenize.open(folder / source.path) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the sources' invalid escapes, which are not ours to mend
            tree = ast.parse(file.read())
    except (OSError, SyntaxError, ValueError):
        return None
    told = ast.get_docstring(tree)
    sections = ([Section("", told)] if told else []) + list(_sections(tree, "", 2))
    if not any(section.docstring for section in sections):
        return None
    written = [f"# {source.module}"]
    for section in sections:
        written += [part for part in section if part]
    metadata = {
        "module": source.module,
        "path": source.path.as_posix(),
        "docstrings": sum(1 for section in sections if section.docstring),
    }
    return Document(
        DEFAULT_TENANT,
        source.module,
        "\n\n".join(written) + "\n",
        title=_title(source.module, told),
        metadata=orjson.dumps(metadata).decode(),
        content_type="text/markdown",
    )


def _sections(scope: ast.AST, prefix: str, depth: int) -> Iterator[Section]:
    """Yield the public classes, functions and methods of a scope that are documented, or hold what is."""
    for node in ast.iter_child_nodes(scope):
        if isinstance(node, ast.ClassDef) and not _is_private(node.name):
            inner = list(_sections(node, f"{prefix}{node.name}.", depth + 1))
            if (told := ast.get_docstring(node)) or inner:
                yield Section(f"{_marks(depth)} class {prefix}{node.name}{_bases(node)}", told)
                yield from inner
        elif isinstance(node, Function) and not _is_private(node.name):
            if told := ast.get_docstring(node):
                yield Section(f"{_marks(depth)} {prefix}{node.name}({ast.unparse(node.args)})", told)
        elif isinstance(node, ast.If | ast.Try):  # by platform, or by what can be imported
            yield from _sections(node, prefix, depth)


def _is_private(name: str) -> bool:
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__"))


def _marks(depth: int) -> str:
    return "#" * min(depth, DEEPEST_HEADING)


def _bases(node: ast.ClassDef) -> str:
    return f"({', '.join(ast.unparse(base) for base in node.bases)})" if node.bases else ""


def _title(module: str, told: str | None) -> str:
    first = (told or "").strip().partition("\n")[0].strip()
    return f"{module}: {first}"[:LONGEST_TITLE] if first else module
