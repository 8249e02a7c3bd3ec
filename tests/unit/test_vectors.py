"""Vector i is text i's, or the reply is refused."""

from base64 import b64encode
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.core import vectors
from consumers.core.vectors import unpack
from schemas.errors import MalformedReply, ProviderMisconfigured

THREE = ([1.0, 0.0], [0.0, 2.0], [-3.0, 0.5])
NAN, INF = float("nan"), float("inf")


def base64(numbers: Sequence[float]) -> str:
    return b64encode(np.array(numbers, "<f4").tobytes()).decode()


def packed(numbers: Sequence[float]) -> bytes:
    return np.array(numbers, ">f4").tobytes()


def items(vectors: Sequence[Any], index: Sequence[int | None] | None = None) -> list[dict[str, Any]]:
    places = range(len(vectors)) if index is None else index
    return [
        {"object": "embedding", "embedding": vector} | ({} if place is None else {"index": place})
        for place, vector in zip(places, vectors, strict=True)
    ]


def body(data: Any, **fields: Any) -> bytes:  # noqa: ANN401 - also what is no list of items
    return msgspec.json.encode({"object": "list", "data": data, "model": "m", **fields})


def test_base64_little_endian_becomes_packed_big_endian() -> None:
    unpacked = unpack(body(items([base64(v) for v in THREE])), 3, 2)
    assert unpacked.vectors == [packed(v) for v in THREE]
    assert unpacked.vectors[0] == b"\x3f\x80\x00\x00\x00\x00\x00\x00"
    assert unpacked.faults == {}


def test_lists_of_numbers_are_the_same_as_base64_also_mixed_in_one_reply() -> None:
    mixed = [list(THREE[0]), base64(THREE[1]), list(THREE[2])]
    assert unpack(body(items(mixed)), 3, 2).vectors == [packed(v) for v in THREE]


@pytest.mark.parametrize(("plain", "escaped"), [("/", "\\/"), ("+", "\\u002b"), ("A", "\\u0041")])
@pytest.mark.parametrize("numbers", [2, 3])
def test_base64_may_be_escaped_as_any_string_of_json(numbers: int, plain: str, escaped: str) -> None:
    told = body(items([base64([n * 0.37, -n * 1e9, n + 1e-3][:numbers]) for n in range(1, 300)]))
    assert (changed := told.replace(plain.encode(), escaped.encode())) != told
    assert unpack(changed, 299, numbers) == unpack(told, 299, numbers)


@pytest.mark.parametrize("wrong", ["AAAA!AAA", "AAAA AAA", "AAA", "AAAAAAAA=", "AAAA\u00e4AAA"])
def test_what_is_no_base64_is_no_vector(wrong: str) -> None:
    with pytest.raises(MalformedReply, match="no list of vectors"):
        unpack(body(items([wrong])), 1, None)


def test_whole_numbers_in_a_list_are_numbers() -> None:
    assert unpack(body(items([[1, 0]])), 1, 2).vectors == [packed([1, 0])]


def test_vectors_go_to_the_texts_that_their_index_names() -> None:
    shuffled = items([base64(THREE[2]), base64(THREE[0]), base64(THREE[1])], [2, 0, 1])
    assert unpack(body(shuffled), 3, 2).vectors == [packed(v) for v in THREE]


def test_without_any_index_the_position_counts() -> None:
    assert unpack(body(items([base64(v) for v in THREE], [None] * 3)), 3, 2).vectors == [packed(v) for v in THREE]


@pytest.mark.parametrize(
    ("index", "complaint"),
    [
        ([0, None, 2], "only 2 of 3"),
        ([None, 1, None], "only 1 of 3"),
        ([0, 1, 1], "same text"),
        ([1, 2, 3], "text 3 of 3"),
        ([0, 1, -1], "text -1 of 3"),
    ],
)
def test_an_index_that_leaves_doubt_is_refused(index: list[int | None], complaint: str) -> None:
    with pytest.raises(MalformedReply, match=complaint):
        unpack(body(items([base64(v) for v in THREE], index)), 3, 2)


