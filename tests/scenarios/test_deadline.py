"""The provider answers 503 for a few texts and embeds all others, then answers 503 to everything.

Invariant: a document that waits longer than its deadline is waited for and told of, and stored when the provider is
back; with ``on_deadline = "dead-letter"`` it becomes a dead letter, alone, and nothing of it is stored. An outage fills
no dead-letter topic even so: the flood guard holds it, and what it does not hold is stored after a resume.
Fault: 503 for texts with a word in them; 503 for everything.
"""

import pytest

from compose.fake_provider.behaviour import Behaviour, Fault
from consumers.stores.pgvector import PgVectorStore
from schemas.orders import NO, YES, pause_of, resume_of
from schemas.status import State, Status
from tests.scenarios.harness import Harness, document
from tests.scenarios.log import Sent

DEADLINE_S = 2
LONGER_S = 20
"""Time for an order to arrive, for a probe of the provider, and for what is left to be embedded after it."""
REFUSED = (3, 4)
STUBBORN = Behaviour(faults=(Fault(kind="unavailable", containing="stubborn"),))
AWAY = Behaviour(faults=(Fault(kind="unavailable"),))
GIVES_UP = {"provider__on_deadline": "dead-letter", "provider__deadline_s": DEADLINE_S}


def _late(status: Status) -> int:
    return sum(partition.late for partition in status.partitions)


def _reason(letter: Sent) -> tuple[bytes | None, bytes | None]:
    told = dict(letter.headers)
    return told["headrace-dlq-stage"], told["headrace-dlq-code"]


async def _publish_with_stubborn_ones(harness: Harness) -> None:
    await harness.provider.set(STUBBORN)
    await harness.publish(document(n, "stubborn" if n in REFUSED else "good") for n in range(20))


async def test_a_late_document_is_waited_for_and_told_of(harness: Harness) -> None:
    await _publish_with_stubborn_ones(harness)
    worker = harness.worker(provider__deadline_s=DEADLINE_S, provider__max_items=1)
    await harness.wait_for_status(worker, "two documents are late", lambda status: _late(status) == len(REFUSED))
    assert await worker.metric("headrace_messages_late") == len(REFUSED)
    assert worker.told.count("documents wait longer than their deadline") in {1, 2}, "once a partition"
    assert await harness.log.dead_letters() == []
    await harness.provider.set(Behaviour())
    harness.mended()
    await harness.assert_nothing_lost()
    await harness.wait_for_status(worker, "no document is late", lambda status: _late(status) == 0)
    assert await worker.stop() == 0


async def test_a_late_document_is_dead_lettered_alone_where_that_is_wished(harness: Harness) -> None:
    await _publish_with_stubborn_ones(harness)
    await harness.catch_up(**GIVES_UP, provider__max_items=1)
    for number in REFUSED:
        del harness.expected["default", f"doc-{number}"]
    letters = await harness.log.dead_letters()
    assert sorted(letter.key or b"" for letter in letters) == [b"doc-%d" % number for number in REFUSED]
    assert {_reason(letter) for letter in letters} == {(b"provider", b"deadline")}
    assert all(b"waited" in (dict(letter.headers)["headrace-dlq-message"] or b"") for letter in letters)
    assert await harness.index.chunks() == harness.expected
    assert await harness.caught_up()


@pytest.mark.parametrize("paused", [False, True])
async def test_an_outage_fills_no_dead_letter_topic(harness: Harness, *, paused: bool) -> None:
    await harness.provider.set(AWAY)
    await harness.publish(document(n) for n in range(300))
    worker = harness.worker(**GIVES_UP | {"provider__deadline_s": LONGER_S})
    if paused:
        await harness.wait_for_status(worker, "it has taken them in", lambda status: status.in_flight.documents == 300)
        await _order(harness, pause=YES)
        await harness.wait_for_status(worker, "they are late and it is paused", _is_paused_and_late)
    else:
        await harness.wait_for_status(worker, "there is a flood", _is_a_flood)
    assert await harness.log.dead_letters() == []
    await harness.provider.set(Behaviour())
    await _order(harness, pause=NO, resume=YES)
    harness.mended()
    await harness.wait_until(harness.caught_up, "lag is 0", within=100)
    dead = len(await harness.log.dead_letters())
    assert dead == 0 if paused else 0 < dead <= 50, "what the guard held is written, and no more"
    assert len(await harness.index.chunks()) == 300 - dead
    assert await worker.stop() == 0


def _is_a_flood(status: Status) -> bool:
    return status.state is State.BLOCKED and status.reason.startswith("flood")


def _is_paused_and_late(status: Status) -> bool:
    waited = min((one.oldest_unresolved_s or 0.0 for one in status.partitions), default=0.0)
    return status.state is State.PAUSED and _late(status) == 300 and waited > LONGER_S + 2


async def _order(harness: Harness, **orders: str) -> None:
    group = harness.settings().group
    names = {"pause": pause_of(group), "resume": resume_of(group)}
    async with PgVectorStore(harness.settings().store) as store:
        await store.give_orders({names[name]: value for name, value in orders.items()}, "a scenario")
