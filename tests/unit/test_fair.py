"""Whose turn is it?"""

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from consumers.core.fair import FairQueue

QUANTUM = 10
Item = tuple[int, str, int]
"""Cost, tenant, number in the order of arrival."""

arrivals = st.lists(st.tuples(st.sampled_from("abcde"), st.integers(1, 40)), max_size=80)


def queue(*arrived: tuple[str, int]) -> FairQueue[Item]:
    waiting: FairQueue[Item] = FairQueue(QUANTUM)
    for number, (tenant, cost) in enumerate(arrived):
        waiting.extend(tenant, [(cost, tenant, number)])
    return waiting


@given(arrivals)
def test_everything_is_served_once_and_in_order_within_a_tenant(arrived: list[tuple[str, int]]) -> None:
    waiting = queue(*arrived)
    served: defaultdict[str, list[int]] = defaultdict(list)
    for _, tenant, number in waiting.served():
        served[tenant].append(number)
    expected: defaultdict[str, list[int]] = defaultdict(list)
    for number, (tenant, _) in enumerate(arrived):
        expected[tenant].append(number)
    assert served == expected
    assert (len(waiting), waiting.cost, list(waiting.heads())) == (0, 0, [])


@given(arrivals)
def test_tenants_that_wait_are_served_alike_by_cost(arrived: list[tuple[str, int]]) -> None:
    costliest = max((cost for _, cost in arrived), default=0)
    waiting = queue(*arrived)
    left: defaultdict[str, int] = defaultdict(int)
    for tenant, _ in arrived:
        left[tenant] += 1
    served = dict.fromkeys(left, 0)
    for cost, tenant, _ in waiting.served():
        served[tenant] += cost
        left[tenant] -= 1
        still = [served[one] for one, count in left.items() if count]
        if len(still) == len(left):
            assert max(still) - min(still) <= QUANTUM + costliest


@given(arrivals, st.integers(1, 40))
def test_a_tenant_that_comes_late_waits_for_one_turn_of_each_other(arrived: list[tuple[str, int]], cost: int) -> None:
    costliest = max((cost for _, cost in arrived), default=0)
    waiting = queue(*arrived)
    waiting.extend("late", [(cost, "late", len(arrived))])
    before = 0
    for of_one, tenant, _ in waiting.served():
        if tenant == "late":
            break
        before += of_one
    rounds = 1 + cost // QUANTUM
    assert before <= 5 * (rounds * QUANTUM + costliest)


@given(arrivals, st.integers(1, 20), st.integers(1, 100))
def test_what_is_not_taken_stays_and_is_counted(arrived: list[tuple[str, int]], most: int, cost: int) -> None:
    waiting = queue(*arrived)
    seen: list[Item] = []
    while taken := waiting.take(most, cost):
        seen += taken
        assert len(taken) <= most
        assert sum(item[0] for item in taken[:-1]) < cost
        assert len(waiting) == len(arrived) - len(seen)
        assert waiting.cost == sum(cost for _, cost in arrived) - sum(item[0] for item in seen)
    assert sorted(number for _, _, number in seen) == list(range(len(arrived)))


def test_a_lone_tenant_runs_up_no_debt() -> None:
    waiting = queue(*[("busy", 5)] * 1000)
    assert len(waiting.take(500, 10_000)) == 500
    waiting.extend("quiet", [(1, "quiet", 0)])
    waiting.extend("third", [(1, "third", 0)])
    assert [tenant for _, tenant, _ in waiting.take(5, 100)] == ["busy", "busy", "quiet", "third", "busy"]


def test_clearing_forgets_everyone() -> None:
    waiting = queue(("a", 1), ("b", 1))
    waiting.clear()
    assert (len(waiting), waiting.cost, waiting.take(5, 5)) == (0, 0, [])


def test_what_is_not_wanted_is_forgotten_and_the_turns_of_the_others_stay() -> None:
    waiting = queue(("a", 4), ("b", 5), ("c", 6), ("a", 7), ("c", 8))
    assert sorted(number for _, _, number in waiting) == [0, 1, 2, 3, 4]
    waiting.keep(lambda item: item[2] not in {1, 2})
    assert (len(waiting), waiting.cost) == (3, 19)
    waiting.extend("b", [(9, "b", 5)])
    assert [number for _, _, number in waiting.take(10, 100)] == [0, 4, 5, 3]
    assert (len(waiting), waiting.cost) == (0, 0)
