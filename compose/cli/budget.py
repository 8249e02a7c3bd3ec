"""``headrace budget``: what embedding has cost, and how much more it may cost today."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

import msgspec
import typer

from compose.cli.console import grid_of, print_json, readable, show, stderr, stdout, table_of
from compose.cli.options import Json, configured
from compose.cli.orders import give
from compose.service import see_that_it_exists
from consumers.core.spending import daily_budget
from consumers.core.standing_orders import allowed
from consumers.stores.pgvector import PgVectorStore
from schemas.errors import ConfigurationError
from schemas.orders import Allowance, allowance_of
from schemas.settings import Settings
from schemas.spending import DaySpent, Spent

LABEL = 8

Days = Annotated[int, typer.Option(min=1, max=366, help="Days to show; today (UTC) is one of them.")]
Tokens = Annotated[int | None, typer.Option(min=1, help="Tokens that may be spent today in all.")]
Money = Annotated[float | None, typer.Option(min=0, help="Money that may be spent today in all.")]


async def show_ledger(days: Days = 7, as_json: Json = False) -> None:  # noqa: FBT002 - a flag
    """Show what each tenant's documents have cost on each day, and the limits of a day.

    The ledger is kept in the index, by all workers of the group, and is at most a second behind.

    Examples:
        headrace budget show
        headrace budget show --days 31 --json
    """
    settings = configured("store.dsn").settings
    async with PgVectorStore(settings.store) as store:
        see_that_it_exists(await store.about(), settings.store.index)
        ledger = await store.spent(days)
        raised = allowed(await store.orders([allowance_of(settings.group)]), settings.group, datetime.now(UTC).date())
    provider = settings.provider
    if as_json:
        limits = {"tokens_per_day": provider.tokens_per_day, "money_per_day": provider.money_per_day}
        print_json({"index": settings.store.index, **limits, "raised": raised, "days": ledger})
        return
    nothing = [] if ledger else [("spent", "nothing in these days")]
    today = [] if raised is None else [("raised", f"{_amounts(raised.tokens, raised.money)} until 00:00 UTC")]
    show(stdout(), grid_of([("limits", limits_in_words(settings)), *today, *nothing], LABEL))
    if ledger:
        rows = [_row(one) for one in ledger]
        show(stdout(), "", table_of(("day", "tenant", "tokens", "texts", "money"), rows, "tokens texts money"))


async def raise_limits(
    tokens_per_day: Tokens = None,
    money_per_day: Money = None,
    as_json: Json = False,  # noqa: FBT002 - a flag
) -> None:
    """Let the group spend so much today in all, in the place of the settings; they hold again from 00:00 UTC on.

    Every worker knows within two seconds. What is not told stays as the settings say.

    Examples:
        headrace budget raise --tokens-per-day 50000000
        headrace budget raise --money-per-day 12.50
    """
    if tokens_per_day is None and money_per_day is None:
        raise ConfigurationError("say how much: --tokens-per-day N, --money-per-day N, or both")
    settings = configured("store.dsn").settings
    if money_per_day is not None and not settings.provider.price_per_million_tokens:
        raise ConfigurationError("--money-per-day needs provider.price_per_million_tokens")
    allowance = Allowance(tokens_per_day, None if money_per_day is None else Decimal(str(money_per_day)))
    await give(settings, {allowance_of(settings.group): msgspec.json.encode(allowance).decode()})
    async with PgVectorStore(settings.store) as store:
        spent = sum(one.spent.tokens for one in await store.spent(1))
    if as_json:
        print_json({"group": settings.group, "index": settings.store.index, "allowance": allowance})
    else:
        stdout().print(f"{settings.group} may spend until 00:00 UTC: {_amounts(allowance.tokens, allowance.money)}")
        limit = daily_budget(settings.provider, allowance).token_limit
        if limit is not None and limit <= spent:
            stderr().print(f"{spent:,} tokens are spent already: documents wait until then, or for a higher limit")


def limits_in_words(settings: Settings) -> str:
    """Say what a day may cost by the settings."""
    provider = settings.provider
    if not daily_budget(provider).limited:
        return "none: set provider.tokens_per_day or provider.money_per_day"
    return f"{_amounts(provider.tokens_per_day, provider.money_per_day)} a day (UTC)"


def spent_in_words(spent: Spent) -> str:
    """Write an amount, with its money where there was a price."""
    money = f", {_money(spent.money)} in money" if spent.money else ""
    return f"{spent.tokens:,} tokens, {spent.texts:,} texts{money}"


def _amounts(tokens: int | None, money: Decimal | float | None) -> str:
    parts = [] if tokens is None else [f"{tokens:,} tokens"]
    if money is not None:
        parts.append(f"{_money(money)} in money")
    return " and ".join(parts)


def _money(amount: Decimal | float) -> str:
    return f"{amount:,.4f}".rstrip("0").rstrip(".")


def _row(one: DaySpent) -> tuple[str, ...]:
    spent = one.spent
    money = _money(spent.money) if spent.money else "-"
    return str(one.day), readable(one.tenant), f"{spent.tokens:,}", f"{spent.texts:,}", money
