"""The fence in Python: what may be left out of a group, and in which order the rest is written.

The rules themselves are tested against both stores in ``tests/contract/test_stores.py``, and against the SQL in
``tests/integration/test_pgvector_fence.py``.
"""

from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import structs

from consumers.core import fence
from consumers.core.fence import Mark, Verdict
from schemas.index import Change, ChangeKind
from schemas.messages import Origin, TimestampType
from tests.contract.changes import CREATED, at, delete, put, touch

# Few values, so that ties, equal places and edges of the minute are common.
TIMES = st.sampled_from([0, 1, 60_000, 60_001, 60_002, 120_001])
VERSIONS = st.none() | st.integers(1, 3)
ORIGINS = st.builds(
    Origin,
    topic=st.sampled_from(["a", "b", "Z"]),
    partition=st.integers(0, 1),
    offset=st.integers(0, 3),
    timestamp=TIMES,
    timestamp_type=st.sampled_from(list(TimestampType)),
)
MARKS = st.builds(Mark, VERSIONS, ORIGINS, TIMES)
CHANGES = st.builds(
    Change,
    kind=st.sampled_from(list(ChangeKind)),
    tenant=st.just("default"),
    id=st.sampled_from("ab"),
    version=VERSIONS,
    origin=ORIGINS,
    fence_ts=TIMES,
)


@st.composite
def neighbours(draw: st.DrawFn) -> tuple[Change, Change]:
    """Two changes of a partition, the later offset second; nothing else is said of them."""
    one, other = draw(CHANGES), draw(CHANGES)
    step = draw(st.integers(1, 2))
    moved = structs.replace(
        other.origin, topic=one.origin.topic, partition=one.origin.partition, offset=one.origin.offset + step
    )
    return one, structs.replace(other, id=one.id, origin=moved)


@settings(max_examples=700)
@example((put("a", "1", origin=at(0, 0, by=CREATED)), put("a", "2", origin=at(1, 0))), Mark(None, at(0, 1), 60_001))
@given(neighbours(), MARKS)
def test_what_is_left_out_for_a_newer_one_could_win_only_where_that_one_is_not_stale(
    pair: tuple[Change, Change], stored: Mark
) -> None:
    earlier, later = pair
    if fence.surpasses(later, earlier) and fence.judge(earlier, stored) is Verdict.NEWER:
        assert fence.judge(later, stored) is not Verdict.STALE


@settings(max_examples=700)
@given(neighbours(), MARKS)
def test_what_is_left_out_for_a_newer_one_is_stale_once_that_is_stored(
    pair: tuple[Change, Change], stored: Mark
) -> None:
    earlier, later = pair
    if fence.surpasses(later, earlier) and fence.judge(later, stored) is Verdict.NEWER:
        assert fence.judge(earlier, fence.moved(stored, later)) is Verdict.STALE


@given(MARKS, CHANGES)
def test_what_was_written_comes_again_as_a_redelivery(stored: Mark, change: Change) -> None:
    assert fence.judge(change, fence.moved(stored, change)) is Verdict.REDELIVERED


@given(st.lists(CHANGES, max_size=12))
def test_each_change_of_a_group_is_written_once_or_left_out_for_one_that_is(changes: list[Change]) -> None:
    rounds, surpassed = fence.in_rounds(changes, range(len(changes)))
    written = [index for indices in rounds for index in indices]
    assert sorted(written + surpassed) == list(range(len(changes)))
    for loser in surpassed:
        rivals = [changes[index] for index in written if changes[index].id == changes[loser].id]
        assert any(fence.surpasses(rival, changes[loser]) for rival in rivals)


@given(st.lists(CHANGES, max_size=12))
def test_a_round_is_sorted_by_key_and_a_key_keeps_its_order_over_the_rounds(changes: list[Change]) -> None:
    rounds, _ = fence.in_rounds(changes, range(len(changes)))
    for indices in rounds:
        keys = [changes[index].id for index in indices]
        assert keys == sorted(set(keys))
    for key in "ab":
        order = [index for indices in rounds for index in indices if changes[index].id == key]
        assert order == sorted(order)


def test_a_hot_key_of_one_partition_takes_one_round() -> None:
    group = [put("a", f"{n}", origin=at(n)) for n in range(50)]
    assert fence.in_rounds(group, range(50)) == ([[49]], list(range(49)))


def test_a_timestamp_that_runs_backwards_keeps_both() -> None:
    group = [put("a", "1", origin=at(1, 100, by=CREATED)), put("a", "2", origin=at(2, 90, by=CREATED))]
    assert fence.in_rounds(group, [0, 1]) == ([[0], [1]], [])


def test_a_deletion_without_a_version_does_not_hide_the_version_before_it() -> None:
    group = [put("a", "1", origin=at(1), version=5), delete("a", origin=at(2))]
    assert fence.in_rounds(group, [0, 1]) == ([[0], [1]], [])


def test_only_the_named_changes_of_a_group_are_arranged() -> None:
    group = [put("b", "1", origin=at(1)), touch("a", "1", origin=at(2)), put("b", "2", origin=at(3))]
    assert fence.in_rounds(group, [0, 1]) == ([[1, 0]], [])
    assert fence.in_rounds(group, []) == ([], [])
