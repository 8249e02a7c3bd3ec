"""A producer that sends something else, and a provider that refuses every document but not a known-good text.

Invariant: a flood that comes at once is noticed before the first of it is written to the dead-letter topic, one that
trickles in after a few; a flood in decoding holds its own partition alone, any other stops the calls; `headrace resume`
writes what was held and goes on.
Fault: 80 records that are no documents in one partition; then a provider that answers 400 to every document.
"""

import asyncio

from compose.fake_provider.behaviour import Behaviour, Fault
from consumers.stores.pgvector import PgVectorStore
from schemas.dead_letters import Record
from schemas.orders import NO, YES, pause_of, resume_of
from schemas.status import State, Status
from tests.scenarios.harness import Harness, document
from tests.scenarios.worker import Worker

QUIET_S = 3.0
SETTLED_S = 1.0


def _is_a_flood(status: Status) -> bool:
    return status.state is State.BLOCKED and status.reason.startswith("flood")


async def _resume(harness: Harness) -> None:
    async with PgVectorStore(harness.settings().store) as store:
        group = harness.settings().group
        await store.give_orders({pause_of(group): NO, resume_of(group): YES}, "a scenario")


async def _flooded(harness: Harness) -> Worker:
    worker = harness.worker()
    await harness.wait_for_status(worker, "there is a flood", _is_a_flood)
    return worker


async def test_a_flood_in_decoding_holds_its_partition_alone_until_it_is_resumed(harness: Harness) -> None:
    await harness.publish([Record(b"k", b"no document", ())] * 80, partition=1)
    await harness.publish((document(n) for n in range(40)), partition=0)
    worker = await _flooded(harness)
    assert await harness.log.dead_letters() == []
    await harness.wait_until(harness.everything_is_stored, "the other partition is stored")
    assert (await harness.log.committed()).get(1, 0) == 0
    await _resume(harness)
    harness.mended()
    await harness.wait_until(harness.caught_up, "lag is 0")
    assert len(await harness.log.dead_letters()) == 80
    assert await worker.stop() == 0


async def test_a_flood_of_refusals_calls_no_more_and_writes_none(harness: Harness) -> None:
    await harness.provider.set(Behaviour(faults=(Fault(kind="bad-request", containing="document"),)))
    await harness.publish(document(n) for n in range(300))
    worker = await _flooded(harness)
    await asyncio.sleep(SETTLED_S)  # what was on its way when the flood was noticed
    written = len(await harness.log.dead_letters())
    assert written < 60
    before = (await harness.provider.stats()).calls
    await harness.publish([document(1000)])
    await asyncio.sleep(QUIET_S)
    assert (await harness.provider.stats()).calls == before, "a call is made while dead letters are held"
    assert len(await harness.log.dead_letters()) == written, "a dead letter is written in a flood"
    await harness.provider.set(Behaviour())
    await _resume(harness)
    harness.mended()
    await harness.wait_until(harness.caught_up, "lag is 0")
    dead = len(await harness.log.dead_letters())
    assert written < dead < 300, "what was held is written, the rest is stored"
    assert len(await harness.index.chunks()) == 301 - dead
    assert await worker.stop() == 0
