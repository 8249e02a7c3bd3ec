"""Is there memory for more documents?"""

from consumers.core.watermark import Watermark
from consumers.telemetry.memory import memory_limit, resident_bytes


def test_above_the_mark_nothing_is_taken_in_until_it_is_clearly_below() -> None:
    watermark = Watermark(limit=1_000_000_000, percent=80)
    assert watermark.reason(800_000_000, in_flight=1) is None
    assert "801 MB of 1,000 MB" in (watermark.reason(801_000_000, in_flight=1) or "")
    assert watermark.reason(780_000_000, in_flight=1) is not None
    assert watermark.reason(760_000_000, in_flight=1) is None
    assert watermark.reason(780_000_000, in_flight=1) is None


def test_with_nothing_in_flight_no_waiting_would_free_memory() -> None:
    assert Watermark(limit=100, percent=50).reason(99, in_flight=0) is None


def test_linux_tells_what_is_held_and_what_may_be() -> None:
    held, limit = resident_bytes(), memory_limit()
    if held is None or limit is None:
        assert (held, limit) == (None, None), "both come from the same place"
    else:
        assert 1_000_000 < held < limit
