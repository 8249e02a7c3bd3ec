"""Where does a reset put a group?"""

from datetime import UTC, datetime, timedelta

import pytest

from consumers.core.resetting import Move, Place, Target, To, in_scope, move, moved, read_file, read_target
from schemas.errors import ConfigurationError

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
MS = int(NOON.timestamp() * 1000)


def place(committed: int | None = 60, *, start: int = 10, end: int = 100, at_time: int | None = None) -> Place:
    return Place(3, start, end, committed, at_time)


def after(said: str, at: Place) -> int | None:
    target = read_target(said, NOON)
    assert target is not None
    planned, _ = move(target, at)
    return None if planned is None else planned.after


@pytest.mark.parametrize(
    ("said", "target"),
    [
        ("earliest", Target(To.EARLIEST, "earliest")),
        ("latest", Target(To.LATEST, "latest")),
        ("current", Target(To.CURRENT, "current")),
        ("42", Target(To.OFFSET, "42", 42)),
        ("shift=-7", Target(To.SHIFT, "shift=-7", -7)),
        ("shift=+7", Target(To.SHIFT, "shift=+7", 7)),
        ("2h", Target(To.TIME, "2h", MS - 2 * 3_600_000)),
        ("2026-01-31T11:00", Target(To.TIME, "2026-01-31T11:00", MS - 3_600_000)),
        ("2026-01-31T13:00+02:00", Target(To.TIME, "2026-01-31T13:00+02:00", MS - 3_600_000)),
        ("1950-01-01", Target(To.TIME, "1950-01-01", 0)),
    ],
)
def test_a_target_is_understood(said: str, target: Target) -> None:
    assert read_target(said, NOON) == target


@pytest.mark.parametrize("said", ["before.csv", "shift=x", "2x", "2026-99-99", "Earliest", ""])
def test_what_is_no_target_can_only_be_a_file(said: str) -> None:
    assert read_target(said, NOON) is None


@pytest.mark.parametrize("said", ["-1", (NOON + timedelta(seconds=1)).isoformat()])
def test_a_negative_offset_and_the_future_are_refused(said: str) -> None:
    with pytest.raises(ConfigurationError):
        read_target(said, NOON)


def test_each_target_is_an_offset_of_the_partition() -> None:
    told = {said: after(said, place()) for said in ("earliest", "latest", "current", "42", "shift=-7", "shift=40")}
    assert told == {"earliest": 10, "latest": 100, "current": 60, "42": 42, "shift=-7": 53, "shift=40": 100}
    assert after("1h", place(at_time=55)) == 55
    assert after("1h", place(at_time=None)) == 100, "every record is older"
    assert after("current", place(None)) is None, "what was never committed stays so"


def test_what_is_read_again_and_what_is_skipped_is_counted_from_where_the_group_is() -> None:
    assert moved(place(60), 20) == Move(3, 10, 100, 60, 20, again=40, skipped=0)
    assert moved(place(60), 90) == Move(3, 10, 100, 60, 90, again=0, skipped=30)
    assert moved(place(4), 10) == Move(3, 10, 100, 4, 10, again=0, skipped=0), "what retention took is neither"
    assert moved(place(None), 40) == Move(3, 10, 100, None, 40, again=60, skipped=30)


@pytest.mark.parametrize("said", ["101", "shift=41"])
def test_an_offset_beyond_the_end_is_refused(said: str) -> None:
    with pytest.raises(ConfigurationError, match="ends at 100"):
        after(said, place())


@pytest.mark.parametrize("said", ["3", "shift=-57"])
def test_an_offset_that_retention_has_taken_becomes_the_start_and_says_so(said: str) -> None:
    target = read_target(said, NOON)
    assert target is not None
    planned, warning = move(target, place())
    assert planned is not None
    assert planned.after == 10
    assert "3 to 9" in (warning or "")


def test_nothing_is_shifted_that_was_never_committed() -> None:
    with pytest.raises(ConfigurationError, match="never committed"):
        after("shift=1", place(None))


def test_a_file_is_read_as_both_tools_write_it() -> None:
    lines = ['"t",0,5', "t, 1 ,6", "", "g,t,2,7"]
    assert read_file(lines, "f", "g", "t").offsets == {0: 5, 1: 6, 2: 7}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("t,0", "line 2: write topic,partition,offset"),
        ("t,0,x", "line 2: write topic,partition,offset"),
        ("t,0,²", "line 2: write topic,partition,offset"),
        ("u,0,5", "topic 'u'"),
        ("h,t,0,5", "group 'h'"),
        ("t,9,6", "another offset"),
    ],
)
def test_a_line_of_a_file_that_makes_no_sense_is_named(line: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        read_file(["t,9,5", line], "f", "g", "t")


def test_a_reset_is_about_the_named_partitions_of_the_file_or_of_the_topic() -> None:
    everything, file = Target(To.EARLIEST, "earliest"), Target(To.FILE, "f", offsets={1: 5, 2: 6})
    assert in_scope([0, 1, 2], [], everything, "t") == [0, 1, 2]
    assert in_scope([0, 1, 2], [2, 0, 2], everything, "t") == [0, 2]
    assert in_scope([0, 1, 2], [], file, "t") == [1, 2]
    assert in_scope([0, 1, 2], [1], file, "t") == [1]
    for wanted, target in (([3], everything), ([0], file), ([], Target(To.FILE, "f", offsets={3: 1}))):
        with pytest.raises(ConfigurationError):
            in_scope([0, 1, 2], wanted, target, "t")
