"""What does this message say? Every row of the table of odd inputs, and the origin."""

import json

import pytest

from consumers.core.decoding import decode, origin_of
from consumers.core.tracking import PartitionTracker
from schemas.documents import Deletion, Document
from schemas.errors import InvalidDocument
from schemas.messages import Headers, Message, Origin, TimestampType

NOW_MS = 1_000_000
LIMIT = 100_000
GOOD = {"id": "a", "text": "some text"}


def message(value: object, key: bytes | None = b"key", headers: Headers = (), timestamp: int = 500) -> Message:
    raw = value if isinstance(value, bytes) or value is None else json.dumps(value).encode()
    return Message(
        "docs.raw",
        0,
        7,
        timestamp,
        TimestampType.LOG_APPEND_TIME,
        key,
        raw,
        headers,
    )


def document(value: object, key: bytes | None = b"key", headers: Headers = ()) -> Document:
    subject = decode(message(value, key, headers), NOW_MS, LIMIT).subject
    assert isinstance(subject, Document)
    return subject


def refusal(value: object, key: bytes | None = b"key", headers: Headers = ()) -> str:
    with pytest.raises(InvalidDocument) as refused:
        decode(message(value, key, headers), NOW_MS, LIMIT)
    return refused.value.code


def oddities(value: object, headers: Headers = ()) -> tuple[str, ...]:
    return decode(message(value, headers=headers), NOW_MS, LIMIT).oddities


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"not json",
        b"[1]",
        b"null",
        b'"text"',
        b'{"id": "a", "text": "x"',
        b'{"id":"a","text":"x","metadata":{"k":' + b"[" * 10_000 + b"]" * 10_000 + b"}}",
        b'{"id":"a","text":"x","ignored":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        b'{"id":"a","text":"\xff"}',
        b'{"id":"\xff","text":"x"}',
        b'{"id":"a","text":"\\ud800"}',
        b'{"id":"a","text":"x","metadata":{"k":"\\ud800"}}',
        b'{"id":"a","text":"x","metadata":{"k":"\xff"}}',
        b'{"id":"a","text":5}',
        b'{"id":true,"text":"x"}',
        b'{"id":"a","text":"x","metadata":[1]}',
        b'{"id":"a","text":"x","version":"3"}',
        b'{"id":"a","text":"x","version":1.5}',
        b'{"id":"a","text":"x","version":9223372036854775808}',
        b'{"id":"a","text":"x","version":-9223372036854775809}',
        b'{"id":9223372036854775808,"text":"x"}',
        b'{"id":"a","text":"x","metadata":{"k":[{"n":123456789012345678901234567890}]}}',
        b'{"id":"a","text":"x","metadata":{"k":1e400}}',
        b'{"id":"a","text":"x","metadata":{"k":NaN}}',
    ],
    ids=range(24),
)
def test_what_is_no_document_is_refused(raw: bytes) -> None:
    assert refusal(raw) == "invalid-document"


def test_the_path_of_the_field_is_told() -> None:
    with pytest.raises(InvalidDocument, match=r"\$\.text") as refused:
        decode(message({"id": "a", "text": 5}), NOW_MS, LIMIT)
    assert refused.value.path == "$.text"


def test_a_byte_order_mark_is_skipped() -> None:
    assert document(b"\xef\xbb\xbf" + json.dumps(GOOD).encode()).id == "a"


def test_the_last_of_repeated_keys_wins() -> None:
    assert document(b'{"id":"a","id":"b","text":"x"}').id == "b"


def test_unknown_fields_are_ignored() -> None:
    assert document(GOOD | {"colour": "red"}).id == "a"


def test_metadata_is_kept_as_json() -> None:
    kept = document(GOOD | {"metadata": {"n": 9223372036854775807, "s": "ü", "l": [1.5, None]}}).metadata
    assert json.loads(kept or "") == {"n": 9223372036854775807, "s": "ü", "l": [1.5, None]}


@pytest.mark.parametrize("field", ["id", "text", "title"])
def test_nul_is_removed_and_counted(field: str) -> None:
    value = {"id": "a", "text": "some text", "title": "t"} | {field: "x\0y"}
    assert getattr(document(value), field) == "xy"
    assert oddities(value) == ("nul-removed",)


