"""Tombstones are purged while a dead letter lies there that is older than one of them; then it is replayed.

Invariant: the tombstone that keeps the dead letter's document deleted stays until the dead letter was dealt with and
the workers are past its copy; all others go. A reset to the start of the topic afterwards brings nothing back. Whoever
replays a dead letter again whose tombstone is gone is warned, and nobody else is.
Fault: `headrace purge` before the replay, between replay and worker, and after both; then a read from the start.
"""

from typing import Any

from schemas.documents import Deletion
from tests.scenarios.harness import Harness, document
from tests.scenarios.replaying import die, dlq, headrace, long, replay, start, told

ELSE = 5


async def purge(harness: Harness) -> Any:  # noqa: ANN401 - whatever it is
    return await told(await headrace(harness, "purge", "--older-than", "0s", "--json"))


async def test_an_old_dead_letter_does_not_bring_a_deleted_document_back(harness: Harness) -> None:
    deleted = ("default", "doc-1")
    # Deleted before the dead letter came to be, so that nothing in it is older.
    await harness.publish([Deletion("default", f"before-{number}") for number in range(ELSE)])
    await die(harness, [long(1)])
    await harness.publish([Deletion(*deleted)])
    await harness.catch_up()

    first = await purge(harness)
    assert (first["purged"], first["plan"]["old"]["guarding"]) == (ELSE, 1)
    assert await harness.index.tombstones() == {deleted}

    assert (await dlq(harness, "replay", "--dry-run"))["unguarded"] == 0, "its tombstone is still there"
    assert (await replay(harness))["done"] == {"replayed": 1}
    assert (await purge(harness))["purged"] == 0, "its copy is on its way"
    await harness.catch_up()
    assert deleted not in await harness.index.chunks()
    assert await harness.index.tombstones() == {deleted}

    assert (await purge(harness))["purged"] == 1
    assert await harness.index.tombstones() == set()
    [row] = await harness.index.fetch("SELECT purged_before < now() AS noted FROM docs.about")
    assert row["noted"]

    await harness.publish([document(2)])
    await harness.log.commit(dict.fromkeys(await harness.log.ends(), 0))
    await harness.catch_up()
    assert deleted not in await harness.index.chunks()
    assert deleted in await harness.index.tombstones()

    assert (await purge(harness))["purged"] > 0
    again = await start(harness, "replay", "--yes", "--again", "--json")
    _, warned = await again.communicate()
    assert (again.returncode, b"warning: 1 of them may be older than deletions that were purged" in warned) == (0, True)
    await harness.catch_up()
    assert deleted in await harness.index.chunks(), "it is what the warning is about"
