"""A partition holds a record that Kafka's client can not parse.

Invariant: the other partitions go on and lose nothing; this one is stored up to that record and waits before it,
blocked with the reason, until an operator moves its position behind the batch that holds it.
Fault: a record whose header has a name that is not UTF-8, alone or in the middle of a batch, as any client may send it.
"""

import struct
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka.record.default_records import DefaultRecordBase
from aiokafka.record.util import calc_crc32c

from producers.documents import record_of
from schemas.dead_letters import Record
from schemas.status import State, Status
from tests.scenarios.harness import PARTITIONS, Harness, document

BAD = 1
EACH = 60
NAME = b"the-name-of-a-header"


def _spoil(batch: Any) -> None:  # noqa: ANN401 - aiokafka publishes no types
    """Write bytes that are no UTF-8 where the header's name stands, under a checksum that is right."""
    buffer = bytearray(batch._build())
    at = buffer.index(NAME)
    buffer[at : at + len(NAME)] = b"\xff" * len(NAME)
    checksum = calc_crc32c(memoryview(buffer)[DefaultRecordBase.ATTRIBUTES_OFFSET :])
    struct.pack_into(">I", buffer, DefaultRecordBase.CRC_OFFSET, checksum)
    batch._buffer = bytes(buffer)


async def _publish_batch(harness: Harness, records: list[Record], partition: int) -> int:
    """Send one batch with the unreadable record in it; return the offset of its first record."""
    async with harness.log.producer(enable_idempotence=False) as producer:
        sent = await (await harness.log.send_batch(producer, records, partition, _spoil))
        offset: int = sent.offset
        return offset


def _blocked_at(offset: int) -> Callable[[Status], bool]:
    def holds(status: Status) -> bool:
        blocked = {one.partition: one for one in status.partitions if one.blocked}
        return (
            status.state is State.BLOCKED
            and f"partition {BAD}" in status.reason
            and blocked.keys() == {BAD}
            and blocked[BAD].position == offset
        )

    return holds


@pytest.mark.parametrize(("before_in_batch", "behind_in_batch"), [(0, 0), (5, 3)])
async def test_a_partition_waits_before_it_and_the_others_go_on(
    harness: Harness, before_in_batch: int, behind_in_batch: int
) -> None:
    before = [document(n, "before") for n in range(10)]
    in_batch = [document(100 + n, "in the same batch") for n in range(before_in_batch)]
    behind = [document(200 + n, "behind") for n in range(5)]
    await harness.publish(before, partition=BAD)
    unreadable = Record(b"key", b"{}", ((NAME.decode(), b"1"),))
    given_up = [document(300 + n, "of the same batch") for n in range(behind_in_batch)]
    batch = [*map(record_of, in_batch), unreadable, *map(record_of, given_up)]
    at = await _publish_batch(harness, batch, BAD) + before_in_batch
    await harness.log.publish(map(record_of, behind), BAD)
    for one in in_batch:
        harness.expect(one)
    for partition in set(range(PARTITIONS)) - {BAD}:
        await harness.publish((document(1000 * (partition + 1) + n) for n in range(EACH)), partition=partition)

    worker = harness.worker()
    await harness.wait_until(harness.everything_is_stored, "all but what is behind it is stored")
    await harness.wait_for_status(worker, "it is blocked", _blocked_at(at))
    await harness.publish((document(9000 + n, "later") for n in range(20)), partition=2)
    await harness.wait_until(harness.everything_is_stored, "what came later is stored")
    ends = await harness.log.ends()

    async def all_but_one_are_committed() -> bool:
        return await harness.log.committed() == ends | {BAD: at}

    await harness.wait_until(all_but_one_are_committed, "the others are at their ends, this one stands before it")
    assert await harness.log.dead_letters() == []
    assert await worker.stop() == 0

    await harness.log.commit({BAD: at + 1 + behind_in_batch})
    for one in behind:
        harness.expect(one)
    harness.mended()
    await harness.catch_up()
    await harness.assert_nothing_lost()
    assert await harness.embedded_again() == set()
