"""What keeps the worker from its work, and what does it say of itself?"""

from dataclasses import replace

from consumers.core.conditions import Condition, Conditions
from consumers.core.state import Facts, decide
from schemas.status import State

WELL = Facts(
    started=True,
    starting_because="",
    draining=False,
    rebalancing=False,
    condition=None,
    waiting={},
    stuck_after_s=300.0,
    busy=False,
)
BLOCKED = Condition(State.BLOCKED, "401", 0.0, holds=True)


def test_intake_is_held_while_a_part_does_not_work() -> None:
    conditions = Conditions()
    conditions.set("store", State.THROTTLED, "away", 1.0)
    assert conditions.hold
    conditions.clear("store")
    assert not conditions.hold


def test_a_record_that_can_not_be_read_is_told_but_holds_nobody_else() -> None:
    conditions = Conditions()
    conditions.set("record", State.BLOCKED, "unreadable", 1.0, holds=False)
    assert not conditions.hold
    assert conditions.foremost() is not None


def test_a_pause_holds_intake_and_is_no_failure() -> None:
    conditions = Conditions()
    conditions.set("operator", State.PAUSED, "by ann", 1.0)
    assert (conditions.hold, conditions.failing) == (True, False)
    conditions.set("store", State.THROTTLED, "away", 1.0)
    assert conditions.failing


def test_since_is_kept_while_the_state_stays() -> None:
    conditions = Conditions()
    conditions.set("store", State.THROTTLED, "a", 1.0)
    conditions.set("store", State.THROTTLED, "b", 2.0)
    found = conditions.foremost()
    assert found == Condition(State.THROTTLED, "b", 1.0, holds=True)


def test_blocked_is_told_before_throttled() -> None:
    conditions = Conditions()
    conditions.set("provider", State.THROTTLED, "503", 1.0)
    conditions.set("store", State.BLOCKED, "42P01", 2.0)
    found = conditions.foremost()
    assert found is not None
    assert found.state is State.BLOCKED


def test_clearing_one_part_leaves_the_others() -> None:
    conditions = Conditions()
    conditions.set("provider", State.THROTTLED, "503", 1.0)
    conditions.clear("store")
    assert conditions.hold


def test_the_first_state_that_holds_is_told() -> None:
    everything = replace(WELL, draining=True, condition=BLOCKED, waiting={2: 301.0}, busy=True)
    assert decide(everything)[0] is State.STUCK
    assert "partition 2" in decide(everything)[1]
    assert decide(replace(everything, waiting={}))[0] is State.DRAINING
    assert decide(replace(everything, waiting={}, draining=False)) == (State.BLOCKED, "401")
    assert decide(replace(WELL, rebalancing=True))[0] is State.REBALANCING
    assert decide(replace(WELL, started=False, starting_because="no index")) == (State.STARTING, "no index")
    assert decide(replace(WELL, busy=True))[0] is State.RUNNING
    assert decide(WELL)[0] is State.IDLE


def test_a_blocked_worker_that_is_assigned_nothing_yet_says_why() -> None:
    assert decide(replace(WELL, rebalancing=True, condition=BLOCKED))[0] is State.BLOCKED
