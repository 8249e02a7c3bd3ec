"""What is the worker doing? The first that holds, in the order of State."""

from collections.abc import Mapping
from dataclasses import dataclass

from consumers.core.conditions import Condition
from schemas.status import State


@dataclass(frozen=True, slots=True)
class Facts:
    """What the state follows from.

    ``waiting`` is, per partition, for how many seconds its oldest message has waited while all was well.
    """

    started: bool
    starting_because: str
    draining: bool
    rebalancing: bool
    condition: Condition | None
    waiting: Mapping[int, float]
    stuck_after_s: float
    busy: bool


def decide(facts: Facts) -> tuple[State, str]:
    """Return the state and its reason in words."""
    stuck = {partition: waited for partition, waited in facts.waiting.items() if waited > facts.stuck_after_s}
    if stuck:
        partition, waited = max(stuck.items(), key=lambda one: one[1])
        return State.STUCK, f"a message of partition {partition} has been unresolved for {waited:.0f} s"
    if facts.draining:
        return State.DRAINING, "finishing the calls already sent"
    if not facts.started:
        return State.STARTING, facts.starting_because
    if facts.rebalancing and facts.condition is None:
        return State.REBALANCING, "the group is assigning partitions"
    if facts.condition is not None:
        return facts.condition.state, facts.condition.reason
    return (State.RUNNING, "documents are in flight") if facts.busy else (State.IDLE, "nothing to do")
