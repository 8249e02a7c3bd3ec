"""When may the next call be sent, so that no minute exceeds a quota?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.core.rate import Backlog, TokenBucket, part_of, share_of


def test_a_bucket_holds_one_second() -> None:
    bucket = TokenBucket(600, now=0.0)
    for _ in range(10):
        assert bucket.until(1, 0.0) == 0.0
        bucket.take(1, 0.0)
    assert bucket.until(1, 0.0) == pytest.approx(0.1)


def test_a_long_rest_is_not_followed_by_a_burst() -> None:
    bucket = TokenBucket(600, now=0.0)
    bucket.take(10, 1000.0)
    assert bucket.until(1, 1000.0) == pytest.approx(0.1)


def test_an_amount_larger_than_the_bucket_is_let_through_and_owed() -> None:
    bucket = TokenBucket(6000, now=0.0)
    assert bucket.until(500, 0.0) == 0.0
    bucket.take(500, 0.0)
    assert bucket.until(1, 0.0) == pytest.approx(4.01)


def test_less_than_a_request_a_second_still_gets_its_turn() -> None:
    bucket = TokenBucket(6, now=0.0)
    waited = bucket.until(1, 0.0)
    assert bucket.until(1, waited + 1e-6) == 0.0


def test_half_of_a_quota_is_half_as_fast() -> None:
    bucket = TokenBucket(600, now=0.0, share=0.5)
    bucket.take(5, 0.0)
    assert bucket.until(1, 0.0) == pytest.approx(0.2)


@given(st.integers(1, 5000), st.lists(st.integers(1, 300), min_size=1, max_size=60))
def test_no_minute_exceeds_the_quota_but_for_one_second_and_the_last_amount(rate: int, amounts: list[int]) -> None:
    bucket, now, taken = TokenBucket(rate, now=0.0), 0.0, 0
    for amount in amounts:
        now += bucket.until(amount, now) + 1e-6
        if now > 60.0:
            break
        bucket.take(amount, now)
        taken += amount
    assert taken <= rate + max(rate / 60, 1) + max(amounts) + 1


def test_a_share_is_that_of_the_partitions_with_lag() -> None:
    assert share_of([Backlog(5, ours=True), Backlog(9, ours=False), Backlog(0, ours=True)], last=1.0) == 0.5


def test_without_any_lag_the_partitions_count() -> None:
    assert share_of([Backlog(0, ours=True), Backlog(0, ours=False), Backlog(0, ours=False)], last=1.0) == 1 / 3


def test_the_last_share_stays_while_draining() -> None:
    assert share_of([Backlog(5, ours=False)], last=0.25) == 0.25
    assert share_of([], last=0.25) == 0.25


def test_our_part_of_what_was_done_is_that_of_our_partitions() -> None:
    before = [Backlog(9, ours=True, position=0), Backlog(9, ours=False, position=10)]
    after = [Backlog(9, ours=True, position=10), Backlog(9, ours=False, position=40)]
    assert part_of(before, after) == 0.25


def test_nothing_is_said_of_parts_where_partitions_changed_hands_or_nothing_was_done() -> None:
    before = [Backlog(9, ours=True, position=0), Backlog(9, ours=False, position=10)]
    after = [Backlog(9, ours=True, position=10), Backlog(9, ours=True, position=40)]
    assert part_of(before, after) is None
    assert part_of(before, before) is None
    assert part_of([], after) is None
