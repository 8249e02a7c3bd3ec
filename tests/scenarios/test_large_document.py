"""A document of 5 MB, which is cut into thousands of chunks, lies between small ones in one partition.

Invariant: it is stored whole, every part of its text with the vector of that part, while readers see all of its chunks
or none; a change of one paragraph pays for that paragraph, also where it moves all others; its neighbours are stored.
Fault: a document far larger than a call, a batch, or the budget of what may be in flight.
"""

import asyncio

from consumers.providers.deterministic import vector_of
from schemas.documents import Document
from tests.scenarios.harness import DIMENSIONS, Harness, document
from tests.scenarios.index import Chunk

SIZE = 5_000_000
MAX_CHARACTERS = 4 * 512
BUDGET = 1_000_000
KEY = ("default", "large")


def _large() -> list[str]:
    sentence = "Water that falls upon the wheel of paragraph {n} turns the stone, and sentence {m} says so once more. "
    paragraph = "".join(sentence.replace("{m}", str(m)) for m in range(12))
    count = SIZE // len(paragraph)
    return [paragraph.replace("{n}", str(n)).strip() for n in range(count)]


async def _watch_for_a_part_of_it(harness: Harness, counts: set[int]) -> None:
    while True:
        [row] = await harness.index.fetch("SELECT count(*) AS n FROM docs.chunks WHERE document_id = 'large'")
        counts.add(row["n"])
        await asyncio.sleep(0.05)


def _assert_whole(chunks: list[Chunk], text: str) -> None:
    assert "".join("".join(chunk.text for chunk in chunks).split()) == "".join(text.split())
    assert max(len(chunk.text) for chunk in chunks) <= MAX_CHARACTERS
    assert [chunk.vector for chunk in chunks] == [vector_of(chunk.text, DIMENSIONS) for chunk in chunks]


async def test_a_document_of_thousands_of_chunks_is_stored_whole_and_changed_in_part(harness: Harness) -> None:
    paragraphs = _large()
    text = "\n\n".join(paragraphs)
    seen: set[int] = set()
    watching = asyncio.create_task(_watch_for_a_part_of_it(harness, seen))
    settings = {"provider__max_items": 100, "worker__in_flight_bytes": BUDGET}
    await harness.publish([document(1), Document(*KEY, text), document(2)], partition=2)
    await harness.catch_up(**settings)
    stored = await harness.index.chunks()
    _assert_whole(stored[KEY], text)
    assert len(stored[KEY]) > 2000
    assert stored["default", "doc-1"] == harness.expected["default", "doc-1"]
    assert stored["default", "doc-2"] == harness.expected["default", "doc-2"]
    before = await harness.provider.stats()
    assert before.repeated == 0

    paragraphs[7] = paragraphs[7].replace("stone", "sieve")
    await harness.publish([Document(*KEY, "\n\n".join(paragraphs))], partition=2)
    await harness.catch_up(**settings)
    changed = (await harness.index.chunks())[KEY]
    _assert_whole(changed, "\n\n".join(paragraphs))
    assert 1 <= (await harness.provider.stats()).paid - before.paid <= 3

    paragraphs.insert(0, "A paragraph that nobody has seen before stands above all others now. " * 12)
    paid = (await harness.provider.stats()).paid
    await harness.publish([Document(*KEY, "\n\n".join(paragraphs))], partition=2)
    await harness.catch_up(**settings)
    moved = (await harness.index.chunks())[KEY]
    _assert_whole(moved, "\n\n".join(paragraphs))
    assert 1 <= (await harness.provider.stats()).paid - paid <= 3
    watching.cancel()
    assert seen <= {0, len(stored[KEY]), len(changed), len(moved)}
    assert await harness.log.dead_letters() == []
    assert await harness.caught_up()
