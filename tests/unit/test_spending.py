"""May another call be paid for today?"""

from decimal import Decimal

from consumers.core.spending import DailyBudget, daily_budget
from schemas.orders import Allowance
from schemas.settings import ProviderSettings
from schemas.spending import Spent


def budget(tokens: int | None = None, money: str | None = None, price: str | None = None) -> DailyBudget:
    return DailyBudget(tokens, None if money is None else Decimal(money), None if price is None else Decimal(price))


def test_without_a_limit_every_call_is_let_through() -> None:
    without = budget()
    assert without.admits(10**12)
    assert not without.limited


def test_nothing_is_spent_before_it_is_known_what_was_spent_today() -> None:
    limited = budget(100)
    assert not limited.admits(1)
    limited.learn(Spent(tokens=99))
    assert limited.admits(1)
    assert not limited.admits(2)


def test_calls_under_way_count_so_that_many_at_once_do_not_pass_the_limit() -> None:
    limited = budget(100)
    limited.learn(Spent())
    limited.begin(60)
    assert not limited.admits(60)
    limited.end(60)
    limited.spend(10, {"a": 1}, {"a": 1})
    assert limited.admits(90)
    assert not limited.admits(91)


def test_what_is_on_its_way_to_the_ledger_still_counts() -> None:
    limited = budget(100)
    limited.learn(Spent())
    limited.spend(60, {"a": 3}, {"a": 1})
    unsaved = limited.take()
    limited.spend(30, {"a": 1}, {"a": 1})
    assert limited.tokens == 90
    limited.put_back(unsaved)
    assert limited.tokens == 90
    assert limited.take() == {"a": Spent(90, 4)}
    limited.learn(Spent(tokens=500))
    assert limited.tokens == 500


def test_money_is_a_limit_by_its_price() -> None:
    limited = budget(money="2", price="0.02")
    assert limited.token_limit == 100_000_000
    limited.learn(Spent(tokens=100_000_000))
    assert not limited.admits(1)
    limited.limit(None, Decimal(3))
    assert limited.admits(1)
    both = budget(5, "2", "0.02")
    assert both.token_limit == 5


def test_a_call_is_charged_to_its_tenants_by_their_weights_to_the_last_token() -> None:
    without = budget(price="1000000")
    without.spend(10, {"a": 1, "b": 1, "c": 2}, {"a": 1, "b": 1, "c": 1})
    unsaved = without.take()
    assert [spent.tokens for spent in unsaved.values()] == [3, 3, 4]
    assert unsaved["c"] == Spent(4, 2, Decimal(4))


def test_a_new_day_lets_calls_through_again() -> None:
    limited = budget(100)
    limited.learn(Spent(tokens=100))
    assert not limited.admits(7)
    limited.learn(Spent(tokens=0))
    assert limited.refused is None


def test_what_an_allowance_does_not_say_stays_as_the_settings_say() -> None:
    settings = ProviderSettings(tokens_per_day=100, price_per_million_tokens=1.0)
    assert daily_budget(settings).token_limit == 100
    assert daily_budget(settings, Allowance(tokens=300)).token_limit == 300
    assert daily_budget(settings, Allowance(money=Decimal("0.00005"))).token_limit == 50
    assert daily_budget(settings, Allowance(money=Decimal(5))).token_limit == 100
