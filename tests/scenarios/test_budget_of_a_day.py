"""The budget of a day is spent in mid-load.

Invariant: no call passes the limit, not even after a restart; intake stops and says why, nothing is dead-lettered, and
once an operator lets it, the rest is embedded, each text once. The ledger says what the provider says.
Fault: a limit of tokens a day that is half of what the documents need, and a worker that is started anew.
"""

import asyncio
from decimal import Decimal

from consumers.stores.pgvector import PgVectorStore
from schemas.orders import allowance_of
from schemas.spending import Spent
from schemas.status import State, Status
from tests.scenarios.harness import Harness, document

DOCUMENTS = 200
LIMIT = 400
"""Tokens; a document has 16 bytes, which is four of them."""
A_CALL = 32
WORDS = "abc"


def _waits_for_the_day(status: Status) -> bool:
    return status.state is State.THROTTLED and f"of today's {LIMIT:,} tokens are spent" in status.reason


async def test_a_spent_budget_stops_intake_until_an_operator_raises_it(harness: Harness) -> None:
    await harness.publish(document(100 + n, WORDS) for n in range(DOCUMENTS))
    limited = {"provider__tokens_per_day": LIMIT, "provider__price_per_million_tokens": 1_000_000}
    first = harness.worker(**limited)
    await harness.wait_for_status(first, "it waits for the day", _waits_for_the_day)
    assert await first.stop() == 0
    async with PgVectorStore(harness.settings().store) as store:
        [ledger] = await store.spent(1)
        stats = await harness.provider.stats()
        assert ledger.spent == Spent(stats.tokens, stats.paid, Decimal(stats.tokens))
        assert LIMIT - A_CALL < stats.tokens <= LIMIT
        assert len(await harness.index.chunks()) == stats.paid, "what was paid for is stored"
        second = harness.worker(**limited)
        await harness.wait_for_status(second, "it knows what was spent", _waits_for_the_day)
        await asyncio.sleep(1.0)
        assert (await harness.provider.stats()).paid == stats.paid
        await store.give_orders({allowance_of(harness.settings().group): '{"tokens":1000000}'}, "a scenario")
        await harness.assert_nothing_lost()
        assert await second.stop() == 0
        [ledger] = await store.spent(1)
    stats = await harness.provider.stats()
    assert (stats.paid, stats.repeated) == (DOCUMENTS, 0)
    assert ledger.spent.texts == DOCUMENTS
    assert await harness.log.dead_letters() == []
