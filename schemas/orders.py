"""What may an operator want of a whole group? Written to the index's ``control`` table, read by every worker."""

from datetime import datetime
from decimal import Decimal

import msgspec

YES, NO = "yes", "no"


class Order(msgspec.Struct, frozen=True):
    """An order as it stands in the table."""

    name: str
    value: str
    at: datetime
    by: str


class Allowance(msgspec.Struct, frozen=True):
    """What a group may spend on the day on which it is told so, in the place of its settings; None as they say."""

    tokens: int | None = None
    money: Decimal | None = None


def allowance_of(group: str) -> str:
    """Return the name of the order whose value is an Allowance in JSON."""
    return f"allow/{group}"


def pause_of(group: str) -> str:
    """Return the name of the order that a group takes nothing in while it is ``yes``."""
    return f"pause/{group}"


def resume_of(group: str) -> str:
    """Return the name of the order whose time says when a group was last told to go on."""
    return f"resume/{group}"


def leave_of(group: str) -> str:
    """Return the name of the order that every worker keeps out of its group while it is ``yes``."""
    return f"leave/{group}"


def reset_of(group: str, number: str) -> str:
    """Return the name under which the index remembers a reset of a group's offsets."""
    return f"reset/{group}/{number}"
