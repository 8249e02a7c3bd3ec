"""A dead letter is replayed again and again, and fails each time.

Invariant: it is counted across its trips with its first origin; after three replays the next one parks it, and no
later one publishes anything.
Fault: a document that no worker takes.
"""

from schemas.headers import DLQ_PREFIX
from tests.scenarios.harness import Harness
from tests.scenarios.replaying import STRICT, die, dlq, long, published, replay


async def test_what_fails_after_three_replays_is_parked(harness: Harness) -> None:
    before = await die(harness, [long(1)])
    for trip in range(1, 4):
        assert (await replay(harness))["done"] == {"replayed": 1}
        await harness.catch_up(**STRICT)
        letters = await harness.log.dead_letters()
        assert len(letters) == trip + 1
        assert {dict(one.headers)[f"{DLQ_PREFIX}offset"] for one in letters} == {
            dict(letters[0].headers)[f"{DLQ_PREFIX}offset"]
        }
    assert (await replay(harness))["done"] == {"parked": 1}
    assert (await replay(harness))["done"] == {}
    assert await published(harness) == before + 3
    assert (await dlq(harness, "stats", "--all"))["fates"] == {"replayed": 3, "parked": 1}
