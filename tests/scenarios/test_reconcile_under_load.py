"""Documents are published, changed, deleted and given up all the while that topic and index are compared.

Invariant: a reconciliation beside workers at work calls nothing wrong that is not.
Fault: a stream of versions, deletions and records that are no documents; two workers, of which one is killed.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from schemas.dead_letters import Record
from schemas.documents import Deletion, Document
from tests.scenarios.harness import Harness, document
from tests.scenarios.reconciling import reconcile

LOOKS = 2


@asynccontextmanager
async def stream(harness: Harness) -> AsyncIterator[None]:
    """Publish without end, until the block is left."""
    chance = random.Random(7)

    ended = asyncio.Event()

    async def publish() -> None:
        count = 0
        while not ended.is_set():
            group: list[Document | Deletion | Record] = []
            for _ in range(25):
                count += 1
                number = chance.randrange(300)
                deletion = Deletion("default", f"doc-{number}")
                group.append(deletion if chance.random() < 0.1 else document(number, f"version {count}"))
            await harness.publish([*group, Record(b"doc-1", b"no json", ())])
            await asyncio.sleep(0.1)

    task = asyncio.create_task(publish())
    try:
        yield
    finally:
        ended.set()
        await task


async def test_nothing_is_called_wrong_beside_workers_at_work(harness: Harness) -> None:
    changed = {"flood__ratio": 1.0, "flood__run": 1_000_000}
    await harness.publish(map(document, range(300)))
    workers = [harness.worker(**changed) for _ in range(2)]
    async with stream(harness):
        await harness.wait_until(harness.index.count, "something is stored")
        right = 0
        for look in range(LOOKS):
            found, summary = await reconcile(harness)
            assert found == {}
            right = summary["summary"]["findings"]["right"]
            if look == 0:
                await workers[1].kill()
                harness.workers.remove(workers[1])
        assert right > 0
    await harness.wait_until(harness.caught_up, "lag is 0")
    found, summary = await reconcile(harness)
    assert found == {}
    assert set(filter(summary["summary"]["findings"].get, summary["summary"]["findings"])) == {"right"}
    assert await harness.everything_is_stored()
