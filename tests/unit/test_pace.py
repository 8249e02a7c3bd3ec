"""How many calls a second does a provider take that does not say so?"""

from math import inf

import pytest

from consumers.core.pace import CUT, FIRST_PATIENCE_S, Pace


def send(pace: Pace, now: float, seconds: float, per_second: float = 100.0) -> float:
    """Send calls that are all accepted, as fast as the pace allows and at most so many a second; return the end."""
    end = now + seconds
    while now < end:
        now += max(pace.until(now), 1.0 / per_second)
        pace.take(now)
        pace.accepted(now, now)
    return now


def refuse(pace: Pace, now: float, times: int) -> float:
    """Refuse a call a second; return the end."""
    for _ in range(times):
        pace.refused(now, now, 1.0)
        now += 1.0
    return now


def learnt(per_second: float = 10.0) -> tuple[Pace, float]:
    """Return a pace that was refused twice, so that its ceiling is settled, and the time."""
    pace = Pace(0.0)
    now = send(pace, 0.0, 30.0, per_second)
    pace.refused(now, now, 0.0)
    pace.refused(now, now, 0.0)
    return pace, now


def test_who_was_never_refused_waits_for_nothing() -> None:
    pace = Pace(0.0)
    for _ in range(1000):
        pace.take(0.0)
        pace.accepted(0.0, 0.0)
    assert pace.until(0.0) == 0.0
    assert not pace.is_learnt


def test_the_first_refusal_teaches_what_was_accepted_lately() -> None:
    pace = Pace(0.0)
    now = send(pace, 0.0, 30.0, per_second=10.0)
    pace.refused(now, now, 0.0)
    assert pace.rate == pytest.approx(10.0, rel=0.05)
    pace.take(now)
    assert pace.until(now) == pytest.approx(0.1, rel=0.1)


def test_a_refusal_takes_little_off_and_accepted_calls_bring_it_back() -> None:
    pace, now = learnt()
    before = pace.rate
    now = send(pace, now, 1.0)
    pace.refused(now, now, 0.0)
    assert before * (1 - 5 * CUT) <= pace.rate < before
    send(pace, now, 60.0)
    assert pace.rate >= before


def test_calls_that_were_under_way_at_a_cut_are_not_held_against_it_again() -> None:
    pace, now = learnt()
    now = send(pace, now, 1.0)
    pace.refused(now, now, 0.0)
    rate = pace.rate
    for _ in range(8):
        pace.refused(now + 0.01, now - 0.1, 0.0)
    assert pace.rate == rate


def test_a_ceiling_that_is_not_what_calls_wait_for_does_not_grow() -> None:
    pace, now = learnt()
    rate = pace.rate
    send(pace, now, 300.0, per_second=1.0)
    assert pace.rate == rate


def test_a_limit_that_was_raised_is_found_after_some_patience() -> None:
    pace, now = learnt()
    rate = pace.rate
    now = send(pace, now, FIRST_PATIENCE_S - 1.0)
    assert pace.rate < rate * 1.02
    send(pace, now, 30.0)
    assert pace.rate > 4 * rate


def test_a_probe_that_was_refused_makes_the_next_one_wait_longer() -> None:
    pace, now = learnt()
    now = send(pace, now, FIRST_PATIENCE_S + 10.0)
    pace.refused(now, now, 0.0)
    rate = pace.rate
    now = send(pace, now, 3 * FIRST_PATIENCE_S)
    assert pace.rate < rate * 1.05


def test_what_a_storm_took_off_is_given_back_at_its_end() -> None:
    pace, now = learnt()
    now = send(pace, now, 30.0)
    rate = pace.rate
    now = refuse(pace, now, 10)
    assert pace.rate < rate * 0.9
    pace.accepted(now, now)
    assert pace.rate == pytest.approx(rate, rel=0.01)


def test_a_storm_teaches_nothing_to_who_was_never_refused_before() -> None:
    pace = Pace(0.0)
    now = send(pace, 0.0, 30.0)
    now = refuse(pace, now, 10)
    pace.accepted(now, now)
    assert pace.rate == inf


