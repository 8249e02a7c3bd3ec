"""What was spent at the provider? Kept in the index, a row a day and tenant; a day is one of UTC, by the database."""

from datetime import date
from decimal import Decimal

import msgspec


class Spent(msgspec.Struct, frozen=True):
    """An amount. ``money`` is in the currency of the prices that were set when it was spent."""

    tokens: int = 0
    texts: int = 0
    money: Decimal = Decimal(0)

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(self.tokens + other.tokens, self.texts + other.texts, self.money + other.money)


class DaySpent(msgspec.Struct, frozen=True):
    """What a tenant's documents cost on a day."""

    day: date
    tenant: str
    spent: Spent
