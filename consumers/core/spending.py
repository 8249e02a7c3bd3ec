"""What may still be spent today?

The day's total is kept in the index, for the whole fleet; in between each worker counts what it spent since, and what
its calls under way will. A worker learns of the others' spending when it saves its own, so that the fleet may pass a
limit by what the others spend between two of these.
"""

from collections.abc import Mapping
from decimal import Decimal

from schemas.orders import Allowance
from schemas.settings import ProviderSettings
from schemas.spending import Spent

MILLION = 1_000_000


class DailyBudget:
    """The ledger's total as last read, what was spent since, and the limits of a day; None is no limit.

    ``refused`` is the tokens of a call that would have passed a limit, until one is let through again.
    """

    __slots__ = ("_money_limit", "_price", "_since", "_token_limit", "_total", "_under_way", "_unsaved", "refused")

    def __init__(self, token_limit: int | None, money_limit: Decimal | None, price_per_million: Decimal | None) -> None:
        """Begin with nothing known: where there is a limit, no call is let through before ``learn``."""
        self.refused: int | None = None
        self._price = price_per_million or Decimal(0)
        self._token_limit = token_limit
        self._money_limit = money_limit
        self._total: Spent | None = None
        self._unsaved: dict[str, Spent] = {}
        self._since = 0
        """Tokens that the total does not hold yet, be they on their way to the ledger."""
        self._under_way = 0

    def __repr__(self) -> str:
        return f"<DailyBudget {self.tokens} of {self.token_limit} tokens, {self._under_way} under way>"

    @property
    def limited(self) -> bool:
        """Whether there is a limit at all."""
        return self.token_limit is not None

    @property
    def token_limit(self) -> int | None:
        """The tokens of a day, be they limited as such or by their price."""
        limits = [] if self._token_limit is None else [self._token_limit]
        if self._money_limit is not None and self._price:
            limits.append(int(self._money_limit * MILLION / self._price))
        return min(limits, default=None)

    @property
    def tokens(self) -> int:
        """What was spent today, as far as is known here, calls under way left out."""
        return self._since + (0 if self._total is None else self._total.tokens)

    def limit(self, token_limit: int | None, money_limit: Decimal | None) -> None:
        """Take other limits from now on."""
        self._token_limit, self._money_limit = token_limit, money_limit

    def admits(self, tokens: int) -> bool:
        """Say whether a call of so many tokens may be sent."""
        limit = self.token_limit
        if limit is not None and (self._total is None or self.tokens + self._under_way + tokens > limit):
            self.refused = tokens
            return False
        self.refused = None
        return True

    def reason(self) -> str:
        """Say in words why a call is not let through."""
        if self._total is None:
            return "budget: asking the index what was spent today"
        return (
            f"budget: {self.tokens:,} of today's {self.token_limit:,} tokens are spent, the next call has "
            f"{self.refused or 0:,}: goes on at 00:00 UTC, or by `headrace budget raise`"
        )

    def begin(self, tokens: int) -> None:
        """Count a call as under way."""
        self._under_way += tokens

    def end(self, tokens: int) -> None:
        """Count it no longer."""
        self._under_way -= tokens

    def spend(self, tokens: int, texts_of: Mapping[str, int], weights: Mapping[str, int]) -> None:
        """Charge the tokens of a call to the tenants of its texts, by *weights*, which sum to more than 0."""
        self._since += tokens
        whole, left = sum(weights.values()), tokens
        for place, (tenant, weight) in enumerate(weights.items(), 1):
            part = left if place == len(weights) else tokens * weight // whole
            left -= part
            spent = Spent(part, texts_of[tenant], part * self._price / MILLION)
            self._unsaved[tenant] = self._unsaved.get(tenant, Spent()) + spent

    def take(self) -> dict[str, Spent]:
        """Hand out what is not in the ledger yet; ``learn`` or ``put_back`` has to follow."""
        unsaved, self._unsaved = self._unsaved, {}
        return unsaved

    def put_back(self, unsaved: Mapping[str, Spent]) -> None:
        """Take back what the ledger could not be told."""
        for tenant, spent in unsaved.items():
            self._unsaved[tenant] = self._unsaved.get(tenant, Spent()) + spent

    def learn(self, total: Spent) -> None:
        """Take the day's total, of every worker, from the ledger, which holds all that ``take`` handed out."""
        self._total = total
        self._since = sum(spent.tokens for spent in self._unsaved.values())
        if self.refused is not None:
            self.admits(self.refused)


def daily_budget(settings: ProviderSettings, allowance: Allowance | None = None) -> DailyBudget:
    """Return the budget of a day, nothing of which is spent yet; an operator's *allowance* stands before settings."""
    return DailyBudget(*daily_limits(settings, allowance), _decimal(settings.price_per_million_tokens))


def daily_limits(settings: ProviderSettings, allowance: Allowance | None) -> tuple[int | None, Decimal | None]:
    """Return the tokens and the money of a day; what an *allowance* does not say is as the settings say."""
    told = allowance or Allowance()
    tokens = settings.tokens_per_day if told.tokens is None else told.tokens
    return tokens, _decimal(settings.money_per_day) if told.money is None else told.money


def _decimal(amount: float | None) -> Decimal | None:
    return None if amount is None else Decimal(str(amount))
