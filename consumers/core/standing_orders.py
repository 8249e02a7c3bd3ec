"""What has to be done about the orders that stand in the table now?"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import msgspec

from schemas.orders import YES, Allowance, Order, allowance_of, leave_of, pause_of, resume_of

ORDERS_EVERY_S = 2.0
"""How often a worker asks for its orders."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an operator wants now.

    ``paused`` is who wants a pause and since when, or None; ``away`` the same of leaving the group; ``resume`` says
    that a resume is new, ``allowance`` what may be spent today where that is not left to the settings.
    """

    paused: str | None
    resume: bool
    away: str | None
    allowance: Allowance | None = None


class StandingOrders:
    """Compare what is read with what was read before: a resume counts once, and only if it came after our start."""

    __slots__ = ("_group", "_resumed_at", "_seen", "names")

    def __init__(self, group: str) -> None:
        self._group = group
        self.names = (pause_of(group), resume_of(group), leave_of(group), allowance_of(group))
        self._seen = False
        self._resumed_at: datetime | None = None

    def read(self, orders: Sequence[Order], today: date) -> Wanted:
        """Take in the orders of the group; *today* is the day in UTC, beyond which no allowance lasts."""
        by_name = {order.name: order for order in orders}
        pause, resume = by_name.get(pause_of(self._group)), by_name.get(resume_of(self._group))
        told_at = None if resume is None else resume.at
        new = self._seen and told_at != self._resumed_at
        self._seen, self._resumed_at = True, told_at
        return Wanted(
            _told("paused", "goes on", pause),
            new,
            sent_away(orders, self._group),
            allowed(orders, self._group, today),
        )


def sent_away(orders: Sequence[Order], group: str) -> str | None:
    """Return who wants the group's workers out of it and since when, or None."""
    standing = [order for order in orders if order.name == leave_of(group)]
    return _told("out of the group, as told", "lets it join again", standing[0] if standing else None)


def allowed(orders: Sequence[Order], group: str, today: date) -> Allowance | None:
    """Return what an operator lets the group spend on *today*, a day in UTC; None leaves it to the settings."""
    for order in orders:
        if order.name == allowance_of(group) and order.at.astimezone(UTC).date() == today:
            return msgspec.json.decode(order.value, type=Allowance)
    return None


def _told(what: str, then: str, order: Order | None) -> str | None:
    if order is None or order.value != YES:
        return None
    return f"{what} by {order.by} at {order.at:%Y-%m-%d %H:%M:%S %Z}; `headrace resume` {then}"
