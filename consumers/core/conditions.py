"""What keeps the worker from its work, since when, and why?"""

from dataclasses import dataclass

from schemas.status import State


@dataclass(frozen=True, slots=True)
class Condition:
    """A part that does not do what it should.

    ``since`` is on the clock of whoever noted it; ``holds`` says that nothing is to be taken in meanwhile; ``works``
    that what is under way will end all the same.
    """

    state: State
    reason: str
    since: float
    holds: bool
    works: bool = False


class Conditions:
    """The conditions in force, one a part: provider, store, broker, dead letters, record."""

    __slots__ = ("_in_force",)

    def __init__(self) -> None:
        self._in_force: dict[str, Condition] = {}

    def __repr__(self) -> str:
        return f"<Conditions {self._in_force}>"

    def set(self, part: str, state: State, reason: str, now: float, *, holds: bool = True, works: bool = False) -> None:
        """Note that *part* is in *state*; since-when is kept while the state stays the same."""
        before = self._in_force.get(part)
        since = before.since if before is not None and before.state is state else now
        self._in_force[part] = Condition(state, reason, since, holds, works)

    def clear(self, part: str) -> None:
        """Note that *part* works."""
        self._in_force.pop(part, None)

    def has(self, part: str) -> bool:
        """Say whether *part* has a condition."""
        return part in self._in_force

    @property
    def hold(self) -> bool:
        """Whether intake has to wait."""
        return any(condition.holds for condition in self._in_force.values())

    @property
    def operator_awaited(self) -> bool:
        """Whether work waits for something that an operator ends, be it a pause, a fault or the budget of the day."""
        return self.has("budget") or any(
            one.holds and one.state in (State.PAUSED, State.BLOCKED) for one in self._in_force.values()
        )

    def reason(self, part: str) -> str | None:
        """Return why *part* does not do what it should, or None."""
        found = self._in_force.get(part)
        return None if found is None else found.reason

    @property
    def failing(self) -> bool:
        """Whether some part does not do its work, so that waiting for what it holds is of no use."""
        return any(
            one.holds and not one.works and one.state in (State.BLOCKED, State.THROTTLED)
            for one in self._in_force.values()
        )

    def foremost(self) -> Condition | None:
        """Return the condition that is to be told: the first in the order of states, then the oldest."""
        order = list(State)
        return min(
            self._in_force.values(), key=lambda condition: (order.index(condition.state), condition.since), default=None
        )
