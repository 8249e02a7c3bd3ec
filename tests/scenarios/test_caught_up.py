"""A worker is asked to end when it has caught up, and a group's positions belong to another index.

Invariant: ``--until-caught-up`` ends with 0 as soon as the ends it saw at its start are committed, at once where there
is nothing; positions of another index are neither used nor overwritten, and the worker ends with 2.
Fault: an empty topic; empty partitions; another member holds the partitions; commits that another index has made.
"""

import time

from tests.scenarios.harness import Harness, document


async def test_an_empty_topic_is_caught_up_at_once(harness: Harness) -> None:
    began = time.monotonic()
    await harness.catch_up()
    assert time.monotonic() - began < 10
    assert (await harness.provider.stats()).calls == 0


async def test_empty_partitions_are_not_waited_for(harness: Harness) -> None:
    await harness.publish(map(document, range(5)), partition=2)
    await harness.catch_up()
    await harness.assert_nothing_lost()


async def test_a_group_that_has_caught_up_ends_at_once_and_calls_nobody(harness: Harness) -> None:
    await harness.publish(map(document, range(5)))
    await harness.catch_up()
    calls = (await harness.provider.stats()).calls
    await harness.catch_up()
    assert (await harness.provider.stats()).calls == calls


async def test_what_another_member_commits_counts_as_well(harness: Harness) -> None:
    other = harness.worker()
    await harness.wait_for_status(other, "it has its partitions", lambda status: len(status.partitions) > 0)
    await harness.publish(map(document, range(200)))
    await harness.catch_up()
    await harness.assert_nothing_lost()
    assert await other.stop() == 0


async def test_positions_of_another_index_are_refused_and_stay(harness: Harness) -> None:
    await harness.publish(map(document, range(20)))
    await harness.log.commit({0: 3, 1: 2}, "headrace/another/0123456789abcdef")
    before = await harness.log.commits()
    worker = harness.worker()
    assert await worker.ended() == 2, worker.told
    assert await harness.log.commits() == before
    assert await harness.index.count() == 0
    assert (await harness.provider.stats()).calls == 0
