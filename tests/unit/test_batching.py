"""Is this batch ready?"""

import pytest

from consumers.core.batching import Batch, Batcher, BatchLimits, ClosedBy, halves, tokens_of

LIMITS = BatchLimits(items=3, tokens=100, size=1000, linger_s=0.02)


def batcher(limits: BatchLimits = LIMITS) -> Batcher[str]:
    return Batcher(limits)


def test_a_batch_is_closed_when_it_holds_the_items_of_a_call() -> None:
    gathering = batcher()
    assert gathering.add("a", 1, 1, 0.0) == []
    assert gathering.add("b", 1, 1, 0.0) == []
    (batch,) = gathering.add("c", 1, 1, 0.0)
    assert (batch.items, batch.closed_by, len(gathering)) == (["a", "b", "c"], ClosedBy.ITEMS, 0)


def test_a_batch_is_closed_before_the_tokens_of_a_call_would_be_passed() -> None:
    gathering = batcher()
    gathering.add("a", 60, 1, 0.0)
    (batch,) = gathering.add("b", 60, 1, 0.0)
    assert (batch.items, batch.tokens, batch.closed_by) == (["a"], 60, ClosedBy.TOKENS)
    assert len(gathering) == 1


def test_a_batch_is_closed_before_the_bytes_of_a_call_would_be_passed() -> None:
    gathering = batcher()
    gathering.add("a", 1, 600, 0.0)
    (batch,) = gathering.add("b", 1, 600, 0.0)
    assert (batch.items, batch.size, batch.closed_by) == (["a"], 600, ClosedBy.BYTES)


def test_an_item_larger_than_a_call_travels_alone() -> None:
    gathering = batcher()
    gathering.add("small", 1, 1, 0.0)
    first, second = gathering.add("huge", 1, 5000, 0.0)
    assert (first.items, second.items, len(gathering)) == (["small"], ["huge"], 0)


def test_a_limit_reached_exactly_closes_the_batch_at_once() -> None:
    (batch,) = batcher().add("a", 100, 1, 0.0)
    assert batch.closed_by is ClosedBy.TOKENS


def test_a_batch_is_due_when_its_oldest_item_has_lingered() -> None:
    gathering = batcher()
    gathering.add("a", 1, 1, 10.0)
    gathering.add("b", 1, 1, 10.015)
    assert gathering.due(10.01) is None
    assert round(gathering.until_next(10.01) or 0, 6) == 0.01
    batch = gathering.due(10.021)
    assert batch is not None
    assert (batch.items, batch.closed_by) == (["a", "b"], ClosedBy.LINGER)


def test_an_empty_batcher_waits_for_nothing() -> None:
    gathering = batcher()
    assert gathering.until_next(5.0) is None
    assert gathering.due(5.0) is None


def test_the_linger_of_the_next_batch_begins_with_its_own_first_item() -> None:
    gathering = batcher()
    gathering.add("a", 60, 1, 0.0)
    gathering.add("b", 60, 1, 9.0)
    assert gathering.until_next(9.0) == pytest.approx(LIMITS.linger_s)


def test_clearing_gives_back_what_waited() -> None:
    gathering = batcher()
    gathering.add("a", 1, 1, 0.0)
    assert gathering.clear() == ["a"]
    assert len(gathering) == 0


def test_halves_keep_every_item_in_order_with_its_size() -> None:
    first, second = halves(Batch(["a", "b", "c"]), [4, 8, 12])
    assert (first.items, first.size, first.tokens) == (["a"], 4, 1)
    assert (second.items, second.size, second.tokens) == (["b", "c"], 20, 5)
    assert {first.closed_by, second.closed_by} == {ClosedBy.SPLIT}


def test_tokens_are_a_quarter_of_the_bytes_rounded_up() -> None:
    assert [tokens_of(size) for size in (0, 1, 4, 5)] == [0, 1, 1, 2]