def test_a_quota_that_is_used_up_long_before_its_minute_ends_is_spread_over_the_minute() -> None:
    pace = Pace(0.0)
    now = send(pace, 0.0, 6.0, per_second=100.0)
    while now < 60.0:
        pace.refused(now, now, 1.0)
        now += 1.0
    pace.accepted(now, now)
    assert pace.rate == pytest.approx(10.0, rel=0.05)


def test_an_outage_that_answers_429_for_an_hour_leaves_no_worker_that_crawls() -> None:
    pace = Pace(0.0)
    now = send(pace, 0.0, 60.0, per_second=10.0)
    for _ in range(2):
        for _ in range(120):
            pace.refused(now, now, 30.0)
            now += 30.0
        now = send(pace, now, 20.0)
        assert pace.rate > 9.0


def test_an_outage_after_two_refusals_is_no_quota_of_the_few_calls_before_it() -> None:
    pace = Pace(0.0)
    now = send(pace, 0.0, 0.5, per_second=100.0)
    for _ in range(2):
        pace.refused(now, now, 0.0)
    now += 60.0
    pace.accepted(now, now)
    assert pace.rate > 50.0


def test_a_few_calls_are_no_quota() -> None:
    pace = Pace(0.0)
    now = send(pace, 0.0, 0.05, per_second=100.0)
    now = refuse(pace, now, 50)
    pace.accepted(now, now)
    assert pace.rate == inf


def test_a_quota_of_a_few_calls_a_minute_is_found_in_some_minutes() -> None:
    pace = Pace(0.0)
    for minute in range(4):
        now = 60.0 * minute
        for _ in range(5):
            now += max(0.1, pace.until(now))
            pace.take(now)
            pace.accepted(now, now)
        while now < 60.0 * minute + 59.0:
            pace.refused(now, now, 1.0)
            now += 1.0
    assert 60.0 * pace.rate == pytest.approx(5.0, rel=0.3)


def test_who_has_little_to_send_has_no_small_quota() -> None:
    pace = Pace(0.0)
    now = 0.0
    for _ in range(2):
        for _ in range(12):
            now += 9.0
            pace.take(now)
            pace.accepted(now, now)
        now = refuse(pace, now, 4)
        pace.accepted(now, now)
    assert pace.rate > 0.25


def test_what_was_learnt_changes_with_the_share() -> None:
    pace, _ = learnt()
    rate = pace.rate
    pace.share(1 / 3, None)
    assert pace.rate == rate
    pace.share(1 / 2, None)
    assert pace.rate == pytest.approx(rate * 1.5)


def test_who_gets_much_less_than_its_share_raises_its_ceiling_and_no_other() -> None:
    for got, raised in ((0.1, True), (0.45, False), (0.9, False)):
        pace, now = learnt()
        pace.share(1 / 2, None)
        now = send(pace, now, 20.0)
        rate = pace.rate
        assert pace.share(1 / 2, got)
        assert (pace.rate > rate) is raised


def test_few_calls_are_no_proof_of_an_unfair_share() -> None:
    pace, now = learnt()
    pace.share(1 / 2, None)
    pace.share(1 / 2, 0.4)
    now = send(pace, now, 1.0)
    rate = pace.rate
    assert not pace.share(1 / 2, 0.25)
    assert pace.rate == rate


def test_whose_pause_is_ended_by_an_operator_may_call_at_once() -> None:
    pace, now = learnt()
    pace.refused(now, now, 120.0)
    assert pace.until(now) > 100.0
    pace.retry_now(now + 1.0)
    assert pace.until(now + 1.0) == 0.0


def test_a_rest_is_not_followed_by_a_burst() -> None:
    pace, now = learnt()
    now += 100.0
    sent = 0
    while pace.until(now) == 0.0:
        pace.take(now)
        sent += 1
    assert sent <= 3