def test_nul_in_metadata_is_removed_in_names_and_values_alike() -> None:
    value = GOOD | {"metadata": {"a\0b": ["x\0y", {"k": "\0"}]}}
    assert json.loads(document(value).metadata or "") == {"ab": ["xy", {"k": ""}]}
    assert oddities(value) == ("nul-removed",)


def test_a_written_out_escape_is_no_nul() -> None:
    value = GOOD | {"metadata": {"a": "\\u0000"}}
    assert json.loads(document(value).metadata or "") == {"a": "\\u0000"}
    assert oddities(value) == ()


def test_an_unknown_content_type_is_counted() -> None:
    assert oddities(GOOD | {"content_type": "application/pdf"}) == ("unknown-content-type",)


@pytest.mark.parametrize("said", [None, "", {}])
def test_the_id_falls_back_to_the_key(said: object) -> None:
    value = {"text": "x"} if said == {} else {"text": "x", "id": said}
    assert document(value, key=b"from the key").id == "from the key"


@pytest.mark.parametrize("key", [None, b"", b"\0"])
def test_without_id_and_key_there_is_no_document(key: bytes | None) -> None:
    assert refusal({"text": "x"}, key=key) == "missing-id"


@pytest.mark.parametrize(("said", "found"), [(5, "5"), (-3, "-3"), (1.5, "1.5"), (1e22, "10000000000000000000000")])
def test_a_number_becomes_its_decimal_string(said: float, found: str) -> None:
    assert document({"id": said, "text": "x"}).id == found


def test_an_id_is_at_most_1024_bytes_long() -> None:
    assert len(document({"id": "é" * 512, "text": "x"}).id) == 512
    assert refusal({"id": "é" * 512 + "x", "text": "x"}) == "invalid-document"
    assert refusal({"text": "x"}, key=b"k" * 1025) == "invalid-document"


def test_a_key_that_is_not_utf8_can_not_be_an_id_and_is_no_matter_otherwise() -> None:
    assert refusal({"text": "x"}, key=b"\xff") == "invalid-document"
    assert document(GOOD, key=b"\xff").id == "a"


@pytest.mark.parametrize("tenant", ["", "a b", "ü", "x" * 65])
def test_a_bad_tenant_is_refused(tenant: str) -> None:
    assert refusal(GOOD | {"tenant": tenant}) == "invalid-document"
    assert refusal(GOOD, headers=(("headrace-tenant", tenant.encode()),)) == "invalid-document"


@pytest.mark.parametrize("text", [None, "", " \n\t", "\0"])
def test_a_document_needs_text(text: str | None) -> None:
    assert refusal({"id": "a", "text": text}) == "empty-text"
    assert refusal({"id": "a"}) == "empty-text"


def test_a_large_value_is_refused_before_it_is_parsed() -> None:
    assert refusal(b"x" * (LIMIT + 1)) == "document-too-large"


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("headrace-id", b"other"),
        ("headrace-tenant", b"other"),
        ("headrace-version", b"4"),
        ("headrace-id", b"\xff"),
        ("headrace-version", b"three"),
        ("headrace-version", b"9223372036854775808"),
    ],
)
def test_a_header_that_disagrees_or_makes_no_sense_is_refused(header: str, value: bytes) -> None:
    assert refusal(GOOD | {"tenant": "t", "version": 3}, headers=((header, value),)) == "invalid-document"


def test_headers_that_agree_are_welcome() -> None:
    headers = (("headrace-id", b"5"), ("headrace-tenant", b"t"), ("headrace-version", b"3"))
    found = document({"id": 5, "text": "x", "tenant": "t", "version": 3}, headers=headers)
    assert (found.tenant, found.id, found.version) == ("t", "5", 3)


def test_headers_say_what_the_value_leaves_out() -> None:
    headers = (("headrace-id", b"h"), ("headrace-tenant", b"t"), ("headrace-version", b"-3"))
    found = document({"text": "x"}, headers=headers)
    assert (found.tenant, found.id, found.version) == ("t", "h", -3)


def test_other_headers_may_hold_any_bytes() -> None:
    assert document(GOOD, headers=(("x", b"\xff\x00"),)).id == "a"


def test_a_null_value_deletes_what_headers_or_key_name() -> None:
    assert decode(message(None), NOW_MS, LIMIT).subject == Deletion("default", "key", None)
    headers = (("headrace-id", b"h"), ("headrace-tenant", b"t"), ("headrace-version", b"9"))
    assert decode(message(None, headers=headers), NOW_MS, LIMIT).subject == Deletion("t", "h", 9)


