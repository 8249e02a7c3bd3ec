"""How many calls may be on their way at once?"""

from consumers.core.concurrency import Concurrency


def test_a_rate_limit_halves_the_calls_down_to_one() -> None:
    calls = Concurrency(8)
    limits = []
    for second in range(5):
        calls.limited(float(second))
        limits.append(calls.limit)
    assert limits == [4, 2, 1, 1, 1]


def test_calls_that_are_refused_together_count_once() -> None:
    calls = Concurrency(8)
    for _ in range(8):
        calls.limited(1.0)
    assert calls.limit == 4


def test_a_round_of_successes_adds_a_call_up_to_the_most() -> None:
    calls = Concurrency(8)
    calls.least()
    calls.succeeded()
    assert calls.limit == 2
    for _ in range(100):
        calls.succeeded()
    assert calls.limit == 8
