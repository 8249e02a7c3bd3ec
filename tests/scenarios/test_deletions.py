"""Null values arrive: for documents that are stored, for documents that never were, and without a key.

Invariant: a null value removes the chunks and leaves a tombstone, also for an id never seen; the same text published
again is embedded and stored again; null key and null value is a dead letter that keeps both.
Fault: deletions between documents in one partition.
"""

from schemas import headers
from schemas.dead_letters import Record
from schemas.documents import Deletion
from tests.scenarios.harness import Harness, document


async def test_a_null_value_deletes_what_is_known_and_what_is_not(harness: Harness) -> None:
    gone, back, unknown = Deletion("default", "doc-1"), Deletion("default", "doc-2"), Deletion("a", "never-seen")
    await harness.publish(map(document, range(10)), partition=1)
    await harness.catch_up()
    await harness.publish([gone, back, unknown, document(10)], partition=1)
    await harness.catch_up()
    assert await harness.index.tombstones() == {(one.tenant, one.id) for one in (gone, back, unknown)}
    await harness.assert_nothing_lost()

    await harness.publish([document(2), document(11)], partition=1)
    await harness.catch_up()
    await harness.assert_nothing_lost()
    assert await harness.index.tombstones() == {(one.tenant, one.id) for one in (gone, unknown)}
    assert await harness.provider.paid(document(2).text) == 2


async def test_a_null_value_of_any_tool_deletes_by_its_key(harness: Harness) -> None:
    await harness.publish([document(1), document(2)], partition=1)
    await harness.publish([Record(b"doc-1", None, ())], partition=1)
    harness.expect(Deletion("default", "doc-1"))
    await harness.catch_up()
    assert await harness.index.tombstones() == {("default", "doc-1")}
    assert await harness.index.chunks() == {key: told for key, told in harness.expected.items() if told}


async def test_null_key_and_null_value_is_a_dead_letter_among_good_neighbours(harness: Harness) -> None:
    [_, nothing, _] = await harness.publish([document(1), Record(None, None, (("a", b"1"),)), document(2)], partition=1)
    await harness.catch_up()
    [letter] = await harness.log.dead_letters()
    told = {name: value or b"" for name, value in letter.headers}
    assert (letter.key, letter.value) == (b"", None)
    assert headers.DLQ_NULL_KEY in told
    assert letter.headers[0] == ("a", b"1")
    assert (told["headrace-dlq-code"], int(told["headrace-dlq-offset"])) == (b"missing-id", nothing.offset)
    assert await harness.everything_is_stored()
    assert await harness.caught_up()
