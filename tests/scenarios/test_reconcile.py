"""Rows are lost, rolled back, emptied and made up in the index behind the worker's back.

Invariant: `headrace reconcile` finds exactly those, and of every other document that it is right; `--repair` mends them
with provider calls for what was missing alone; a second look is clean.
Fault: SQL on the tables of the index, between two runs of a worker.
"""

from schemas.documents import Deletion, Document
from tests.scenarios.harness import Harness, document
from tests.scenarios.reconciling import reconcile

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
