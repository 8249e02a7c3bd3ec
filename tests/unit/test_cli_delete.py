"""What `headrace delete` is asked for."""

import pytest

from compose.cli.delete import _asked
from schemas.errors import ConfigurationError


@pytest.mark.parametrize(
    ("ids", "tenant", "everything", "told"),
    [
        (None, None, False, "say what to delete"),
        (None, None, True, "--all needs --tenant"),
        (["a"], "b", True, "say either"),
        (["a"], "no such/name", False, "does not match"),
        (["x" * 1025], None, False, "1024 at most"),
        ([""], None, False, "id is empty"),
    ],
)
def test_what_makes_no_sense_is_refused(
    ids: list[str] | None, tenant: str | None, *, everything: bool, told: str
) -> None:
    with pytest.raises(ConfigurationError, match=told):
        _asked(ids, tenant, everything=everything)


def test_ids_and_the_default_tenant_are_taken_as_they_are() -> None:
    assert _asked(["a", "b c", "1"], None, everything=False) == ("default", ["a", "b c", "1"])
    assert _asked(None, "acme", everything=True) == ("acme", None)
