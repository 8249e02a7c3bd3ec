"""An operator resets the group of two workers that are at work.

Invariant: without --orchestrate the command refuses, names the members and changes nothing; with it the workers finish,
commit and leave the group, their processes stay and tell their status, and behind the reset they join again: no commit
of theirs undoes it, nothing is lost, nothing is paid for twice.
Fault: `headrace offsets reset --execute` in mid-load.
"""

from pathlib import Path

import pytest

from consumers.kafka.admin import Commit
from consumers.kafka.offsets import delete_offsets, write_offsets
from consumers.stores.pgvector import PgVectorStore
from schemas.errors import GroupIsLive
from schemas.orders import NO, leave_of
from tests.scenarios.harness import Harness, document
from tests.scenarios.resets import Operator


async def test_a_live_group_is_refused_and_an_orchestrated_one_read_again(harness: Harness, folder: Path) -> None:
    await harness.publish(document(n) for n in range(300))
    fleet = harness.worker(), harness.worker()
    for worker in fleet:
        await harness.wait_for_status(worker, "it has two partitions", lambda status: len(status.partitions) == 2)
    operator = Operator(harness, folder)
    refused = await operator.run("offsets", "reset", "--to", "earliest", "--execute")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.count("headrace-worker on") == 2
    assert "--orchestrate" in refused.err
    assert not operator.undo_files.exists()
    await harness.wait_until(harness.caught_up, "lag is 0")
    pids, polled = [worker.pid for worker in fleet], sum([await harness.polled(worker) for worker in fleet])

    await harness.publish(document(n) for n in range(300, 400))
    done = await operator.offsets("reset", "--to", "earliest", "--execute", "--orchestrate")
    assert [one["after"] for one in done["plan"]["moves"]] == [0, 0, 0, 0]
    harness.mended()

    async def read_again() -> bool:
        return sum([await harness.polled(worker) for worker in fleet]) >= polled + 400

    await harness.wait_until(read_again, "everything was read again")
    await harness.assert_nothing_lost()
    assert [worker.pid for worker in fleet] == pids
    assert [worker.returncode for worker in fleet] == [None, None]
    assert (await harness.provider.stats()).repeated == 0
    settings = harness.settings()
    async with PgVectorStore(settings.store) as store:
        [order] = await store.orders([leave_of(settings.group)])
    assert order.value == NO
    assert [await worker.stop() for worker in fleet] == [0, 0]


async def test_members_that_are_no_workers_are_sent_nowhere(harness: Harness, folder: Path) -> None:
    await harness.publish(document(n) for n in range(5))
    await harness.catch_up()
    before, settings = await harness.log.commits(), harness.settings()
    async with harness.log.member():
        refused = await Operator(harness, folder).run(
            "offsets", "reset", "--to", "earliest", "--execute", "--orchestrate"
        )
        # Whoever joins behind that look is seen by Kafka itself.
        place = settings.kafka, settings.group, settings.kafka.topic
        with pytest.raises(GroupIsLive):
            await write_offsets(*place, {0: Commit(0, "")})
        with pytest.raises(GroupIsLive):
            await delete_offsets(*place, [0])
    assert (refused.code, refused.out) == (1, "")
    assert "not all members" in refused.err
    assert await harness.log.commits() == before
