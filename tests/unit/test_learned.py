"""How large may a call be, now that the provider complained of its size?"""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.core.batching import BatchLimits
from consumers.core.learned import LearnedLimits

CONFIGURED = BatchLimits(items=256, tokens=250_000, size=2_000_000, linger_s=0.02)


def fresh() -> LearnedLimits:
    return LearnedLimits(CONFIGURED)


def settle(learned: LearnedLimits, items: int, tokens: int, takes: Callable[[int, int], bool]) -> int:
    """Send batches of texts of so many tokens in all until one is taken; return how many were refused."""
    each, refusals = tokens // items, 0
    while True:
        limits = learned.limits
        count = max(1, min(items, limits.items, limits.tokens // each, limits.size // (4 * each)))
        if takes(count, count * each):
            learned.accepted(count, count * each, 4 * count * each)
            return refusals
        learned.refused(count, count * each, 4 * count * each)
        refusals += 1


def test_nothing_refused_leaves_what_is_configured() -> None:
    learned = fresh()
    assert learned.accepted(256, 200_000, 800_000) == CONFIGURED


def test_a_limit_of_items_is_found_and_nothing_else_is_lowered() -> None:
    learned = fresh()
    assert settle(learned, 256, 256 * 10, lambda items, _: items <= 32) == 3
    assert learned.limits == BatchLimits(32, 250_000, 2_000_000, 0.02)


def test_a_limit_of_tokens_is_found_when_texts_are_long() -> None:
    learned = fresh()
    settle(learned, 40, 200_000, lambda _, tokens: tokens <= 120_000)
    assert (learned.limits.items, learned.limits.tokens) == (256, 100_000)


def test_an_innocent_limit_is_restored_once_as_much_was_accepted() -> None:
    learned = fresh()
    learned.refused(256, 20_000, 80_000)
    assert learned.limits.items == 128
    learned.accepted(128, 10_000, 40_000)
    assert learned.refused(120, 20_000, 40_000) == BatchLimits(256, 10_000, 2_000_000, 0.02)


def test_what_was_accepted_is_never_forbidden() -> None:
    learned = fresh()
    learned.accepted(200, 100_000, 400_000)
    assert learned.refused(256, 100_000, 400_000).items == 200
    learned = fresh()
    learned.refused(256, 1_000, 4_000)
    assert learned.accepted(250, 900, 3_600).items == 250


def test_refusals_of_less_than_was_accepted_lower_nothing() -> None:
    learned = fresh()
    learned.accepted(256, 100_000, 400_000)
    for items in (128, 64, 32, 16, 8, 4, 2, 1):
        assert learned.refused(items, 5_000, 20_000) == CONFIGURED


def test_a_poison_that_is_refused_down_to_itself_does_not_lower_the_limits_to_nothing() -> None:
    learned = fresh()
    items, tokens = 256, 25_600
    while items > 1:
        learned.refused(items, tokens + 5, 4 * tokens + 20)
        items, tokens = items // 2, tokens // 2
        learned.accepted(items, tokens, 4 * tokens)
    learned.refused(1, 105, 420)
    assert learned.limits.items >= 128
    assert learned.limits.tokens >= 12_800
    assert learned.limits.size >= 51_200


def test_an_item_refused_alone_says_nothing_of_how_many_may_travel_together() -> None:
    assert fresh().refused(1, 240_000, 1_900_000) == CONFIGURED


def test_one_item_is_always_allowed() -> None:
    learned = fresh()
    for _ in range(20):
        limits = learned.limits
        learned.refused(max(2, limits.items), 2, 8)
    assert learned.limits.items == 1
    assert learned.allows(1, 999_999, 9_999_999)
    assert not learned.allows(2, 2, 8)


@pytest.mark.parametrize(("items", "tokens", "size"), [(257, 1, 1), (2, 250_001, 1), (2, 1, 2_000_001)])
def test_a_call_above_any_limit_is_not_allowed(items: int, tokens: int, size: int) -> None:
    assert fresh().allows(2, 1, 1)
    assert not fresh().allows(items, tokens, size)


def test_it_shows_the_limits_in_force() -> None:
    learned = fresh()
    learned.refused(64, 100, 400)
    assert repr(learned) == "<LearnedLimits 32 items, 250000 tokens, 2000000 bytes>"


@given(
    st.lists(st.tuples(st.booleans(), st.integers(2, 256), st.integers(1, 250_000), st.integers(1, 2_000_000))),
)
def test_whatever_happens_the_limits_stay_between_the_accepted_and_the_configured(
    calls: list[tuple[bool, int, int, int]],
) -> None:
    learned = fresh()
    for count, (well, items, tokens, size) in enumerate(calls, start=1):
        limits = learned.accepted(items, tokens, size) if well else learned.refused(items, tokens, size)
        taken = [call[1:] for call in calls[:count] if call[0]]
        assert 1 <= limits.items <= CONFIGURED.items
        assert 1 <= limits.tokens <= CONFIGURED.tokens
        assert 1 <= limits.size <= CONFIGURED.size
        assert all(learned.allows(*call) for call in taken)


@given(st.integers(1, 256), st.integers(1_000, 250_000), st.integers(2, 256), st.integers(1, 900))
def test_limits_that_are_learned_cost_few_refusals(most_items: int, most_tokens: int, items: int, each: int) -> None:
    learned = fresh()

    def takes(count: int, tokens: int) -> bool:
        return count <= most_items and tokens <= most_tokens

    assert settle(learned, items, items * each, takes) <= 8
    assert settle(learned, items, items * each, takes) == 0
