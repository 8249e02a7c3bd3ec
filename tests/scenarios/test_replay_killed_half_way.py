"""A replay of dead letters is killed half-way and started again.

Invariant: no dead letter is left out, and only those are published twice whose acknowledgements had not been noted:
one group at most. Every document is stored once, under its first origin.
Fault: kill -9 of `headrace dlq replay` while it publishes.
"""

from tests.scenarios.harness import Harness
from tests.scenarios.replaying import assert_all_stored, die, dlq, long, published, replay, start

LETTERS = 300
RATE = 100
GROUP = 25
"""A quarter of a second at this rate."""


async def test_a_killed_replay_goes_on_where_it_was(harness: Harness) -> None:
    before = await die(harness, map(long, range(LETTERS)))
    assert len(await harness.log.dead_letters()) == LETTERS
    killed = await start(harness, "replay", "--yes", "--rate", str(RATE))
    try:

        async def half_way() -> bool:
            return await published(harness) >= before + LETTERS / 3

        await harness.wait_until(half_way, "a third is published")
    finally:
        killed.kill()
        await killed.wait()
    then = await published(harness) - before
    assert LETTERS / 3 <= then < LETTERS

    rest = await replay(harness)
    assert rest["done"]["replayed"] + rest["before"] == LETTERS
    assert 0 <= then - rest["before"] <= GROUP
    assert await published(harness) == before + then + rest["done"]["replayed"]
    assert (await dlq(harness, "stats"))["total"] == 0
    await assert_all_stored(harness, published_twice=then - rest["before"])
    assert len(await harness.log.dead_letters()) == LETTERS
