"""What is a Markdown text called?"""

import io
import re
from collections.abc import Iterator

_FENCE = re.compile(r" {0,3}(```+|~~~+)")
_HEADING = re.compile(r" {0,3}#{1,6}[ \t]+([^ \t#].*)$")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*$")


def first_heading(text: str) -> str | None:
    """Return the first heading of a Markdown text, outside of front matter and of code."""
    fence, before = "", ""
    for line in _without_front_matter(text):
        if opened := _FENCE.match(line):
            mark = opened.group(1)
            if not fence:
                fence = mark
            elif mark.startswith(fence):
                fence = ""
            before = ""
        elif not fence:
            if heading := _HEADING.match(line):
                words, _, marks = heading.group(1).rpartition(" ")
                return words.rstrip() if words and not marks.strip("#") else heading.group(1)
            if before and _UNDERLINE.match(line):
                return before
            before = line.strip()
    return None


def _without_front_matter(text: str) -> Iterator[str]:
    lines = iter(io.StringIO(text))
    first = next(lines, "").rstrip()
    if first == "---":
        for line in lines:
            if line.rstrip() in ("---", "..."):
                break
    else:
        yield first
    yield from (line.rstrip() for line in lines)
