"""Messages come that name another origin than their own place: replays of old ones, and forgeries.

Invariant: a replay of an older message never replaces a newer one, and is counted as superseded; an origin that is
not older than the message that carries it is ignored, so that nobody can pin a row for ever.
Fault: an old message is published again with the headers of a replay, and with those of a dead letter copied back by
a plain tool; a message claims an origin in the future.
"""

from producers.documents import record_of
from schemas import headers
from schemas.dead_letters import Record
from tests.scenarios.harness import Harness, document
from tests.scenarios.log import Sent

HOUR_MS = 3_600_000
CLAIMS = ((HOUR_MS, 0), (HOUR_MS, 1000), (-HOUR_MS, 0))
"""By how much later, and how many offsets further, than the first message of its document a forgery claims to be."""


def _from(sent: Sent, topic: str, prefix: str, *, later_ms: int = 0, offset: int = 0) -> Record:
    """Return the record of *sent* as it is published again, with headers that name its origin."""
    told = {
        "topic": topic,
        "partition": str(sent.partition),
        "offset": str(sent.offset + offset),
        "timestamp": str(sent.timestamp + later_ms),
        "timestamp-type": "LogAppendTime",
    }
    origin = tuple((prefix + name, value.encode()) for name, value in told.items())
    return Record(sent.key, sent.value, (*sent.headers, *origin, (headers.REPLAYS, b"1")))


async def test_an_old_message_published_again_replaces_nothing(harness: Harness) -> None:
    old = await harness.publish([document(n, "old") for n in range(10)])
    await harness.publish([document(n, "new") for n in range(10)])
    await harness.catch_up()
    rows, origins = await harness.index.chunk_places(), await harness.index.origins()
    paid = (await harness.provider.stats()).paid

    prefixes = (headers.ORIGIN_PREFIX, headers.DLQ_PREFIX)
    again = [_from(sent, harness.log.topic, prefix) for sent in old for prefix in prefixes]
    worker = harness.worker()
    await harness.publish(again)
    await harness.wait_for_status(worker, "20 were superseded", lambda status: status.totals.superseded == len(again))
    await harness.assert_nothing_lost()
    assert await harness.index.chunk_places() == rows
    assert await harness.index.origins() == origins
    assert (await harness.provider.stats()).paid == paid


async def test_a_replay_of_what_was_never_stored_is_stored_under_its_first_origin(harness: Harness) -> None:
    [lost] = await harness.publish([Record(b"doc-1", b"", ())], partition=1)
    mended = record_of(document(1, "mended"))
    sent = Sent(mended.key, mended.value, mended.headers, lost.partition, lost.offset, lost.timestamp)
    await harness.publish([_from(sent, harness.log.topic, headers.ORIGIN_PREFIX)], partition=1)
    harness.expect(document(1, "mended"))
    await harness.catch_up()
    assert await harness.everything_is_stored()
    assert (await harness.index.origins())["default", "doc-1"].offset == lost.offset


async def test_a_forged_origin_can_not_hold_a_row_against_newer_messages(harness: Harness) -> None:
    firsts = await harness.publish([document(n, "first") for n in range(len(CLAIMS))], partition=1)
    forged = []
    for n, (first, (later_ms, offset)) in enumerate(zip(firsts, CLAIMS, strict=True)):
        said = record_of(document(n, "forged"))
        claim = Sent(said.key, said.value, said.headers, first.partition, first.offset, first.timestamp)
        forged.append(_from(claim, harness.log.topic, headers.ORIGIN_PREFIX, later_ms=later_ms, offset=offset))
    carriers = await harness.publish(forged, partition=1)
    await harness.catch_up()
    origins = await harness.index.origins()
    for n, (first, carrier, (later_ms, _)) in enumerate(zip(firsts, carriers, CLAIMS, strict=True)):
        # One that claims to be older is believed, and loses; any other has the place it lies at.
        harness.expect(document(n, "first" if later_ms < 0 else "forged"))
        assert origins["default", f"doc-{n}"].offset == (first.offset if later_ms < 0 else carrier.offset)
    assert await harness.index.chunks() == harness.expected

    await harness.publish([document(n, "last") for n in range(len(CLAIMS))], partition=1)
    await harness.catch_up()
    await harness.assert_nothing_lost()
