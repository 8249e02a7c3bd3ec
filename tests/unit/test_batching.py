"""Which texts travel in the next call?"""

import pytest

from consumers.core.batching import Batcher, BatchLimits, ClosedBy, halves, size_of, tokens_of

LIMITS = BatchLimits(items=3, tokens=100, size=1000, linger_s=0.02)


def batcher(*texts: tuple[str, int], limits: BatchLimits = LIMITS, tenant: str = "default") -> Batcher[str]:
    gathering: Batcher[str] = Batcher(limits)
    add(gathering, *texts, tenant=tenant)
    return gathering


def add(gathering: Batcher[str], *texts: tuple[str, int], now: float = 0.0, tenant: str = "default") -> None:
    """Add texts, each with its bytes; what stands before a ``/`` is the text, what stands behind it is the place."""
    gathering.add(tenant, [(size, now, name.partition("/")[0].encode(), name) for name, size in texts])


def test_a_batch_is_due_when_the_items_of_a_call_wait() -> None:
    gathering = batcher(("a", 1), ("b", 1))
    assert gathering.next(0.0) is None
    add(gathering, ("c", 1), ("d", 1))
    batch = gathering.next(0.0)
    assert batch is not None
    assert (batch.texts, batch.closed_by, len(gathering)) == ([["a"], ["b"], ["c"]], ClosedBy.ITEMS, 1)


def test_a_batch_is_closed_before_the_tokens_of_a_call_would_be_passed() -> None:
    gathering = batcher(("a", 240), ("b", 240))
    batch = gathering.next(0.0)
    assert batch is not None
    assert (batch.texts, batch.tokens, batch.closed_by, len(gathering)) == ([["a"]], 60, ClosedBy.TOKENS, 1)
    assert gathering.next(0.0) is None


def test_a_batch_is_closed_before_the_bytes_of_a_call_would_be_passed() -> None:
    gathering = batcher(("a", 600), ("b", 600), limits=BatchLimits(items=3, tokens=1000, size=1000, linger_s=0.02))
    batch = gathering.next(0.0)
    assert batch is not None
    assert (batch.texts, batch.size, batch.closed_by) == ([["a"]], 600, ClosedBy.BYTES)


def test_a_text_larger_than_a_call_travels_alone() -> None:
    gathering = batcher(("small", 4), ("huge", 5000), ("tiny", 4))
    sent = [gathering.next(0.0), gathering.next(0.0)]
    assert [batch and batch.texts for batch in sent] == [[["small"]], [["huge"]]]
    assert len(gathering) == 1


def test_a_limit_reached_exactly_closes_the_batch_at_once() -> None:
    batch = batcher(("a", 400)).next(0.0)
    assert batch is not None
    assert batch.closed_by is ClosedBy.TOKENS


def test_a_batch_is_due_when_its_oldest_item_has_lingered() -> None:
    gathering: Batcher[str] = Batcher(LIMITS)
    add(gathering, ("a", 1), now=10.0, tenant="one")
    add(gathering, ("b", 1), now=10.015, tenant="another")
    assert gathering.next(10.01) is None
    assert gathering.until_next(10.01) == pytest.approx(0.01)
    batch = gathering.next(10.021)
    assert batch is not None
    assert (batch.texts, batch.closed_by) == ([["a"], ["b"]], ClosedBy.LINGER)


def test_with_nothing_waiting_nothing_is_due() -> None:
    gathering = batcher()
    assert gathering.until_next(5.0) is None
    assert gathering.next(5.0) is None


def test_the_linger_of_the_next_batch_begins_with_its_own_first_item() -> None:
    gathering = batcher(("a", 240))
    add(gathering, ("b", 240), now=9.0)
    assert gathering.next(9.0) is not None
    assert gathering.until_next(9.0) == pytest.approx(LIMITS.linger_s)


def test_limits_that_were_lowered_hold_for_what_waits_already() -> None:
    gathering = batcher(("a", 1), ("b", 1), ("c", 1))
    gathering.limits = BatchLimits(items=2, tokens=100, size=1000, linger_s=0.02)
    batch = gathering.next(0.0)
    assert batch is not None
    assert batch.texts == [["a"], ["b"]]


def test_equal_texts_of_a_batch_are_one_text_and_cost_once() -> None:
    gathering = batcher(("a/1", 8), ("b", 8), ("a/2", 8), ("a/3", 8))
    batch = gathering.next(0.0)
    assert batch is not None
    assert (batch.texts, batch.tokens, batch.size) == ([["a/1", "a/2", "a/3"], ["b"]], 4, 16)
    assert len(gathering) == 0


def test_a_quiet_tenant_is_in_the_next_batch_behind_a_backlog_of_another() -> None:
    gathering = batcher(*[(f"backlog-{n}", 8) for n in range(5000)], tenant="busy")
    add(gathering, ("quiet", 8), now=1.0, tenant="quiet")
    limits = BatchLimits(items=300, tokens=10_000, size=100_000, linger_s=0.02)
    gathering.limits = limits
    batch = gathering.next(1.0)
    assert batch is not None
    assert ["quiet"] in batch.texts
    assert len(batch.texts) == limits.items


def test_clearing_forgets_what_waited() -> None:
    gathering = batcher(("a", 1))
    gathering.clear()
    assert (len(gathering), gathering.until_next(9.0)) == (0, None)


def test_halves_keep_every_text_in_order_with_its_size() -> None:
    first, second = halves([["a"], ["b", "b again"], ["c"]], [4, 8, 12])
    assert (first.texts, first.size, first.tokens) == ([["a"]], 4, 1)
    assert (second.texts, second.size, second.tokens) == ([["b", "b again"], ["c"]], 20, 5)
    assert {first.closed_by, second.closed_by} == {ClosedBy.SPLIT}


def test_tokens_are_a_quarter_of_the_bytes_rounded_up() -> None:
    assert [tokens_of(size) for size in (0, 1, 4, 5)] == [0, 1, 1, 2]


def test_the_size_of_a_text_is_its_bytes_in_utf_8() -> None:
    assert [size_of(text) for text in ("mill", "Mühle", "磨", "\U0001f4a7")] == [4, 6, 3, 4]
