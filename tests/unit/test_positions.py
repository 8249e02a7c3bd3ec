"""Where does reading a partition begin?"""

import pytest

from consumers.core.positions import (
    FILL,
    GO_ON,
    Because,
    PartitionFacts,
    Start,
    commit_metadata,
    reset_metadata,
    see_that_the_index_knows,
    start_of,
    writer_of,
)
from schemas.errors import IndexMismatch

OURS = commit_metadata("docs", "abc")


def start(
    committed: int | None = None,
    metadata: str = OURS,
    stored: int | None = None,
    log_start: int = 0,
    log_end: int = 100,
    *,
    policy: str = "earliest",
    group_is_new: bool = False,
) -> Start:
    facts = PartitionFacts(committed, metadata, stored, log_start, log_end)
    return start_of(facts, "docs", policy="latest" if policy == "latest" else "earliest", group_is_new=group_is_new)


def test_our_commit_is_where_we_go_on() -> None:
    assert start(40, stored=40) == Start(40, Because.COMMITTED, 40)


def test_the_index_may_know_more_than_kafka_after_a_crash_between_the_two() -> None:
    assert start(40, stored=45) == Start(40, Because.COMMITTED, 40)


def test_a_restored_database_is_right() -> None:
    assert start(40, stored=25) == Start(25, Because.REWOUND, 40)


def test_a_database_that_knows_nothing_of_our_commit_is_filled_from_the_start() -> None:
    assert start(40, stored=None, log_start=5) == Start(5, Because.REWOUND, 40)


def test_an_operators_reset_is_followed_whatever_the_database_knows() -> None:
    assert start(10, metadata="", stored=40) == Start(10, Because.COMMITTED, 10)
    assert start(90, metadata="by hand", stored=40) == Start(90, Because.COMMITTED, 90)


def test_a_reset_of_our_own_is_followed_as_any_other() -> None:
    assert start(10, metadata=reset_metadata("1"), stored=40) == Start(10, Because.COMMITTED, 10)
    assert start(90, metadata=reset_metadata("1"), stored=40) == Start(90, Because.COMMITTED, 90)


def test_who_committed_is_told_in_words() -> None:
    told = [writer_of(metadata) for metadata in (OURS, reset_metadata("1"), "", "headrace-like", "headrace")]
    assert told == ["index docs", "headrace offsets", "another tool", "another tool", "index "]


def test_an_empty_index_refuses_commits_of_its_own_workers_and_says_what_mends_it() -> None:
    with pytest.raises(IndexMismatch) as refused:
        see_that_the_index_knows("docs", ["by hand", OURS])
    assert FILL in str(refused.value)
    assert GO_ON in str(refused.value)
    see_that_the_index_knows("docs", ["", "by hand", reset_metadata("1"), commit_metadata("other", "abc")])


def test_a_group_of_another_index_is_refused() -> None:
    for metadata in (commit_metadata("other", "abc"), "headrace", "headrace/"):
        with pytest.raises(IndexMismatch) as refused:
            start(40, metadata=metadata)
        assert FILL in str(refused.value)
    with pytest.raises(IndexMismatch, match="'other'"):
        start(40, metadata=commit_metadata("other", "abc"))


@pytest.mark.parametrize(("policy", "position"), [("earliest", 3), ("latest", 100)])
def test_a_new_group_starts_where_the_setting_says(policy: str, position: int) -> None:
    assert start(log_start=3, policy=policy, group_is_new=True) == Start(position, Because.POLICY, position)


def test_a_partition_that_was_added_later_is_read_from_its_start() -> None:
    assert start(log_start=3, policy="latest") == Start(3, Because.ADDED, 3)


def test_what_retention_took_is_told() -> None:
    assert start(10, stored=10, log_start=30) == Start(30, Because.LOST, 10)


def test_a_topic_made_anew_is_read_from_its_start() -> None:
    assert start(500, stored=500, log_end=20) == Start(0, Because.ANEW, 500)
