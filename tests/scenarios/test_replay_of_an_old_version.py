"""A dead letter is replayed after a newer version of its document was stored.

Invariant: the replay ends as superseded: the newer version stays, no row is written, no provider is called. A
corrected document is no replay: it has a new origin, and replaces what is stored.
Fault: `headrace dlq replay` of an old version, then `--edit` of the same dead letter.
"""

from pathlib import Path

from tests.scenarios.harness import Harness, document
from tests.scenarios.replaying import die, dlq, long, replay

LETTERS = 5


async def test_an_old_version_is_superseded_and_a_correction_is_not(harness: Harness, folder: Path) -> None:
    await die(harness, [long(number, "old") for number in range(LETTERS)])
    await harness.publish([document(number, "new") for number in range(LETTERS)])
    await harness.catch_up()
    assert await harness.everything_is_stored()
    rows, calls = await harness.index.chunk_places(), (await harness.provider.stats()).calls

    worker = harness.worker()
    assert (await replay(harness))["done"] == {"replayed": LETTERS}
    await harness.wait_for_status(worker, "all were superseded", lambda status: status.totals.superseded == LETTERS)
    await harness.wait_until(harness.caught_up, "lag is 0")
    assert await harness.everything_is_stored()
    assert await harness.index.chunk_places() == rows
    assert (await harness.provider.stats()).calls == calls
    assert len(await harness.log.dead_letters()) == LETTERS

    letter = next(one for one in await dlq(harness, "list", "--all") if one["key"] == "doc-3")
    corrected = folder / "corrected.json"
    corrected.write_text('{"id": "doc-3", "text": "corrected by hand"}')
    place = ("--partition", str(letter["partition"]), "--offset", str(letter["offset"]))
    done = await dlq(harness, "replay", "--yes", "--again", *place, "--edit", str(corrected))
    assert done["done"] == {"replayed": 1}

    async def is_corrected() -> bool:
        return [one.text for one in (await harness.index.chunks())["default", "doc-3"]] == ["corrected by hand"]

    await harness.wait_until(is_corrected, "the corrected document is stored")
