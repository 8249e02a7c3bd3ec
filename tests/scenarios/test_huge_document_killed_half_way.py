"""A worker is killed twice in the middle of a document of two thousand chunks.

Invariant: what was paid for is not paid for again but for the calls that were under way, and a reader sees all of the
document or nothing of it; when it is stored, nothing of it is left aside.
Fault: kill -9, twice, while a part of its vectors has come.
"""

import asyncio

from compose.fake_provider.behaviour import Behaviour, Fixed
from consumers.providers.deterministic import vector_of
from schemas.documents import Document
from tests.scenarios.harness import DIMENSIONS, Harness, document

CHUNKS = 2000
ITEMS, CALLS = 50, 4
KEY = ("default", "huge")


def _huge() -> str:
    sentence = "Paragraph {n} tells of the mill, of its wheel and of the water above it, in words of its own. "
    return "\n\n".join(sentence.replace("{n}", str(n)) * 20 for n in range(CHUNKS))


async def _count(harness: Harness, table: str) -> int:
    [row] = await harness.index.fetch(f"SELECT count(*) AS n FROM docs.{table}")  # noqa: S608 - our name
    return int(row["n"])


async def test_a_kill_in_the_middle_of_a_huge_document_pays_again_for_the_calls_under_way(harness: Harness) -> None:
    text = _huge()
    # A call that is given up because the machine stalls is paid for again, and is not what this is about.
    settings = {"provider__max_items": ITEMS, "provider__concurrency": CALLS, "provider__timeout_s": 60}
    await harness.provider.set(Behaviour(latency=Fixed(ms=400)))
    await harness.publish([document(1), Document(*KEY, text), document(2)], partition=1)
    for enough in (CHUNKS // 4, CHUNKS // 2):
        worker = harness.worker(**settings)

        async def so_many_are_kept(enough: int = enough) -> bool:
            return await _count(harness, "staged") >= enough

        await harness.wait_until(so_many_are_kept, f"{enough} vectors are kept")
        await worker.kill()
        assert [row["document_id"] for row in await harness.index.fetch("SELECT document_id FROM docs.chunks")] in (
            [],
            ["doc-1"],
            ["doc-1", "doc-2"],
        )
    before = await harness.provider.stats()
    await harness.provider.set(Behaviour())
    harness.mended()
    await asyncio.sleep(0.2)
    await harness.catch_up(**settings)
    assert await harness.caught_up()
    stored = (await harness.index.chunks())[KEY]
    assert len(stored) >= CHUNKS
    assert "".join("".join(chunk.text for chunk in stored).split()) == "".join(text.split())
    assert [chunk.vector for chunk in stored] == [vector_of(chunk.text, DIMENSIONS) for chunk in stored]
    after = await harness.provider.stats()
    assert after.repeated <= 2 * ITEMS * CALLS
    assert after.paid - before.paid < CHUNKS * 2 // 3
    assert await _count(harness, "staged") == 0
    assert await harness.log.dead_letters() == []
