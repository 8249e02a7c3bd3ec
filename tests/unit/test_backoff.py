"""How long until the next try?"""

import pytest

from consumers.core.backoff import backoff


@pytest.mark.parametrize(("failures", "seconds"), [(1, 0.25), (2, 0.5), (3, 1.0), (7, 15.0), (10_000, 15.0)])
def test_the_wait_doubles_up_to_its_bound(failures: int, seconds: float) -> None:
    assert backoff(failures, 0.0) == seconds


def test_jitter_takes_up_to_half_away() -> None:
    assert backoff(3, 1.0) == 0.5
    assert backoff(3, 0.5) == 0.75
