"""Rows are lost, rolled back, emptied and made up in the index behind the worker's back.

Invariant: `headrace reconcile` finds exactly those, and of every other document that it is right; `--repair` mends them
with provider calls for what was missing alone; a second look is clean.
Fault: SQL on the tables of the index, between two runs of a worker.
"""

from schemas.documents import Deletion, Document
from tests.scenarios.harness import Harness, document
from tests.scenarios.reconciling import ended, reconcile, start
from tests.scenarios.replaying import die, dlq, long, replay

COPY = """
CREATE TABLE kept AS SELECT * FROM docs.documents WHERE id IN ('doc-5', 'doc-6');
CREATE TABLE kept_chunks AS SELECT * FROM docs.chunks WHERE document_id IN ('doc-5', 'doc-6');
"""
SPOIL = """
DELETE FROM docs.chunks WHERE document_id IN ('doc-1', 'doc-2') AND tenant = 'default';
DELETE FROM docs.documents WHERE id IN ('doc-1', 'doc-2') AND tenant = 'default';

DELETE FROM docs.documents WHERE id IN ('doc-5', 'doc-6');
INSERT INTO docs.documents SELECT * FROM kept;
DELETE FROM docs.chunks WHERE document_id IN ('doc-5', 'doc-6');
INSERT INTO docs.chunks SELECT * FROM kept_chunks;

UPDATE docs.documents SET content_hash = decode('00', 'hex') WHERE id = 'doc-7';
DELETE FROM docs.chunks WHERE document_id = 'doc-8';

UPDATE docs.documents SET deleted_at = now(), content_hash = NULL, chunk_count = 0 WHERE id = 'doc-9';
DELETE FROM docs.chunks WHERE document_id = 'doc-9';

CREATE TEMP TABLE made_up AS SELECT * FROM docs.documents WHERE id = 'doc-10';
UPDATE made_up SET id = 'orphan';
INSERT INTO docs.documents SELECT * FROM made_up;
UPDATE made_up SET id = 'before-the-topic', origin_topic = 'another';
INSERT INTO docs.documents SELECT * FROM made_up;
UPDATE made_up SET id = 'behind-the-topic', origin_topic = '{topic}', origin_offset = 1000000;
INSERT INTO docs.documents SELECT * FROM made_up;
INSERT INTO docs.chunks SELECT tenant, made.id, ordinal, text, hash, tokens, embedding, embedded_at FROM docs.chunks,
    unnest(ARRAY['orphan', 'before-the-topic', 'behind-the-topic']) AS made(id) WHERE document_id = 'doc-10';
"""


async def test_what_was_spoilt_is_found_and_mended_and_nothing_else(harness: Harness) -> None:
    await harness.publish(map(document, range(20)))
    await harness.publish([Document("acme", "doc-1", "the same id of another tenant"), Deletion("acme", "doc-6")])
    await harness.catch_up()
    async with harness.index.connection() as connection:
        await connection.execute(COPY)
    await harness.publish([document(5, "again"), document(0, "again"), Deletion("default", "doc-6"), document(3)])
    await harness.publish([Deletion("default", "doc-4")])
    await harness.catch_up()
    clean, summary = await reconcile(harness)
    assert clean == {}
    assert summary["summary"]["findings"]["right"] == 22
    assert (summary["summary"]["documents"], summary["summary"]["deletions"]) == (19, 3)

    async with harness.index.connection() as connection:
        await connection.execute(SPOIL.format(topic=harness.log.topic))
    before, origins = await harness.provider.stats(), await harness.index.origins()
    found, summary = await reconcile(harness, code=1)
    assert found == {
        "missing": {("default", "doc-1"), ("default", "doc-2"), ("default", "doc-9")},
        "stale": {("default", "doc-5"), ("default", "doc-6")},
        "differs": {("default", "doc-7"), ("default", "doc-8")},
        "orphan": {("default", "orphan")},
        "unknown": {("default", "before-the-topic"), ("default", "behind-the-topic")},
    }
    assert summary["summary"]["findings"]["right"] == 15
    assert summary["summary"]["differences"] == 8
    assert await harness.index.origins() == origins, "a look changes nothing"

    _, told = await reconcile(harness, "--repair", "--delete-orphans", "--yes")
    assert (told["repair"]["published"], told["repair"]["deleted"], told["repair"]["skipped"]) == (7, 1, {})
    await harness.catch_up()
    found, summary = await reconcile(harness)
    assert set(found) == {"unknown"}
    assert ("default", "orphan") in await harness.index.tombstones()
    stored = await harness.index.chunks()
    del stored["default", "before-the-topic"], stored["default", "behind-the-topic"]
    assert stored == {key: chunks for key, chunks in harness.expected.items() if chunks}
    after = await harness.provider.stats()
    # Two rows that were lost, one rolled back, one without its chunk, one taken for deleted.
    assert after.texts - before.texts == 5


