"""A producer aborts a transaction, and another one leaves its markers at the end of the partitions.

Invariant: records of an aborted transaction are never stored and never paid for; lag reaches 0 behind the markers,
which are records that no consumer sees.
Fault: an aborted and a committed transaction over all partitions, and an aborted one as the last of all.
"""

from producers.documents import record_of
from tests.scenarios.harness import PARTITIONS, Harness, document


async def _transaction(harness: Harness, numbers: range, *, commit: bool) -> None:
    async with harness.log.producer(transactional_id=f"{harness.log.topic}-writer") as producer:
        await producer.begin_transaction()
        for number in numbers:
            record = record_of(document(number))
            await producer.send(
                harness.log.topic,
                record.value,
                record.key,
                partition=number % PARTITIONS,
                headers=list(record.headers),
            )
        await producer.flush()
        await (producer.commit_transaction() if commit else producer.abort_transaction())


async def test_what_was_aborted_is_never_stored_and_lag_reaches_0(harness: Harness) -> None:
    await _transaction(harness, range(20), commit=False)
    await _transaction(harness, range(100, 120), commit=True)
    await _transaction(harness, range(200, 220), commit=False)
    for number in range(100, 120):
        harness.expect(document(number))
    worker = await harness.catch_up()

    ends = await harness.log.ends()
    assert sum(ends.values()) == 3 * 20 + 3 * PARTITIONS, "records and markers"
    assert await harness.log.committed() == ends
    await harness.assert_nothing_lost()
    assert (await harness.provider.stats()).paid == 20
    assert worker.returncode == 0


async def test_a_worker_that_runs_follows_the_markers_as_they_come(harness: Harness) -> None:
    worker = harness.worker()
    await harness.wait_for_status(worker, "it has its partitions", lambda status: len(status.partitions) == PARTITIONS)
    for round_ in range(3):
        numbers = range(100 * round_, 100 * round_ + 8)
        await _transaction(harness, numbers, commit=round_ == 1)
        await harness.wait_until(harness.caught_up, "lag is 0")
        await harness.wait_for_status(worker, "lag is 0", lambda status: all(one.lag == 0 for one in status.partitions))
    for number in range(100, 108):
        harness.expect(document(number))
    await harness.assert_nothing_lost()
    assert (await harness.provider.stats()).paid == 8
