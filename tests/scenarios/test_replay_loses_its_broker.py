"""Kafka is killed while dead letters are replayed, and started again.

Invariant: the replay ends by itself and says that Kafka is away; the next one leaves out what was noted, and nothing
else: every document is stored once, under its first origin.
Fault: kill -9 of the only broker in the middle of `headrace dlq replay`.
"""

import asyncio
import json

from tests.scenarios.harness import Harness
from tests.scenarios.replaying import WITHIN_S, assert_all_stored, die, dlq, long, published, replay, start
from tests.stack.parts import AnyStack

LETTERS = 100
RATE = 20


async def test_a_replay_that_loses_its_broker_loses_nothing(private_stack: AnyStack, private_harness: Harness) -> None:
    harness = private_harness
    before = await die(harness, map(long, range(LETTERS)))
    cut_off = await start(harness, "replay", "--yes", "--json", "--rate", str(RATE))
    try:

        async def under_way() -> bool:
            return await published(harness) >= before + RATE

        await harness.wait_until(under_way, "some are published")
        await private_stack.kafka.kill()
        async with asyncio.timeout(WITHIN_S):
            out, err = await cut_off.communicate()
    finally:
        if cut_off.returncode is None:
            cut_off.kill()
            await cut_off.wait()
    assert cut_off.returncode == 1, err.decode()
    assert b"is Kafka running" in err, err.decode()
    done = json.loads(out)["done"]["replayed"]
    assert 0 < done < LETTERS

    await private_stack.kafka.start()
    rest = await replay(harness)
    assert rest["before"] >= done
    assert rest["done"]["replayed"] + rest["before"] == LETTERS
    assert (await dlq(harness, "stats"))["total"] == 0
    await assert_all_stored(harness, published_twice=await published(harness) - before - LETTERS)
