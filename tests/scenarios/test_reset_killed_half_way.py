"""An operator's `headrace offsets reset` is killed between its undo file and its end, with the fleet sent away.

Invariant: wherever the kill falls, `headrace offsets undo` puts offsets and positions back; the workers say in their
status who sent them away and what calls them back, and then nothing is lost, and nothing that is stored is paid for
again.
Fault: kill -9 of the command as soon as its undo file is there.
"""

from pathlib import Path

from consumers.stores.pgvector import PgVectorStore
from schemas.status import State
from tests.scenarios.harness import Harness, document
from tests.scenarios.resets import Operator


async def _positions(harness: Harness) -> dict[int, int]:
    settings = harness.settings()
    async with PgVectorStore(settings.store) as store:
        return await store.load_positions(settings.group, settings.kafka.topic)


async def test_a_reset_that_is_killed_can_be_undone_and_leaves_nobody_away_in_silence(
    harness: Harness, folder: Path
) -> None:
    await harness.publish(map(document, range(200)))
    worker = harness.worker()
    await harness.wait_until(harness.caught_up, "lag is 0")
    before, known = await harness.log.commits(), await _positions(harness)
    calls = (await harness.provider.stats()).calls

    operator = Operator(harness, folder)
    await operator.reset_killed("--to", "5", "--orchestrate")
    late = harness.worker()
    for one in (worker, late):
        await harness.wait_for_status(
            one,
            "it is out of the group, and what calls it back",
            lambda status: status.state is State.PAUSED and "`headrace resume`" in status.reason,
        )
    assert (await operator.offsets("undo"))["plan"]["members"] == []
    undone = await operator.run("offsets", "undo", "--execute")
    assert undone.code == 0, undone.err
    assert "`headrace resume`" in undone.err
    assert await harness.log.commits() == before
    assert await _positions(harness) == known

    harness.mended()
    await harness.publish(document(n) for n in range(200, 210))
    assert (await operator.run("resume")).code == 0
    await harness.assert_nothing_lost()
    assert sum([await harness.polled(one) for one in (worker, late)]) == 210, "nobody reads anything again"
    assert (await harness.provider.stats()).repeated == 0
    assert (await harness.provider.stats()).calls > calls
    assert [await one.stop() for one in (worker, late)] == [0, 0]


async def test_an_undo_behind_a_worker_that_has_gone_on_does_not_make_it_rewind(harness: Harness, folder: Path) -> None:
    await harness.publish(map(document, range(200)))
    await harness.catch_up()
    before, rows = await harness.log.commits(), await harness.index.chunk_places()
    operator = Operator(harness, folder)
    await operator.offsets("reset", "--to", "earliest", "--execute")
    middle = {partition: one.offset // 2 for partition, one in before.items()}
    await harness.log.commit(middle, next(iter(before.values())).metadata)  # as a worker does that was stopped half-way
    settings = harness.settings()
    async with PgVectorStore(settings.store) as store:
        await store.save_positions(settings.group, settings.kafka.topic, middle)
    await operator.offsets("undo", "--execute")
    assert await harness.log.commits() == before
    await harness.publish(document(n) for n in range(200, 205))
    worker = harness.worker()
    await harness.assert_nothing_lost()
    assert await harness.polled(worker) == 5, "it goes on where it was before the reset"
    assert {key: place for key, place in (await harness.index.chunk_places()).items() if key in rows} == rows
    assert await worker.stop() == 0
