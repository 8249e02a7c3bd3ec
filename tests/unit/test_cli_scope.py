"""What `--where` means."""

import pytest

from compose.cli.scope import conditions
from schemas.errors import ConfigurationError


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        (None, []),
        (["lang=en"], ['{"lang":"en"}']),
        (["n=1"], ['{"n":1}', '{"n":"1"}']),
        (["a.b.c=x"], ['{"a":{"b":{"c":"x"}}}']),
        (["a.b=x", "a.c=y", "d=z"], ['{"a":{"b":"x","c":"y"},"d":"z"}']),
        (["x=a=b"], ['{"x":"a=b"}']),
        (["x="], ['{"x":""}']),
        (['tags=["a"]', 'tags=["b"]'], ['{"tags":["a","b"]}', '{"tags":"[\\"a\\"]"}'][:1]),
        (["n=1", "n=1"], ['{"n":1}', '{"n":"1"}']),
    ],
)
def test_a_condition_is_looked_for_as_json_and_as_text(told: list[str] | None, meant: list[str]) -> None:
    assert conditions(told) == meant


@pytest.mark.parametrize("told", [["lang"], ["=en"], ["a..b=1"], [".a=1"], ["n=x", "n=y"], ["a=true", "a=1"]])
def test_what_says_nothing_or_contradicts_itself_is_refused(told: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="--where"):
        conditions(told)


def test_conditions_that_can_be_read_in_too_many_ways_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="512 ways"):
        conditions([f"k{n}={n}" for n in range(9)])
