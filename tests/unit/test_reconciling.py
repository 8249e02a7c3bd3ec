"""What a document in the topic and its row are called, and what is published to mend them."""

import pytest
from msgspec.structs import replace

from consumers.core.decoding import Decoded, decode, origin_of
from consumers.core.fence import Verdict
from consumers.core.mending import WORTH_A_SEEK, again, removal, runs
from consumers.core.reconciling import (
    Bounds,
    Finding,
    Letter,
    Pair,
    Row,
    Sighting,
    finding_of,
    is_taken_for_redelivery,
    sighting_of,
)
from schemas.documents import Deletion, Document
from schemas.headers import REPLAYS
from schemas.messages import Headers, Message
from tests.contract.changes import TOPIC, at

BOUNDS = {0: Bounds(start=10, end=100, now=120)}
TEXT, OTHER = b"text", b"other"
NOW_MS = 1_800_000_000_000


def sighted(offset: int = 50, content: bytes | None = TEXT, *, due: bool = True) -> Sighting:
    origin = at(offset)
    return Sighting("default", "a", None, origin, origin.timestamp, origin.timestamp, content, 0, offset, due)


def stored(
    offset: int = 50, content: bytes | None = TEXT, *, chunks: int = 1, topic: str = TOPIC, partition: int = 0
) -> Row:
    origin = at(offset, topic=topic, partition=partition)
    return Row(origin, content, content is None, 0 if content is None else 1, chunks, 1)


def finding(
    sighting: Sighting | None,
    row: Row | None,
    verdict: Verdict | None = None,
    letter: Letter | None = None,
    *,
    undecodable: bool = False,
) -> Finding:
    return finding_of(Pair(1, "default", "a", sighting, row, verdict, letter, undecodable), TOPIC, BOUNDS)


def test_a_document_without_a_row_or_with_a_tombstone_of_an_earlier_record_is_missing() -> None:
    assert finding(sighted(), None) is Finding.MISSING
    assert finding(sighted(), stored(40, None, chunks=0), Verdict.NEWER) is Finding.MISSING


def test_a_row_of_an_earlier_record_is_stale_even_where_a_deletion_is_the_later_one() -> None:
    assert finding(sighted(), stored(40), Verdict.NEWER) is Finding.STALE
    assert finding(sighted(content=None), stored(40), Verdict.NEWER) is Finding.STALE
    assert finding(sighted(content=None), stored(40, None, chunks=0), Verdict.NEWER) is Finding.STALE


def test_a_row_of_this_very_record_is_looked_into() -> None:
    assert finding(sighted(), stored(), Verdict.REDELIVERED) is Finding.RIGHT
    assert finding(sighted(), stored(content=OTHER), Verdict.REDELIVERED) is Finding.DIFFERS
    assert finding(sighted(), stored(chunks=0), Verdict.REDELIVERED) is Finding.DIFFERS
    assert finding(sighted(), stored(content=None, chunks=0), Verdict.REDELIVERED) is Finding.MISSING
    assert finding(sighted(content=None), stored(), Verdict.REDELIVERED) is Finding.DIFFERS


def test_what_the_fence_would_refuse_is_not_called_stale() -> None:
    assert finding(sighted(), stored(40, OTHER), Verdict.STALE) is Finding.NEWER


def test_a_row_from_behind_the_end_that_was_read_came_since_whatever_the_fence_says() -> None:
    for verdict in (Verdict.STALE, Verdict.NEWER):
        assert finding(sighted(), stored(110, OTHER), verdict) is Finding.NEWER
    assert finding(None, stored(119)) is Finding.NEWER


@pytest.mark.parametrize("offset", [10, 99])
def test_an_orphan_comes_from_within_the_topic(offset: int) -> None:
    assert finding(None, stored(offset)) is Finding.ORPHAN
    assert finding(None, stored(offset), undecodable=True) is Finding.UNKNOWN


@pytest.mark.parametrize("row", [stored(9), stored(120), stored(50, topic="another"), stored(50, partition=7)], ids=str)
def test_where_the_topic_can_prove_nothing_nothing_is_claimed(row: Row) -> None:
    assert finding(None, row) is Finding.UNKNOWN


