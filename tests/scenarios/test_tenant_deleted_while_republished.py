"""A whole tenant is deleted while its documents are published again, and while the workers have not read all of them.

Invariant: every document ends as the last record of its key says, whole or as a tombstone, never as chunks without a
document; what lay in the topic when the deletion began and was not published again is gone; other tenants keep theirs.
Fault: a publisher that goes on through the deletion; a worker that comes only after it has begun.
"""

import asyncio
from contextlib import aclosing

from consumers.kafka.reader import read
from producers.documents import DocumentProducer
from schemas.documents import Document, message_key
from tests.scenarios.harness import Harness
from tests.scenarios.replaying import headrace, told

KNOWN, LATE, AGAIN = 120, 30, 20
TENANT = "acme"


def of_tenant(name: str, words: str = "first") -> Document:
    return Document(TENANT, name, f"{name} {words}")


async def publish(harness: Harness, documents: list[Document]) -> None:
    """Publish as `headrace publish` does: a tombstone has to go where the documents went."""

    def refused(*_: object) -> None:
        raise AssertionError("a document is too large")

    async with DocumentProducer(harness.settings().kafka, refused=refused) as producer:
        for one in documents:
            await producer.publish(one)
        await producer.flush()


async def again_and_again(harness: Harness) -> None:
    for turn in range(10_000):
        await publish(harness, [of_tenant(f"known-{number}", f"turn {turn}") for number in range(AGAIN)])
        await asyncio.sleep(0.05)


async def last_words(harness: Harness) -> dict[bytes, bytes | None]:
    """Return the value of the last record of each key."""
    found: dict[bytes, bytes | None] = {}
    ranges = {partition: (0, end) for partition, end in (await harness.log.ends()).items()}
    async with aclosing(read(harness.settings().kafka, harness.log.topic, ranges)) as groups:
        async for messages in groups:
            found.update({message.key or b"": message.value for message in messages})
    return found


async def test_what_is_published_later_stays_and_all_else_is_gone(harness: Harness) -> None:
    others = [Document("other", f"known-{number}", f"other {number}") for number in range(10)]
    await publish(harness, [of_tenant(f"known-{number}") for number in range(KNOWN)] + others)
    await harness.catch_up()
    await publish(harness, [of_tenant(f"late-{number}") for number in range(LATE)])

    publishing = asyncio.create_task(again_and_again(harness))
    deleting = await headrace(harness, "delete", "--tenant", TENANT, "--all", "--yes", "--wait", "--json")
    await asyncio.sleep(1.0)
    harness.worker()
    done = await told(deleting)
    publishing.cancel()
    await asyncio.gather(publishing, return_exceptions=True)
    await harness.wait_until(harness.caught_up, "lag is 0")

    assert done["published"] >= KNOWN + LATE
    assert not done["interrupted"]
    words = await last_words(harness)
    alive = {key for key, value in words.items() if value is not None}
    chunks = await harness.index.chunks()
    assert {message_key(*key) for key in chunks} == alive
    assert all(told[0].text.encode() in (words[message_key(*key)] or b"") for key, told in chunks.items())
    assert {key for key in chunks if key[0] == TENANT} <= {(TENANT, f"known-{number}") for number in range(AGAIN)}
    assert {key for key in chunks if key[0] == "other"} == {("other", one.id) for one in others}
    tombstones = await harness.index.tombstones()
    assert {(TENANT, f"late-{number}") for number in range(LATE)} <= tombstones
    assert not tombstones & chunks.keys(), "a tombstone has no chunks"
