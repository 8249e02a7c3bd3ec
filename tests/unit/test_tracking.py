"""Which offset of a partition may be committed?"""

import pytest

from consumers.core.tracking import PartitionTracker


def tracking(*offsets: int) -> PartitionTracker:
    tracker = PartitionTracker(0, offsets[0])
    tracker.track_all(offsets, now=1.0)
    return tracker


def test_the_position_moves_over_what_is_resolved_without_a_gap() -> None:
    tracker = tracking(3, 4, 5)
    positions = []
    for offset in (4, 3, 5):
        tracker.resolve(offset)
        positions.append(tracker.position)
    assert positions == [3, 5, 6]


def test_a_gap_left_by_compaction_does_not_hold_the_position_back() -> None:
    tracker = tracking(3, 7)
    tracker.resolve(3)
    tracker.resolve(7)
    assert tracker.position == 8


def test_the_position_stays_before_the_oldest_unresolved_message_and_not_before_the_gap() -> None:
    tracker = tracking(3, 7, 8)
    tracker.resolve(3)
    assert tracker.position == 7


def test_with_nothing_unresolved_the_position_follows_the_consumer_over_markers() -> None:
    tracker = tracking(0)
    tracker.advance(5)
    assert tracker.position == 0
    tracker.resolve(0)
    assert tracker.position == 5


def test_an_advance_never_goes_back() -> None:
    tracker = tracking(0, 1)
    tracker.advance(1)
    assert tracker.expected == 2


def test_a_closed_tracker_resolves_nothing() -> None:
    tracker = tracking(0, 1)
    tracker.close()
    tracker.resolve(0)
    assert tracker.position == 0


@pytest.mark.parametrize("offset", [0, 2, 4, 9])
def test_an_offset_that_does_not_wait_can_not_be_resolved(offset: int) -> None:
    tracker = tracking(1, 3, 4, 5)
    tracker.resolve(4)
    with pytest.raises(ValueError, match="not waiting"):
        tracker.resolve(offset)


def test_resolving_a_gap_is_an_error_and_not_a_step() -> None:
    tracker = tracking(1, 3, 5)
    with pytest.raises(ValueError, match="not waiting"):
        tracker.resolve(4)


def test_an_offset_that_was_received_can_not_be_received_again() -> None:
    tracker = tracking(4)
    with pytest.raises(ValueError, match="received already"):
        tracker.track_all([4], now=0.0)


def test_the_oldest_unresolved_message_is_known_by_its_time() -> None:
    tracker = PartitionTracker(0, 0)
    tracker.track_all([0], now=10.0)
    tracker.track_all([1], now=20.0)
    assert tracker.oldest == 10.0
    tracker.resolve(0)
    assert tracker.oldest == 20.0
    tracker.resolve(1)
    assert tracker.oldest is None


def test_messages_that_came_before_a_time_and_are_not_resolved_are_counted_as_late() -> None:
    tracker = PartitionTracker(0, 0)
    for offset, now in enumerate((10.0, 10.0, 20.0, 30.0)):
        tracker.track_all([offset], now)
    assert [tracker.late(before) for before in (9.9, 10.0, 25.0, 30.0)] == [0, 2, 3, 4]
    tracker.resolve(1)
    assert tracker.late(25.0) == 2


def test_unresolved_messages_are_counted_in_whatever_order_they_finish() -> None:
    tracker = tracking(0, 1, 2)
    tracker.resolve(2)
    assert tracker.unresolved == 2
    tracker.resolve(0)
    assert tracker.unresolved == 1


def test_the_repr_shows_the_state() -> None:
    assert repr(tracking(3, 4)) == "<PartitionTracker 0 live position=3 unresolved=2>"
