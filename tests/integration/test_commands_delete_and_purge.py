"""``headrace delete`` and ``headrace purge`` as they are typed, and a search behind filters."""

import json
from typing import Any

import asyncpg
import pytest

from tests.integration.commands import Commands, Ended

DOCUMENTS: list[dict[str, Any]] = [
    {"id": "zip", "text": "Read and write archives.", "metadata": {"lang": "en", "of": {"year": 2026}}},
    {"id": "json", "text": "Encode and decode JSON.", "metadata": {"lang": "de", "tags": ["data"]}},
    {"id": "mail", "text": "Send electronic mail."},
]


async def publish(commands: Commands, *documents: dict[str, Any]) -> None:
    said = "\n".join(json.dumps(one) for one in documents).encode()
    published = await commands.run("publish", "-", said=said)
    assert published.code == 0, published.err


async def work(commands: Commands) -> None:
    worked = await commands.run("run", "--until-caught-up")
    assert worked.code == 0, worked.err


@pytest.fixture
async def filled(commands: Commands) -> Commands:
    assert (await commands.run("init")).code == 0
    await publish(commands, *DOCUMENTS, *({**one, "tenant": "acme"} for one in DOCUMENTS))
    await work(commands)
    return commands


async def stored(commands: Commands) -> list[str]:
    dsn = commands.settings().store.dsn
    assert dsn is not None
    connection = await asyncpg.connect(dsn.get_secret_value())
    rows = await connection.fetch(
        "SELECT tenant, id, deleted_at IS NULL AS here FROM docs.documents ORDER BY tenant, id"
    )
    orphans = await connection.fetch(
        "SELECT document_id FROM docs.chunks AS c JOIN docs.documents AS d "
        "ON d.tenant = c.tenant AND d.id = c.document_id WHERE d.deleted_at IS NOT NULL"
    )
    await connection.close()
    assert orphans == []
    return [f"{row['tenant']}/{row['id']}{'' if row['here'] else ' deleted'}" for row in rows]


async def found(commands: Commands, *arguments: str) -> list[str]:
    ended = await commands.run("search", "archive", "--limit", "9", "--json", *arguments)
    assert ended.code == 0, ended.err
    return sorted(f"{hit['tenant']}/{hit['id']}" for hit in ended.json["hits"])


async def test_a_search_is_filtered_by_metadata_and_tenant_with_and_without_an_index(filled: Commands) -> None:
    assert await found(filled, "--where", "lang=en") == ["acme/zip", "default/zip"]
    assert await found(filled, "--where", "of.year=2026", "--tenant", "acme") == ["acme/zip"]
    assert await found(filled, "--where", "lang=de", "--where", 'tags=["data"]', "--exact") == [
        "acme/json", "default/json",
    ]  # fmt: skip
    assert await found(filled, "--where", "lang=en", "--where", "tags=data") == []
    assert len(await found(filled, "--ef", "200")) == 6
    refused = await filled.run("search", "x", "--exact", "--ef", "9")
    assert (refused.code, "leave one of them out" in refused.err) == (2, True)


async def test_documents_are_deleted_by_their_ids_when_a_worker_comes(filled: Commands) -> None:
    looked = await filled.run("delete", "zip", "never-seen", "--dry-run", "--json")
    assert (looked.json["total"], looked.json["stored"], looked.json["published"]) == (2, 1, 0)
    said = b"json\r\n\nmail\n"
    ended = await filled.run("delete", "zip", "-", "never-seen", "zip", "--yes", said=said)
    assert (ended.code, "4 tombstones published" in ended.out) == (0, True), ended.err
    assert "acme/zip" in await stored(filled)
    assert "default/zip" in await stored(filled)
    await work(filled)
    assert await stored(filled) == [
        "acme/json", "acme/mail", "acme/zip",
        "default/json deleted", "default/mail deleted", "default/never-seen deleted", "default/zip deleted",
    ]  # fmt: skip
    await publish(filled, DOCUMENTS[0])
    await work(filled)
    assert await found(filled, "--tenant", "default") == ["default/zip"], "what is published again is stored again"


async def test_a_whole_tenant_is_deleted_and_no_other(filled: Commands) -> None:
    await publish(filled, {"id": "late", "tenant": "acme", "text": "The workers have not seen this."})
    ended = await filled.run("delete", "--tenant", "acme", "--all", "--yes")
    assert (ended.code, "3 tombstones published" in ended.out) == (0, True), ended.err
    assert "1 records lay in the topic ahead of them" in ended.out
    await work(filled)
    assert [one for one in await stored(filled) if not one.endswith(" deleted")] == [
        "acme/late", "default/json", "default/mail", "default/zip",
    ]  # fmt: skip


async def purge(commands: Commands, *arguments: str) -> Ended:
    ended = await commands.run("purge", "--json", *arguments)
    assert ended.code == 0, ended.err
    return ended


async def test_a_purge_forgets_what_was_deleted_long_enough_ago(filled: Commands) -> None:
    await filled.run("delete", "zip", "mail", "--yes")
    await work(filled)
    assert (await purge(filled, "--older-than", "1d")).json["purged"] == 0
    looked = (await purge(filled, "--older-than", "0s", "--dry-run")).json
    assert (looked["plan"]["needed"]["letters"], looked["plan"]["needed"]["unresolved"]) == (0, 0)
    assert (looked["plan"]["old"], looked["purged"]) == ({"going": 2, "guarding": 0, "versioned": 0}, 0)
    ended = await filled.run("purge", "--older-than", "0s")
    assert (ended.code, "2 tombstones purged" in ended.out) == (0, True), ended.err
    assert await stored(filled) == ["acme/json", "acme/mail", "acme/zip", "default/json"]
    wrong = await filled.run("purge", "--older-than", "a while")
    assert (wrong.code, "write 12h or 30d" in wrong.err) == (2, True)


async def test_a_purge_keeps_what_guards_against_dead_letters_and_unresolved_records(filled: Commands) -> None:
    await publish(filled, {"id": "broken", "text": "too long " * 50, "version": 3})
    strict = await filled.run("run", "--until-caught-up", HEADRACE_WORKER__MAX_DOCUMENT_BYTES="300")
    assert strict.code == 0, strict.err
    await filled.run("delete", "zip", "--yes")
    await work(filled)
    await publish(filled, {"id": "new", "text": "Nobody has read this yet."})
    said = (await filled.run("purge", "--older-than", "0s")).out
    assert said.startswith("0 tombstones purged")
    assert "1 stay, since older records may still come: 1 open dead letters, the oldest from" in said
    assert "1 records that the workers have not resolved" in said
    await filled.run("dlq", "discard", "--reason", "done with", "--yes")
    await work(filled)
    assert (await purge(filled, "--older-than", "0s")).json["purged"] == 1
