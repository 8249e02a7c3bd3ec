"""Versions of one document lie in one batch, so that Kafka gives them one timestamp.

Invariant: the later offset wins, also where the earlier version reaches the database after it.
Fault: the call for the first version of some documents hangs until it times out, while later versions are stored.
"""

from compose.fake_provider.behaviour import Behaviour, Fault
from producers.documents import record_of
from tests.scenarios.harness import Harness, document

DOCUMENTS = 12
VERSIONS = ("first", "second", "third")


async def test_the_later_offset_wins_where_timestamps_tie(harness: Harness) -> None:
    late = Fault(kind="hang", containing="version first", calls=DOCUMENTS)
    await harness.provider.set(Behaviour(faults=(late,)))
    told = [document(n, f"in version {word}") for word in VERSIONS for n in range(DOCUMENTS)]
    async with harness.log.producer() as producer:
        await (await harness.log.send_batch(producer, map(record_of, told), 3))
    for one in told:
        harness.expect(one)
    await harness.catch_up(provider__timeout_s=2, provider__max_items=1, provider__concurrency=20)

    rows = await harness.index.fetch("SELECT origin_timestamp, origin_offset FROM docs.documents")
    assert len({row["origin_timestamp"] for row in rows}) == 1
    assert {row["origin_offset"] for row in rows} == set(range(2 * DOCUMENTS, 3 * DOCUMENTS))
    await harness.assert_nothing_lost()
    assert (await harness.provider.stats()).faults == {"hang": DOCUMENTS}