async def test_dead_letters_and_what_is_not_due_are_no_loss(harness: Harness) -> None:
    await harness.publish([document(number, "before") for number in range(8)])
    await harness.catch_up()
    await die(harness, [long(number) for number in range(6)])
    letters = {one["key"]: f"{one['partition']}:{one['offset']}" for one in await dlq(harness, "list")}
    found, summary = await reconcile(harness, code=1)
    assert found == {"dead-lettered": {("default", f"doc-{number}") for number in range(6)}}
    _, told = await reconcile(harness, "--repair", "--yes", code=1)
    assert "repair" not in told, "dead letters are left to those who look at them"

    partition, _, offset = letters["doc-0"].partition(":")
    await dlq(harness, "discard", "--yes", "--partition", partition, "--offset", offset, "--reason", "a draft")
    await replay(harness)
    await harness.publish([document(number, "after") for number in (7, 8)])
    found, summary = await reconcile(harness)
    assert found == {"given-up": {("default", "doc-0")}}
    assert summary["summary"]["findings"]["in-flight"] == 7, "five that were replayed, and two that are new"

    await harness.catch_up()
    found, summary = await reconcile(harness)
    assert found == {"given-up": {("default", "doc-0")}}
    assert summary["summary"]["findings"]["in-flight"] == 0
    assert summary["summary"]["undecodable"] == 0


async def test_a_document_too_large_here_is_not_taken_for_an_orphan(harness: Harness) -> None:
    await harness.publish([document(1), long(2)])
    await harness.catch_up()
    found, summary = await reconcile(harness, worker__max_document_bytes=200)
    assert found == {"unknown": {("default", "doc-2")}}
    assert summary["summary"]["undecodable"] == 1


async def test_records_that_retention_has_removed_are_not_missed(harness: Harness) -> None:
    await harness.publish(map(document, range(10)), partition=0)
    await harness.catch_up()
    await harness.log.delete_before({0: 5})
    found, _ = await reconcile(harness)
    assert found == {"unknown": {("default", f"doc-{number}") for number in range(5)}}


async def test_an_index_of_another_model_is_called_so_and_not_repaired(harness: Harness) -> None:
    await harness.publish(map(document, range(3)))
    await harness.catch_up()
    found, summary = await reconcile(harness, code=1, provider__model="another")
    assert found == {}
    assert summary["summary"]["wrong_model"] == 3
    code, lines, said = await ended(await start(harness, "--repair", "--yes", provider__model="another"))
    assert (code, lines) == (2, [])
    assert "holds other vectors" in said


async def test_a_repair_that_is_stopped_half_way_is_taken_up_again(harness: Harness) -> None:
    await harness.publish(map(document, range(60)))
    await harness.catch_up()
    await harness.index.fetch("DELETE FROM docs.documents")
    published = sum((await harness.log.ends()).values())
    running = await start(harness, "--repair", "--yes", "--rate", "20")

    async def some_are_out() -> bool:
        return sum((await harness.log.ends()).values()) > published

    await harness.wait_until(some_are_out, "some records are published")
    running.terminate()
    code, lines, _ = await ended(running)
    assert code == 130
    done = lines[-1]["repair"]["published"]
    assert 0 < done < 60
    assert sum((await harness.log.ends()).values()) == published + done
    found, _ = await reconcile(harness, code=1)
    assert len(found["missing"]) == 60 - done, "the others are on their way"
    await reconcile(harness, "--repair", "--yes")
    assert sum((await harness.log.ends()).values()) == published + 60
    await harness.catch_up()
    assert (await reconcile(harness))[1]["summary"]["findings"]["right"] == 60
