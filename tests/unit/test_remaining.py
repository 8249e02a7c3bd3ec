"""What is left of a quota, as the headers of a reply say?"""

import pytest

from consumers.core.remaining import Remaining, duration, remaining


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6m0s", 360.0),
        ("1h2m3s", 3723.0),
        ("120ms", 0.12),
        ("1.5s", 1.5),
        ("7", 7.0),
        ("", None),
        ("soon", None),
        ("-1", None),
    ],
)
def test_durations_are_read_as_providers_write_them(text: str, seconds: float | None) -> None:
    assert duration(text) == seconds


def test_missing_and_unknown_numbers_say_nothing() -> None:
    told = remaining({"X-RateLimit-Remaining-Requests": "-1", "x-ratelimit-reset-requests": "1s"})
    assert told == Remaining(None, None, 1.0, None)
    assert told.until(1000) == 0.0
    assert remaining({"content-type": "application/json"}) is None


def test_without_requests_left_a_call_waits_for_the_reset() -> None:
    assert Remaining(0, None, 3.0, None).until(1) == 3.0
    assert Remaining(1, None, 3.0, None).until(1) == 0.0


def test_a_call_that_needs_more_tokens_than_are_left_waits() -> None:
    assert Remaining(None, 500, None, 2.0).until(501) == 2.0
    assert Remaining(None, 500, None, 2.0).until(500) == 0.0


def test_nobody_waits_longer_than_a_minute() -> None:
    assert Remaining(0, None, 86_400.0, None).until(1) == 60.0
