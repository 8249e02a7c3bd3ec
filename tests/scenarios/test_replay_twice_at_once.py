"""Two operators replay the same dead letters at the same time.

Invariant: no dead letter is left out; what is published twice is stored once, under its first origin; a later replay
finds nothing to do, and whoever ends last says what the other did.
Fault: two processes of `headrace dlq replay` at once.
"""

import asyncio

from tests.scenarios.harness import Harness
from tests.scenarios.replaying import assert_all_stored, die, long, published, replay, start, told

LETTERS = 120


async def test_two_replays_at_once_do_no_harm(harness: Harness) -> None:
    before = await die(harness, map(long, range(LETTERS)))
    both = [await start(harness, "replay", "--yes", "--json", "--rate", "30") for _ in range(2)]
    accounts = await asyncio.gather(*map(told, both))
    replayed = [account["done"].get("replayed", 0) for account in accounts]
    assert await published(harness) == before + sum(replayed)
    assert sum(replayed) >= LETTERS
    assert max(account["meanwhile"] for account in accounts) >= sum(replayed) - LETTERS > 0
    assert (await replay(harness))["done"] == {}
    await assert_all_stored(harness, published_twice=sum(replayed) - LETTERS)
