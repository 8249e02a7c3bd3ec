"""An index is made anew while its group remembers positions.

Invariant: a worker refuses to start, with exit code 2 and the two commands that mend it: one fills the index from the
start of the topic, the other takes what comes from now on. An operator's own reset is followed, empty index or not. A
database that was restored, and holds documents, is no such case: there a worker rewinds.
Fault: the index is dropped and made again; Kafka keeps the commits.
"""

from pathlib import Path

import pytest

from compose.service import fingerprint_of
from consumers.core.positions import FILL, GO_ON
from consumers.stores.pgvector import PgVectorStore
from tests.scenarios.harness import PARTITIONS, Harness, document
from tests.scenarios.index import TABLES
from tests.scenarios.resets import Operator


async def _emptied(harness: Harness) -> None:
    """Let a worker store and commit 40 documents, and make the index anew."""
    await harness.publish(map(document, range(40)))
    await harness.catch_up()
    await harness.index.fetch(f"DROP SCHEMA {TABLES} CASCADE")
    await harness.index.fetch("DROP SCHEMA headrace CASCADE")
    settings = harness.settings()
    async with PgVectorStore(settings.store) as store:
        await store.create(fingerprint_of(settings))
    refused = harness.worker("--until-caught-up")
    assert await refused.ended() == 2, refused.told
    assert FILL in refused.told
    assert GO_ON in refused.told


@pytest.mark.parametrize(("command", "stored"), [(FILL, 50), (GO_ON, 10)])
async def test_an_empty_index_asks_what_is_meant(harness: Harness, folder: Path, command: str, stored: int) -> None:
    await _emptied(harness)
    await harness.publish(document(n) for n in range(40, 50))
    ended = await Operator(harness, folder).run(*command.strip("`").split()[1:])
    assert ended.code == 0, ended.err
    await harness.catch_up()
    assert set(await harness.index.texts()) == {document(n).text for n in range(50 - stored, 50)}


async def test_a_reset_with_another_tool_is_an_answer_too(harness: Harness) -> None:
    await _emptied(harness)
    ends = await harness.log.ends()
    await harness.log.commit({**dict.fromkeys(range(PARTITIONS), 0), 0: ends[0]})
    await harness.catch_up()
    left = {document(n).text for n in range(40) if harness.log.partition_of(f"doc-{n}".encode()) != 0}
    assert set(await harness.index.texts()) == left


async def test_a_group_of_another_index_is_told_what_takes_it_over(harness: Harness, folder: Path) -> None:
    await harness.publish(map(document, range(10)))
    await harness.catch_up()
    other = {"store__index": "other"}
    settings = harness.settings(**other)
    async with PgVectorStore(settings.store) as store:
        await store.create(fingerprint_of(settings))
    refused = harness.worker("--until-caught-up", **other)
    assert await refused.ended() == 2, refused.told
    assert FILL in refused.told
    assert "'docs'" in refused.told
    ended = await Operator(harness, folder).run(*FILL.strip("`").split()[1:], **other)
    assert ended.code == 0, ended.err
    await harness.catch_up(**other)
    [row] = await harness.index.fetch("SELECT count(*) AS n FROM other.documents")
    assert row["n"] == 10
