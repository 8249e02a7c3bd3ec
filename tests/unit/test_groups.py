"""Size and number of transactions against databases that are described by what a transaction costs them."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.core.groups import LEAST_ROWS, MOST_ROWS, REST_S, TARGET_S, TRIAL_S, GroupSize, Writers


def settled(fixed: float, each: float, *, noise: float = 0.0, seed: int = 0) -> GroupSize:
    chance, size = random.Random(seed), GroupSize()
    for _ in range(60):
        rows = max(1, int(size.rows * chance.uniform(0.7, 1.0)))
        size.wrote(rows, (fixed + each * rows) * chance.uniform(1.0 - noise, 1.0 + noise))
    return size


def test_a_fast_database_gets_the_largest_groups() -> None:
    assert settled(fixed=0.005, each=0.0001).rows == MOST_ROWS


@given(st.integers(0, 1000))
def test_a_slow_row_makes_groups_that_fit_into_the_target(seed: int) -> None:
    size = settled(fixed=0.01, each=0.002, noise=0.1, seed=seed)
    assert 0.5 * TARGET_S < 0.01 + 0.002 * size.rows < 1.5 * TARGET_S


def test_a_slow_commit_does_not_make_groups_so_small_that_all_time_goes_into_commits() -> None:
    size = settled(fixed=0.8, each=0.001)
    assert 0.8 / (0.8 + 0.001 * size.rows) < 0.4


def test_groups_grow_again_when_the_database_is_fast_again() -> None:
    size = settled(fixed=0.01, each=0.01)
    assert size.rows < 100
    for _ in range(100):
        size.wrote(size.rows, 0.005 + 0.0001 * size.rows)
    assert size.rows == MOST_ROWS


@given(st.lists(st.tuples(st.integers(1, MOST_ROWS), st.floats(0.0, 1000.0)), min_size=1, max_size=50))
def test_whatever_is_measured_the_size_stays_within_its_bounds(measured: list[tuple[int, float]]) -> None:
    size = GroupSize()
    for rows, seconds in measured:
        size.wrote(rows, seconds)
        assert LEAST_ROWS <= size.rows <= MOST_ROWS


def counts(rate: Callable[[int], float], *, most: int, minutes: float, waiting: bool = True) -> list[int]:
    """Return how many transactions ran at once, second by second, in a database of *rate* rows a second."""
    now, writers, seen = 0.0, Writers(most, 0.0), []
    while now < minutes * 60:
        now += 0.1
        if waiting:
            writers.wrote(int(rate(writers.count) * 0.1), now)
        else:
            writers.starved(now)
        seen.append(writers.count)
    return seen


def share_of(count: int, seen: list[int]) -> float:
    late = seen[len(seen) // 2 :]
    return late.count(count) / len(late)


@pytest.mark.parametrize("best", [1, 2, 3, 6])
def test_the_number_that_writes_most_is_found_and_kept(best: int) -> None:
    seen = counts(lambda n: 10_000.0 - 1500.0 * abs(n - best), most=6, minutes=10)
    assert share_of(best, seen) > 0.85
    assert max(seen) <= 6
    assert min(seen) >= 1


def test_more_that_gains_nothing_is_not_kept() -> None:
    assert share_of(2, counts(lambda n: 10_000.0 if n > 1 else 8_000.0, most=8, minutes=10)) > 0.85


def test_trials_are_rare() -> None:
    seen = counts(lambda n: 10_000.0 - 1500.0 * abs(n - 2), most=4, minutes=10)
    assert 1.0 - share_of(2, seen) < 1.5 * TRIAL_S / (REST_S + TRIAL_S)


def test_nothing_is_tried_while_nothing_waits() -> None:
    assert set(counts(lambda n: n * 1000.0, most=8, minutes=5, waiting=False)) == {2}


def test_a_trial_that_runs_dry_is_given_up() -> None:
    writers, now = Writers(4, 0.0), 0.0
    while writers.count == 2:
        now += 0.1
        writers.wrote(1000, now)
    writers.starved(now)
    assert writers.count == 2


@pytest.mark.parametrize("most", [1, 2])
def test_there_are_never_more_than_there_may_be(most: int) -> None:
    assert max(counts(lambda n: n * 1000.0, most=most, minutes=5)) == most