def test_a_null_value_without_a_key_deletes_nothing() -> None:
    assert refusal(None, key=None) == "missing-id"


def test_a_timestamp_far_in_the_future_counts_as_received_now() -> None:
    decoded = decode(message(GOOD, timestamp=NOW_MS + 300_001), NOW_MS, LIMIT)
    assert (decoded.fence_ts, decoded.origin.timestamp) == (NOW_MS, NOW_MS + 300_001)
    assert decoded.oddities == ("future-timestamp",)
    assert decode(message(GOOD, timestamp=NOW_MS + 300_000), NOW_MS, LIMIT).fence_ts == NOW_MS + 300_000


def test_a_replayed_record_from_the_future_never_counts_as_received_now() -> None:
    ahead = NOW_MS + 600_000
    carrying = message(GOOD, headers=told("headrace-origin-", offset=2, timestamp=ahead), timestamp=ahead + 1)
    assert decode(carrying, NOW_MS, LIMIT).fence_ts == 0


def test_the_fence_sees_timestamps_in_the_order_of_offsets_though_clocks_run_backwards() -> None:
    tracker, seen = PartitionTracker(0, 0), []
    for timestamp in (1000, 900, 1100):
        carried = message(GOOD, timestamp=timestamp)
        seen.append(decode(carried, NOW_MS, LIMIT, tracker).fence_ts)
    assert seen == [1000, 1000, 1100]


def test_a_replayed_record_keeps_its_own_place_in_time() -> None:
    tracker = PartitionTracker(0, 0)
    tracker.in_order(5000)
    replayed = message(GOOD, headers=told("headrace-origin-", offset=2, timestamp=400), timestamp=5001)
    assert decode(replayed, NOW_MS, LIMIT, tracker).fence_ts == 400


def told(prefix: str, *, offset: int, timestamp: int, topic: str = "docs.raw") -> Headers:
    return (
        (prefix + "topic", topic.encode()),
        (prefix + "partition", b"0"),
        (prefix + "offset", str(offset).encode()),
        (prefix + "timestamp", str(timestamp).encode()),
        (prefix + "timestamp-type", b"LogAppendTime"),
    )


@pytest.mark.parametrize("prefix", ["headrace-origin-", "headrace-dlq-"])
def test_an_older_origin_is_believed(prefix: str) -> None:
    carrying = message(GOOD, headers=told(prefix, offset=2, timestamp=400))
    assert origin_of(carrying) == (Origin("docs.raw", 0, 2, 400, TimestampType.LOG_APPEND_TIME), False)


def test_the_origin_of_a_replay_goes_before_that_of_a_dead_letter() -> None:
    headers = told("headrace-dlq-", offset=3, timestamp=450) + told("headrace-origin-", offset=2, timestamp=400)
    assert origin_of(message(GOOD, headers=headers))[0].offset == 2


@pytest.mark.parametrize(("offset", "timestamp"), [(2, 501), (7, 500), (8, 500)])
def test_an_origin_that_is_not_older_is_ignored_and_counted(offset: int, timestamp: int) -> None:
    carrying = message(GOOD, headers=told("headrace-origin-", offset=offset, timestamp=timestamp))
    assert origin_of(carrying) == (carrying.place, True)
    assert oddities(GOOD, told("headrace-origin-", offset=offset, timestamp=timestamp)) == ("origin-ignored",)


def test_an_earlier_offset_with_the_same_timestamp_is_older() -> None:
    carrying = message(GOOD, headers=told("headrace-origin-", offset=6, timestamp=500))
    assert origin_of(carrying)[0].offset == 6


def test_half_an_origin_is_none() -> None:
    carrying = message(GOOD, headers=told("headrace-origin-", offset=2, timestamp=400)[:3])
    assert origin_of(carrying) == (carrying.place, True)


@pytest.mark.parametrize("name", ["headrace-id", "headrace-tenant", "headrace-version"])
def test_a_header_of_ours_without_a_value_is_refused(name: str) -> None:
    assert refusal(GOOD, headers=((name, None),)) == "invalid-document"


def test_other_headers_without_a_value_change_nothing() -> None:
    nulls = (("a", None), *((f"headrace-{kind}-topic", None) for kind in ("origin", "dlq")), ("headrace-replays", None))
    assert document(GOOD, headers=nulls) == document(GOOD)
