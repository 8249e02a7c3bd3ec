"""What becomes of a dead letter is decided without Kafka."""

import json

import pytest
from msgspec.structs import replace

from consumers.core.decoding import Decoded, decode, origin_of
from consumers.core.replaying import Bookkeeping, Order, Plan, corrected, is_unguarded, plan, prospect, replayed
from consumers.core.selection import Filter, told_tenant
from schemas.dead_letters import DeadLetter, Failure, Record, from_message, original, to_record
from schemas.documents import Deletion
from schemas.errors import InvalidDocument
from schemas.fates import Fate, FateKind, Parcel, fate_key, from_value
from schemas.fates import to_record as fate_record
from schemas.headers import DLQ_PREFIX, ORIGIN_PREFIX, REPLAYS
from schemas.messages import Headers, Message, TimestampType

NOW_MS = 1_800_000_000_000
MAX_BYTES = 10_000
TOPICS = Bookkeeping("docs.dlq", "docs.parked", "docs.dlq.outcomes")
FAILURE = Failure("embed", "input-rejected", "no", 1, "2026-01-01T00:00:00.000Z", "2026-01-01T00:00:00.000Z")


def message(
    value: bytes | None = b'{"text":"words"}', key: bytes | None = b"k", headers: Headers = (), offset: int = 7
) -> Message:
    return Message(
        "docs.raw", 3, offset, 1_700_000_000_000 + offset, TimestampType.LOG_APPEND_TIME, key, value, headers
    )


def dead(of: Message, replays: int = 0) -> DeadLetter:
    """Return what a reader of the dead-letter topic makes of the dead letter of *of*."""
    record = to_record(DeadLetter(of, origin_of(of)[0], FAILURE, "group", "docs", replays, "headrace"))
    return from_message(
        Message("docs.dlq", 1, 40, NOW_MS - 5, TimestampType.CREATE_TIME, record.key, record.value, record.headers)
    )


def order(kind: FateKind = FateKind.REPLAYED, **told: object) -> Order:
    return Order(kind, Filter(), MAX_BYTES, **told)  # type: ignore[arg-type] # each test names fields that exist


def planned(letter: DeadLetter, kind: FateKind = FateKind.REPLAYED, **told: object) -> Plan:
    return plan(letter, order(kind, **told), TOPICS, NOW_MS)


def parcel(of: Plan) -> Parcel:
    assert of.parcel is not None
    return of.parcel


def arrived(record: Record) -> Message:
    """Return a record as the worker gets it from the source topic."""
    return Message("docs.raw", 3, 99, NOW_MS, TimestampType.LOG_APPEND_TIME, record.key, record.value, record.headers)


ORIGINALS = [
    message(),
    message(b"\xff\x00", b"\xfe", (("traceparent", b"00"), ("x", b"\xff"), ("x", None), ("headrace-tenant", b"a"))),
    message(None, b"k"),
    message(b"v", None),
    message(None, None),
    message(None, None, (("headrace-id", b"a"),)),
]


@pytest.mark.parametrize("of", ORIGINALS, ids=range(len(ORIGINALS)))
def test_a_replay_is_the_original_with_its_first_origin_however_often_it_comes_back(of: Message) -> None:
    came = of
    for count in range(1, 4):
        record = replayed(dead(came, replays=count - 1))
        came = arrived(record)
        assert original(came) == Record(of.key, of.value, of.headers)
        assert origin_of(came) == (of.place, False)
        told = [name for name, _ in came.headers]
        assert dict(came.headers)[REPLAYS] == str(count).encode()
        assert len([name for name in told if name.startswith(ORIGIN_PREFIX)]) == 5
        assert told.count(REPLAYS) == 1
        assert not any(name.startswith(DLQ_PREFIX) and name != "headrace-dlq-null-key" for name in told)


def test_a_replay_means_what_the_original_meant() -> None:
    of = message(None, None, (("headrace-id", b"a"), ("headrace-tenant", b"acme")))
    assert decode(arrived(replayed(dead(of))), NOW_MS, MAX_BYTES).subject == Deletion("acme", "a")


def test_a_replay_goes_to_its_partition_and_behind_its_origin_in_time() -> None:
    assert parcel(planned(dead(message()))) == Parcel("docs.raw", replayed(dead(message())), 3, NOW_MS)
    ahead = replace(message(), timestamp=NOW_MS + 60_000)
    assert parcel(planned(dead(ahead))).timestamp == NOW_MS + 60_001


def test_in_another_topic_the_key_decides_about_the_partition() -> None:
    sent = parcel(planned(dead(message()), to="docs.other"))
    assert (sent.topic, sent.partition) == ("docs.other", None)


def test_what_came_back_too_often_is_parked_as_it_lies_there() -> None:
    assert planned(dead(message(), replays=2)).kind is FateKind.REPLAYED
    often = dead(message(), replays=3)
    given_up = planned(often)
    assert (given_up.kind, given_up.reason) == (FateKind.PARKED, "it has come back 3 times")
    sent = parcel(given_up)
    assert (sent.topic, sent.partition) == ("docs.parked", 1)
    assert sent.record == Record(often.message.key, often.message.value, often.message.headers)
    assert planned(often, max_replays=4).kind is FateKind.REPLAYED


def test_a_record_without_an_origin_is_skipped_unless_a_topic_is_named() -> None:
    foreign = from_message(replace(message(), topic="docs.dlq"))
    skipped = planned(foreign)
    assert (skipped.kind, skipped.parcel) == (FateKind.SKIPPED, None)
    assert "--to" in skipped.reason
    assert planned(foreign, to="docs.raw").kind is FateKind.REPLAYED
    assert planned(dead(message()), to="docs.parked").kind is FateKind.SKIPPED


