"""A worker is killed with -9 after it has written, and before it has committed.

Invariant: what is stored is delivered again, and that costs nothing: no text is embedded a second time, no chunk row
is written a second time, and the offsets are committed by the next worker.
Fault: commits are an hour apart, so that everything is written and nothing is committed when the kill comes.
"""

from schemas.documents import Deletion
from tests.scenarios.harness import Harness, document


async def test_what_was_stored_but_not_committed_is_neither_paid_nor_written_twice(harness: Harness) -> None:
    await harness.publish(map(document, range(40)))
    await harness.publish(document(n, "in its second version") for n in range(10))
    await harness.publish([Deletion("default", "doc-39")])
    killed = harness.worker(kafka__commit_interval_s=3600)
    await harness.wait_until(harness.everything_is_stored, "everything is stored")
    await killed.kill()
    assert await harness.log.committed() == {}
    rows, provider = await harness.index.chunk_places(), await harness.provider.stats()

    harness.mended()
    await harness.catch_up()

    await harness.assert_nothing_lost()
    assert await harness.index.chunk_places() == rows
    assert (await harness.provider.stats()).paid == provider.paid
