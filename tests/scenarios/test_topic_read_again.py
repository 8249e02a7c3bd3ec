"""An operator resets the group to the start of the topic.

Invariant: reading again what is stored calls no provider and writes no chunk row, and lag reaches 0 again.
Fault: offset 0 is committed for every partition, with empty metadata as any Kafka tool does, while the group is empty.
"""

from schemas.documents import Deletion, Document
from tests.scenarios.harness import PARTITIONS, Harness, document

LONG = "\n\n".join(f"Paragraph {n} of a document that is cut into chunks. " * 8 for n in range(40))


async def test_reading_the_topic_again_is_free(harness: Harness) -> None:
    await harness.publish(map(document, range(100)))
    await harness.publish(document(n, "changed") for n in range(20))
    await harness.publish([Deletion("default", "doc-99"), Deletion("default", "never-seen")])
    await harness.publish([Document("default", "long", LONG)])
    await harness.catch_up()
    await harness.wait_until(harness.caught_up, "lag is 0")
    rows, origins, before = (
        await harness.index.chunk_places(),
        await harness.index.origins(),
        await harness.provider.stats(),
    )
    assert len(rows) > 99 + 5
    assert before.repeated == 0

    await harness.log.commit(dict.fromkeys(range(PARTITIONS), 0))
    assert not await harness.caught_up()
    harness.mended()
    await harness.catch_up()

    assert await harness.caught_up()
    assert (await harness.provider.stats()).calls == before.calls
    assert await harness.index.chunk_places() == rows
    assert await harness.index.origins() == origins
    assert await harness.index.tombstones() == {("default", "doc-99"), ("default", "never-seen")}
