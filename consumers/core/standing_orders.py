"""What has to be done about the orders that stand in the table now?"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from schemas.orders import YES, Order, pause_of, resume_of


@dataclass(frozen=True, slots=True)
class Wanted:
    """``paused`` is who wants a pause and since when, or None; ``resume`` says that a resume is new."""

    paused: str | None
    resume: bool


class StandingOrders:
    """Compare what is read with what was read before: a resume counts once, and only if it came after our start."""

    __slots__ = ("_group", "_resumed_at", "_seen")

    def __init__(self, group: str) -> None:
        self._group = group
        self._seen = False
        self._resumed_at: datetime | None = None

    def read(self, orders: Sequence[Order]) -> Wanted:
        """Take in the orders of the group."""
        by_name = {order.name: order for order in orders}
        pause, resume = by_name.get(pause_of(self._group)), by_name.get(resume_of(self._group))
        told_at = None if resume is None else resume.at
        new = self._seen and told_at != self._resumed_at
        self._seen, self._resumed_at = True, told_at
        paused = None
        if pause is not None and pause.value == YES:
            paused = f"paused by {pause.by} at {pause.at:%Y-%m-%d %H:%M:%S %Z}; `headrace resume` goes on"
        return Wanted(paused, new)
