"""Statements, and where they stand."""

import re
from collections import Counter

from schemas.sql import QUERIES, queries, script


def test_a_name_stands_in_one_file_and_once() -> None:
    names = Counter(name for file in QUERIES for name in re.findall(r"(?m)^-- (\w+) --$", script(file)))
    assert [name for name, count in names.items() if count > 1] == [], "of two statements one would be forgotten"
    assert queries({"index": "docs", "vector_schema": "public"}).keys() == names.keys()