def test_park_and_discard_keep_the_reason() -> None:
    assert planned(dead(message()), FateKind.DISCARDED, reason="drafts") == Plan(FateKind.DISCARDED, "drafts")
    parked = planned(dead(message()), FateKind.PARKED, reason="later")
    assert (parked.kind, parked.reason, parcel(parked).topic) == (FateKind.PARKED, "later", "docs.parked")


def test_a_corrected_document_is_a_new_one_in_the_place_of_the_old() -> None:
    document = b'{"text": "better", "version": 8}'
    headers: Headers = (("traceparent", b"00"), ("headrace-tenant", b"acme"), ("headrace-version", b"7"))
    sent = planned(dead(message(b"{", headers=headers), replays=9), document=document)
    assert sent.edited
    assert parcel(sent) == Parcel("docs.raw", Record(b"k", document, headers[:2]), 3, None)
    came = arrived(parcel(sent).record)
    assert origin_of(came) == (came.place, False)
    subject = decode(came, NOW_MS, MAX_BYTES).subject
    assert (subject.tenant, subject.id, subject.version) == ("acme", "k", 8)


@pytest.mark.parametrize(
    "document", [b"{", b"[]", b'{"text":""}', b'{"text":7}', b"\xff", b'{"text":"%s"}' % (b"x" * 10_000)]
)
def test_a_correction_that_is_still_wrong_is_refused(document: bytes) -> None:
    with pytest.raises(InvalidDocument):
        planned(dead(message(b"{")), document=document)


def test_a_correction_says_who_it_is_where_the_headers_said_something_else() -> None:
    letter = dead(message(b"{", headers=(("headrace-id", b"old"), ("headrace-tenant", b"old"))))
    record = corrected(letter, json.dumps({"id": "new", "tenant": "new", "text": "words"}).encode())
    subject = decode(arrived(record), NOW_MS, MAX_BYTES).subject
    assert (subject.tenant, subject.id) == ("new", "new")


def test_the_prospect_is_what_decoding_makes_of_the_original_today() -> None:
    good = prospect(dead(message()), NOW_MS, MAX_BYTES)
    assert isinstance(good, Decoded)
    assert (good.subject.id, good.oddities) == ("k", ())
    large = prospect(dead(message()), NOW_MS, 3)
    assert isinstance(large, InvalidDocument)
    assert large.code == "document-too-large"


def test_a_filter_takes_what_meets_all_of_it() -> None:
    letter = dead(message(headers=(("headrace-tenant", b"acme"),)))
    taking = [
        Filter(),
        Filter(code="input-rejected", stage="embed", tenant="acme", key=b"k", partition=1, offset=40),
        Filter(since_ms=letter.message.timestamp, until_ms=letter.message.timestamp + 1),
    ]
    leaving = [
        Filter(code="invalid-document"),
        Filter(stage="decode"),
        Filter(tenant="default"),
        Filter(key=b"K"),
        Filter(partition=0),
        Filter(offset=41),
        Filter(since_ms=letter.message.timestamp + 1),
        Filter(until_ms=letter.message.timestamp),
    ]
    assert all(one.takes(letter) for one in taking)
    assert not any(one.takes(letter) for one in leaving)


def test_a_tenant_is_told_by_the_header_or_by_whatever_can_be_read_of_the_value() -> None:
    assert told_tenant(message(b'{"tenant":"a","text":7}')) == "a"
    assert told_tenant(message(b'{"tenant":"a"}', headers=(("headrace-tenant", b"b"),))) == "b"
    assert told_tenant(message(b"{")) is None
    assert Filter(tenant="default").takes(dead(message(b"{")))


def test_a_fate_is_kept_under_the_place_and_time_of_its_dead_letter() -> None:
    place = dead(message()).message.place
    assert fate_key(place) == b"docs.dlq/1/40/1799999999995"
    assert fate_key(replace(place, timestamp=1)) != fate_key(place)
    fate = Fate(FateKind.PARKED, "2026-01-01T00:00:00.000Z", "run", "why", "docs.parked")
    record = fate_record(place, fate)
    assert (record.key, from_value(record.value)) == (fate_key(place), fate)
    assert [from_value(value) for value in (None, b"", b"{}", b"\xff", b'{"kind":"lost"}')] == [None] * 5


def test_only_what_was_skipped_is_left_to_be_dealt_with() -> None:
    settled = [kind for kind in FateKind if Fate(kind, "", "").settles]
    assert settled == [FateKind.REPLAYED, FateKind.PARKED, FateKind.DISCARDED]


@pytest.mark.parametrize(
    ("later_ms", "settled", "group", "unguarded"),
    [
        (-1, True, "group", True),
        (0, True, "group", False),
        (-1, False, "group", False),
        (-1, False, "another", True),
        (NOW_MS, True, "group", True),
    ],
    ids=["older", "not older", "open, so that a purge spares its tombstone", "of another group", "from the future"],
)
def test_a_letter_that_was_dealt_with_and_is_older_than_a_purge_may_bring_a_deleted_document_back(
    later_ms: int, group: str, *, settled: bool, unguarded: bool
) -> None:
    purged_before_ms = NOW_MS - 1_000
    first = replace(message(), timestamp=purged_before_ms + later_ms)
    letter = replace(dead(first), origin=first.place)
    assert is_unguarded(letter, purged_before_ms, NOW_MS, group, settled=settled) is unguarded
