"""Is it of any use to call the provider now?"""

from consumers.core.breaker import RUN, Breaker, BreakerState


def opened() -> Breaker:
    breaker = Breaker()
    for _ in range(RUN):
        breaker.failed()
    return breaker


def test_a_run_of_failures_opens_it_and_that_is_told_once() -> None:
    breaker = Breaker()
    assert [breaker.failed() for _ in range(RUN + 2)] == [False] * (RUN - 1) + [True, False, False]
    assert breaker.state is BreakerState.OPEN


def test_an_answer_in_between_begins_the_run_anew() -> None:
    breaker = Breaker()
    for _ in range(RUN - 1):
        breaker.failed()
    breaker.answered()
    assert not breaker.failed()
    assert breaker.state is BreakerState.CLOSED


def test_a_known_good_text_half_opens_it_and_a_success_closes_it() -> None:
    breaker, states = opened(), []
    for well in (False, True):
        breaker.probed(well=well)
        states.append(breaker.state)
    breaker.answered()
    assert [*states, breaker.state] == [BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED]


def test_the_one_call_of_a_half_open_breaker_opens_it_again_by_failing() -> None:
    breaker = opened()
    breaker.probed(well=True)
    assert breaker.failed()
    assert breaker.state is BreakerState.OPEN


def test_probes_come_after_one_second_at_first_and_every_fifteen_at_last() -> None:
    breaker = opened()
    waits = []
    for _ in range(6):
        waits.append(breaker.until_probe(0.0))
        breaker.probed(well=False)
    assert waits == [1.0, 2.0, 4.0, 8.0, 15.0, 15.0]
