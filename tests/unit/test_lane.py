"""Is the provider well, as far as other calls can tell?"""

from consumers.core.lane import LaneHistory


def lane(*calls: tuple[float, bool]) -> LaneHistory:
    history = LaneHistory()
    for when, well in calls:
        history.called(when, well=well)
    return history


def test_nothing_known_is_not_well() -> None:
    assert not LaneHistory().well_since(0.0)


def test_ten_calls_after_the_failure_of_which_nine_succeeded_are_well() -> None:
    assert lane(*((1.0 + n, n != 3) for n in range(10))).well_since(0.5)


def test_a_provider_that_fails_six_of_ten_calls_is_not_well() -> None:
    assert not lane(*((1.0 + n, n % 10 >= 6) for n in range(50))).well_since(0.5)


def test_what_succeeded_before_the_failure_says_nothing() -> None:
    assert not lane(*((float(n), True) for n in range(50))).well_since(49.5)


def test_a_known_good_text_that_was_embedded_is_enough() -> None:
    history = LaneHistory()
    history.probed(5.0, well=True)
    assert history.well_since(4.0)
    assert not history.well_since(5.0)


def test_a_probe_that_failed_is_no_proof() -> None:
    history = LaneHistory()
    history.probed(5.0, well=False)
    assert not history.well_since(4.0)
