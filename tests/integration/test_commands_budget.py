"""``headrace budget``: what was spent, and more of it."""

from tests.integration.commands import Commands
from tests.integration.test_commands_search_and_status import fill

PRICED = {"HEADRACE_PROVIDER__PRICE_PER_MILLION_TOKENS": "2", "HEADRACE_PROVIDER__TOKENS_PER_DAY": "1000"}


async def test_the_ledger_shows_tenants_and_what_is_left(commands: Commands) -> None:
    commands.environ |= PRICED
    await commands.run("init")
    assert "nothing in these days" in (await commands.run("budget", "show")).out
    await fill(commands)
    told = (await commands.run("budget", "show", "--json")).json
    assert told["tokens_per_day"] == 1000
    tenants = {one["tenant"]: one["spent"] for one in told["days"]}
    assert sum(spent["texts"] for spent in tenants.values()) in (3, 4), "two tenants have one text in common"
    assert float(tenants["default"]["money"]) == tenants["default"]["tokens"] * 2 / 1_000_000
    shown = await commands.run("budget", "show")
    assert "1,000 tokens a day (UTC)" in shown.out
    assert "default" in shown.out
    status = await commands.run("status")
    assert "of the day's budget" in status.out


async def test_a_raise_says_until_when_it_holds_and_what_it_needs(commands: Commands) -> None:
    await commands.run("init")
    raised = await commands.run("budget", "raise", "--tokens-per-day", "5000")
    assert (raised.code, "until 00:00 UTC: 5,000 tokens" in raised.out) == (0, True)
    assert "raised   5,000 tokens until 00:00 UTC" in (await commands.run("budget", "show")).out
    await fill(commands)
    assert "% of the day's budget" in (await commands.run("status")).out, "an operator's word is a budget too"
    too_low = await commands.run("budget", "raise", "--tokens-per-day", "1")
    assert (too_low.code, "are spent already" in too_low.err) == (0, True)
    nothing = await commands.run("budget", "raise")
    assert (nothing.code, "say how much" in nothing.err) == (2, True)
    unpriced = await commands.run("budget", "raise", "--money-per-day", "3")
    assert (unpriced.code, "price_per_million_tokens" in unpriced.err) == (2, True)
    without = await commands.run("check", HEADRACE_PROVIDER__MONEY_PER_DAY="3")
    assert (without.code, "money_per_day needs provider.price_per_million_tokens" in without.err) == (2, True)
