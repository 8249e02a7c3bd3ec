"""How many calls may be on their way at once?"""

from consumers.core.concurrency import ENOUGH, PROBE_AFTER, Concurrency


def after(accepted_together: int) -> Concurrency:
    """Return eight calls at once of which so many were accepted together."""
    calls = Concurrency(8)
    for _ in range(ENOUGH):
        calls.succeeded(accepted_together)
    return calls


def test_a_number_of_calls_that_was_never_accepted_is_one_too_many() -> None:
    calls = after(4)
    assert calls.limited(6)
    assert calls.limit == 5
    assert calls.limited(5)
    assert calls.limit == 4


def test_a_refusal_of_as_many_as_were_accepted_is_not_because_of_their_number() -> None:
    calls = after(8)
    assert not calls.limited(8)
    assert calls.limit == 8


def test_a_storm_that_takes_nothing_does_not_take_calls_away() -> None:
    calls = Concurrency(8)
    assert not any(calls.limited(n) for n in (8, 4, 1))
    assert calls.limit == 8


def test_a_number_that_was_refused_is_tried_again_now_and_then() -> None:
    calls = after(4)
    calls.limited(5)
    for _ in range(PROBE_AFTER - 2):
        calls.succeeded(4)
    assert calls.limit == 4
    for _ in range(4):
        calls.succeeded(4)
    assert calls.limit == 5


def test_once_it_is_accepted_more_are_tried_soon() -> None:
    calls = after(4)
    calls.limited(5)
    for _ in range(20):
        calls.succeeded(5)
    assert calls.limit > 5


def test_after_an_outage_a_round_of_successes_adds_a_call_up_to_the_most() -> None:
    calls = Concurrency(8)
    calls.least()
    calls.succeeded(1)
    assert calls.limit == 2
    for _ in range(100):
        calls.succeeded(2)
    assert calls.limit == 8