@pytest.mark.parametrize("count", [2, 4])
def test_another_number_of_vectors_than_texts_is_refused(count: int) -> None:
    with pytest.raises(MalformedReply, match=f"3 vectors for {count} texts"):
        unpack(body(items([base64(v) for v in THREE])), count, 2)


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"null",
        b"[]",
        b"<html>",
        b'{"data": null}',
        b'{"embeddings": []}',
        b'{"data": {"embedding": [1, 2]}}',
        b'{"data": [{"index": 0}]}',
        b'{"data": [{"index": 0, "embedding": null}]}',
        b'{"data": [{"index": 0, "embedding": [[1, 2]]}]}',
        b'{"data": [{"index": 0, "embedding": "no base64!"}]}',
        b'{"data": [{"index": "0", "embedding": [1, 2]}]}',
        b'{"data": [{"index": 0, "embedding": [1, NaN]}]}',
        b'{"data": [{"index": 0, "embedding": [1, 2]}',
        b'{"data": "\xff"}',
        b"[" * 10_000,
        b'{"data": ' + b"[" * 10_000,
    ],
)
def test_what_is_no_list_of_vectors_is_refused(reply: bytes) -> None:
    with pytest.raises(MalformedReply, match="no list of vectors"):
        unpack(reply, 1, 2)