def test_a_dead_letter_or_a_position_before_the_record_excuses_it() -> None:
    for row, verdict in ((None, None), (stored(40), Verdict.NEWER)):
        assert finding(sighted(), row, verdict, Letter.OPEN) is Finding.DEAD_LETTERED
        assert finding(sighted(due=False), row, verdict, Letter.OPEN) is Finding.DEAD_LETTERED
        assert finding(sighted(), row, verdict, Letter.GIVEN_UP) is Finding.GIVEN_UP
        assert finding(sighted(due=False), row, verdict) is Finding.IN_FLIGHT
    assert finding(sighted(due=False), stored(content=OTHER), Verdict.REDELIVERED) is Finding.DIFFERS


def test_only_what_the_worker_would_take_for_a_redelivery_is_to_be_forgotten_first() -> None:
    def taken(sighting: Sighting | None, row: Row | None, verdict: Verdict | None) -> bool:
        return is_taken_for_redelivery(Pair(1, "default", "a", sighting, row, verdict, None, undecodable=False))

    assert taken(sighted(), stored(content=OTHER), Verdict.REDELIVERED)
    assert taken(None, stored(), None), "the deletion of an orphan comes in the name of its row's record"
    assert not taken(sighted(), stored(40), Verdict.NEWER)
    assert not taken(sighted(), None, None)


def message(
    offset: int = 50, value: bytes | None = b'{"text": "words"}', headers: Headers = (), timestamp: int | None = None
) -> Message:
    place = at(offset, timestamp)
    return Message(TOPIC, 0, offset, place.timestamp, place.timestamp_type, b"a", value, headers)


def decoded(of: Message) -> Decoded:
    return decode(of, NOW_MS, 1_000)


def test_a_record_from_the_future_would_be_replayed_without_its_time() -> None:
    future = message(timestamp=NOW_MS + 3_600_000)
    sighting = sighting_of(decoded(future), future, TEXT, NOW_MS, due=True)
    assert (sighting.fence_ts, sighting.replay_ts) == (NOW_MS, 0)
    usual = message()
    sighting = sighting_of(replace(decoded(usual), fence_ts=2_000_000), usual, TEXT, NOW_MS, due=True)
    assert (sighting.fence_ts, sighting.replay_ts) == (2_000_000, usual.timestamp)


def test_a_record_sent_again_is_believed_to_come_from_where_it_first_lay() -> None:
    first = message(headers=(("kept", b"1"),))
    parcel = again(first, first.place, TOPIC, NOW_MS)
    assert (parcel.topic, parcel.partition, parcel.record.key, parcel.record.value) == (TOPIC, 0, b"a", first.value)
    assert parcel.timestamp == NOW_MS
    assert parcel.record.headers[0] == ("kept", b"1")
    copy = Message(TOPIC, 0, 130, NOW_MS, first.timestamp_type, b"a", first.value, parcel.record.headers)
    assert origin_of(copy) == (first.place, False)
    twice = again(copy, first.place, TOPIC, NOW_MS)
    assert dict(twice.record.headers)[REPLAYS] == b"2"
    assert len(twice.record.headers) == len(parcel.record.headers), "headers never pile up"


def test_the_deletion_of_an_orphan_comes_in_the_name_of_the_record_of_its_row() -> None:
    row = stored()
    parcel = removal(Pair(1, "acme", "a/b", None, row, None, None, undecodable=False), TOPIC, NOW_MS)
    assert parcel.record.value is None
    copy = Message(TOPIC, 0, 130, NOW_MS, row.origin.timestamp_type, parcel.record.key, None, parcel.record.headers)
    found = decoded(copy)
    assert (found.subject, found.origin) == (Deletion("acme", "a/b"), row.origin)
    assert not isinstance(found.subject, Document)


def test_what_is_read_again_leaves_large_gaps_out() -> None:
    near, far = WORTH_A_SEEK, 3 * WORTH_A_SEEK
    assert runs([]) == []
    assert runs([(1, 7), (0, 5), (0, near), (0, far)]) == [{0: (5, near + 1)}, {0: (far, far + 1)}, {1: (7, 8)}]
