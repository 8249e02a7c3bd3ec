"""The rules of a document's fields, shared by publisher and worker."""

import pytest

from schemas.errors import InvalidDocument
from schemas.rules import document_id, tenant_of, text_of, version_of


def test_no_tenant_is_the_default_tenant() -> None:
    assert tenant_of(None) == "default"


@pytest.mark.parametrize("tenant", ["a", "A.b_c-9", "x" * 64])
def test_a_good_tenant_stays(tenant: str) -> None:
    assert tenant_of(tenant) == tenant


@pytest.mark.parametrize("tenant", ["", "a b", "a/b", "x" * 65, "a\n", "é", "\ud800"])
def test_a_bad_tenant_is_refused(tenant: str) -> None:
    with pytest.raises(InvalidDocument) as refused:
        tenant_of(tenant)
    assert (refused.value.code, refused.value.path) == ("invalid-document", "$.tenant")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("a", "a"),
        (7, "7"),
        (-7, "-7"),
        (1.5, "1.5"),
        (1e22, "10000000000000000000000"),
        (1e-7, "0.0000001"),
        ("ü/ /", "ü/ /"),
        ("x" * 1024, "x" * 1024),
    ],
)
def test_an_id_is_text_or_the_decimal_string_of_a_number(given: str | float, expected: str) -> None:
    assert document_id(given) == expected


@pytest.mark.parametrize("given", ["x" * 1025, "é" * 513, "a\udc80", float("inf"), float("nan"), True, 2**64])
def test_an_id_that_can_not_be_indexed_is_refused(given: str | float) -> None:
    with pytest.raises(InvalidDocument) as refused:
        document_id(given)
    assert (refused.value.code, refused.value.path) == ("invalid-document", "$.id")


def test_an_integer_of_thousands_of_digits_is_refused_as_an_id() -> None:
    with pytest.raises(InvalidDocument):
        document_id(10**5000)


def test_an_empty_id_is_a_missing_id() -> None:
    with pytest.raises(InvalidDocument) as refused:
        document_id("")
    assert refused.value.code == "missing-id"


@pytest.mark.parametrize("given", [0, -(2**63), 2**63 - 1])
def test_a_version_has_64_bits(given: int) -> None:
    assert version_of(given) == given


@pytest.mark.parametrize("given", [-(2**63) - 1, 2**63, True])
def test_a_version_outside_of_64_bits_is_refused(given: int) -> None:
    with pytest.raises(InvalidDocument) as refused:
        version_of(given)
    assert (refused.value.code, refused.value.path) == ("invalid-document", "$.version")


@pytest.mark.parametrize("given", [None, "", " \t\n\u3000"])
def test_a_text_without_words_is_refused(given: str | None) -> None:
    with pytest.raises(InvalidDocument) as refused:
        text_of(given)
    assert refused.value.code == "empty-text"


def test_a_text_that_is_no_utf8_is_refused() -> None:
    with pytest.raises(InvalidDocument) as refused:
        text_of("a\ud83d")
    assert (refused.value.code, refused.value.path) == ("invalid-document", "$.text")


def test_a_text_stays_as_it_is() -> None:
    assert text_of("  words \n") == "  words \n"
