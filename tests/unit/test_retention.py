"""Unread records near the start of a log that moves are told of, and nothing else is."""

from consumers.core.retention import Retention

LOOKS = 4


def looks(*places: tuple[int, int, int]) -> list[bool]:
    """Look at one partition at each (start, position, end); return whether it was in danger after each look."""
    retention = Retention()
    return [(retention.look(0, start=s, position=p, end=e), bool(retention.at_risk))[1] for s, p, e in places]


def test_a_worker_that_stands_near_the_start_is_in_danger() -> None:
    assert looks(*[(100, 150, 1_100)] * LOOKS) == [False, False, True, True]


def test_it_is_told_once_and_again_after_it_was_over() -> None:
    retention = Retention()
    near, far = {"start": 100, "position": 150, "end": 1_100}, {"start": 100, "position": 900, "end": 1_100}
    assert [retention.look(0, **near) for _ in range(LOOKS)] == [False, False, True, False]
    assert not retention.look(0, **far)
    assert not retention.at_risk
    assert [retention.look(0, **near) for _ in range(LOOKS)] == [False, False, True, False]


def test_a_log_that_still_has_its_first_record_takes_nothing() -> None:
    assert not any(looks(*[(0, 0, 1_000)] * LOOKS))


def test_who_is_far_from_the_start_or_has_read_all_is_safe() -> None:
    assert not any(looks(*[(100, 300, 1_100)] * LOOKS))
    assert not any(looks(*[(100, 100, 100)] * LOOKS))
    assert not any(looks(*[(98, 100, 100)] * LOOKS))


def test_who_reads_away_from_the_start_is_safe() -> None:
    assert not any(looks(*[(100, 100 + 5 * look, 1_100) for look in range(8)]))


def test_a_step_as_large_as_one_before_would_reach_further_than_a_tenth() -> None:
    assert not any(looks(*[(100, 800, 1_900)] * LOOKS))
    assert looks((100, 1_100, 2_000), (600, 1_100, 2_000), (600, 1_100, 2_000), (600, 1_100, 2_000))[-1]


def test_a_partition_that_was_given_up_is_forgotten() -> None:
    retention = Retention()
    for _ in range(LOOKS):
        retention.look(3, start=100, position=150, end=1_100)
    assert retention.at_risk == {3}
    retention.keep(frozenset({1}))
    assert retention.at_risk == frozenset()
    assert [retention.look(3, start=100, position=150, end=1_100) for _ in range(2)] == [False, False]