@pytest.mark.parametrize(
    ("bad", "fault"),
    [
        (base64([NAN, 1]), "not every number is finite"),
        (base64([1, INF]), "not every number is finite"),
        (base64([1, -INF]), "not every number is finite"),
        ([1.0, None], "not every number is finite"),
        ([1.0, 1e300], "not every number is finite"),
        (base64([0, 0]), "every number is 0"),
        (base64([0, -0.0]), "every number is 0"),
        ([0, 0], "every number is 0"),
        (base64([1]), "1 dimensions instead of 2"),
        (base64([1, 2, 3]), "3 dimensions instead of 2"),
        ("", "0 dimensions instead of 2"),
        ([], "0 dimensions instead of 2"),
        (b64encode(b"1234567").decode(), "7 bytes are no whole number of float32"),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_bad_vector_is_named_and_its_neighbours_are_kept(place: int, bad: object, fault: str) -> None:
    vectors: list[Any] = [base64(v) for v in THREE]
    vectors[place] = bad
    unpacked = unpack(body(items(vectors)), 3, 2)
    assert unpacked.faults == {place: fault}
    assert unpacked.vectors == [None if i == place else packed(v) for i, v in enumerate(THREE)]


@pytest.mark.parametrize(
    ("bad", "fault"),
    [
        (base64([1, 2, NAN]), "not every number is finite"),
        (base64([0, 0, 0]), "every number is 0"),
        (base64([1, 2]), "2 dimensions instead of 3"),
        (b64encode(b"eleven byte").decode(), "11 bytes are no whole number of float32"),
        (b64encode(b"ten bytes.").decode(), "10 bytes are no whole number of float32"),
        (b64encode(b"thirteen byte").decode(), "13 bytes are no whole number of float32"),
        ([1.0, 2.0, None], "not every number is finite"),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_bad_vector_is_named_where_all_strings_are_read_at_once(place: int, bad: object, fault: str) -> None:
    good = [[*v, 0.25] for v in THREE]
    vectors: list[Any] = [base64(v) for v in good]
    vectors[place] = bad
    unpacked = unpack(body(items(vectors)), 3, 3)
    assert unpacked.faults == {place: fault}
    assert unpacked.vectors == [None if i == place else packed(v) for i, v in enumerate(good)]


@pytest.mark.parametrize("wrong", ["AAAA!AAAAAAAAAAA", "AAAA=AAAAAAAAAAA", "=AAAAAAAAAAAAAAA"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_string_of_the_right_length_that_is_no_base64_is_no_vector(place: int, wrong: str) -> None:
    vectors = [base64([*v, 0.25]) for v in THREE]
    vectors[place] = wrong
    with pytest.raises(MalformedReply, match="no list of vectors"):
        unpack(body(items(vectors)), 3, 3)


@pytest.mark.parametrize("vector", [[0, 1], [1, 0], [1e30, 1e30], [1e-30, 0], [-1, 0]])
def test_strange_but_usable_vectors_are_kept(vector: list[float]) -> None:
    assert unpack(body(items([base64(vector)])), 1, 2).vectors == [packed(vector)]


def test_every_vector_unusable_for_itself_is_no_fault_of_the_settings() -> None:
    unpacked = unpack(body(items([base64([0, 0]), base64([NAN, 1])])), 2, 2)
    assert unpacked.vectors == [None, None]
    assert set(unpacked.faults) == {0, 1}


def test_every_vector_of_another_length_is_a_fault_of_the_settings() -> None:
    with pytest.raises(ProviderMisconfigured, match="2 dimensions instead of 3"):
        unpack(body(items([base64(v) for v in THREE])), 3, 3)


def test_every_vector_of_another_length_is_blamed_on_the_texts_when_that_is_known() -> None:
    unpacked = unpack(body(items([base64(v) for v in THREE])), 3, 3, blame_items=True)
    assert unpacked.vectors == [None] * 3
    assert set(unpacked.faults) == {0, 1, 2}


def test_without_configured_dimensions_most_vectors_decide() -> None:
    unpacked = unpack(body(items([base64([1]), base64([1, 2]), base64([3, 4])])), 3, None)
    assert unpacked.vectors == [None, packed([1, 2]), packed([3, 4])]
    assert unpacked.faults == {0: "1 dimensions instead of 2"}


@pytest.mark.parametrize("nothing", ["", b64encode(b"123").decode()])
def test_without_configured_dimensions_a_length_that_no_vector_has_is_refused(nothing: str) -> None:
    with pytest.raises(ProviderMisconfigured):
        unpack(body(items([nothing, nothing])), 2, None)


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"total_tokens": 7, "prompt_tokens": 5}, 7),
        ({"prompt_tokens": 5}, 5),
        ({"total_tokens": 0}, None),
        ({"total_tokens": -3}, None),
        ({"total_tokens": "many"}, None),
        ({"total_tokens": 1.5}, None),
        ({}, None),
        (None, None),
        ("free", None),
    ],
)
def test_a_strange_usage_costs_nobody_a_vector(usage: object, tokens: int | None) -> None:
    unpacked = unpack(body(items([base64([1, 2])]), usage=usage), 1, 2)
    assert unpacked.tokens == tokens
    assert unpacked.vectors == [packed([1, 2])]


def test_a_missing_usage_is_none() -> None:
    assert unpack(body(items([base64([1, 2])])), 1, 2).tokens is None


@given(
    vectors=st.lists(
        st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=3, max_size=3).filter(any),
        min_size=1,
        max_size=8,
    ),
    order=st.randoms(use_true_random=False),
    floats=st.booleans(),
)
def test_any_order_of_indexed_vectors_comes_out_the_same(vectors: list[list[float]], order: Any, floats: bool) -> None:  # noqa: ANN401, FBT001 - hypothesis draws them
    data = items([vector if floats else base64(vector) for vector in vectors])
    order.shuffle(data)
    assert unpack(body(data), len(vectors), 3).vectors == [packed(vector) for vector in vectors]


@given(
    st.binary()
    | st.recursive(
        st.none() | st.integers() | st.text(),
        lambda s: st.lists(s) | st.dictionaries(st.sampled_from(["data", "index", "embedding", "usage"]), s),
    ).map(msgspec.json.encode)
)
def test_no_body_whatever_raises_anything_but_our_errors(reply: bytes) -> None:
    with suppress(MalformedReply, ProviderMisconfigured):
        unpack(reply, 1, 2)


GOOD = [base64([1.0, n + 0.5, 2.0]) for n in range(3)]
PIECES = (
    *(f'"{vector}"' for vector in GOOD),
    f'"{GOOD[0]}"'.replace("/", "\\/").replace("A", "\\u0041"),
    "[0.25,1.5,1]",
    f'"{base64([1.0, 2.0])}"',
    '""',
    "null",
    '"not base64"',
    '"AAAA\\"',
    '"AA\\"AA"',
    '{"embedding":"AAAA"}',
    f'"AAAA","embedding":"{GOOD[1]}"',
    f'[1,2],"other":{{"embedding":"{GOOD[1]}"}}',
    f'"{GOOD[2]}","said":"\\"embedding\\":\\"AAAA"',
    f'"{GOOD[2]}","long":"{"x" * 5000}"',
    f'"{GOOD[2]}',
)


def outcome(reply: bytes, count: int) -> object:
    try:
        return unpack(reply, count, 3)
    except (MalformedReply, ProviderMisconfigured) as error:
        return type(error)


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=5), st.sampled_from(["", " ", "\n  "]), st.booleans())
def test_a_reply_says_the_same_with_its_strings_lifted_out(pieces: list[str], blank: str, indexed: bool) -> None:  # noqa: FBT001 - drawn
    said = [f'{{"index":{n},' if indexed else "{" for n in range(len(pieces))]
    data = ",".join(f'{begin}"embedding"{blank}:{blank}{piece}}}' for begin, piece in zip(said, pieces, strict=True))
    reply = f'{{"object":"list","data":[{data}],"usage":{{"total_tokens":7}}}}'.encode()
    told = outcome(reply, len(pieces))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vectors, "_lifted", lambda _: None)
        assert outcome(reply, len(pieces)) == told
