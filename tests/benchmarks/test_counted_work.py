"""No change makes a document cost more work without saying so."""

import pytest

from tests.benchmarks.counted import HOW, VERSION, Counts, changes, count, read


def test_no_step_does_over_5_percent_more_work_than_the_baseline(capsys: pytest.CaptureFixture[str]) -> None:
    by_version, everywhere = count()
    baseline = read()
    more, less = changes(everywhere, baseline.everywhere)
    if VERSION in baseline.by_version:
        of_steps = changes(by_version, baseline.by_version[VERSION])
        more, less = more + of_steps[0], less + of_steps[1]
    if less:
        with capsys.disabled():
            print("\nless work than in tests/benchmarks/baseline.json:", *less, sep="\n  ")  # noqa: T201 - for people
            print(f"to hold later changes to it: {HOW}")  # noqa: T201 - the same
    assert not more, "more work:\n  " + "\n  ".join(more) + f"\nwhere that is worth it: {HOW}"


def test_a_step_that_does_7_percent_more_is_named_and_one_that_does_4_percent_more_is_not() -> None:
    before: Counts = {"load": {"instructions a document": {"decode": 100.0, "write": 100.0, "poll": 100.0}}}
    now: Counts = {"load": {"instructions a document": {"decode": 107.0, "write": 104.0, "poll": 90.0}}}
    more, less = changes(now, before)
    assert more == ["load, instructions a document, decode: 100 -> 107"]
    assert less == ["load, instructions a document, poll: 100 -> 90"]


def test_what_was_never_done_before_counts_as_more() -> None:
    more, _ = changes({"unchanged": {"for 1,000 documents": {"provider calls": 1.0}}}, {})
    assert more == ["unchanged, for 1,000 documents, provider calls: 0 -> 1"]
