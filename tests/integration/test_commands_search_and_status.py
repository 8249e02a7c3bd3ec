"""``headrace search`` and ``headrace status`` over documents that went the whole way."""

import json

import aiohttp

from compose.embedded.ports import pick
from compose.http.server import StatusServer
from schemas.settings import HttpSettings
from schemas.status import State
from tests.integration.commands import Commands
from tests.integration.test_status_server import status

DOCUMENTS = [
    {"id": "zip", "title": "zipfile [bold]", "text": "Read and write compressed archives in the ZIP format."},
    {"id": "json", "text": "Encode and decode JSON, a format to exchange data."},
    {"id": "mail", "text": "Send electronic mail through a server that speaks SMTP.\nIt is polite."},
]


async def fill(commands: Commands) -> None:
    """Publish, and run a worker until all of it is stored."""
    assert (await commands.run("init")).code == 0
    lines = [*DOCUMENTS, {**DOCUMENTS[1], "tenant": "acme"}]
    said = "\n".join(json.dumps(line) for line in lines).encode()
    published = await commands.run("publish", "-", said=said)
    assert published.code == 0, published.err
    worked = await commands.run("run", "--until-caught-up")
    assert worked.code == 0, worked.err


async def test_search_finds_what_was_published_nearest_first(commands: Commands) -> None:
    await fill(commands)
    found = (await commands.run("search", "compress", "an", "archive", "--limit", "2", "--json")).json
    assert (found["query"], found["index"]) == ("compress an archive", "docs")
    assert found["hits"][0]["id"] == "zip"
    assert len(found["hits"]) == 2
    assert found["hits"][0]["score"] > found["hits"][1]["score"]
    acme = (await commands.run("search", "archive", "--tenant", "acme", "--json")).json["hits"]
    assert [(hit["tenant"], hit["id"]) for hit in acme] == [("acme", "json")]
    shown = await commands.run("search", "ZIP archive")
    assert "zipfile [bold]  zip\n       Read and write compressed archives" in shown.out, "a title is no markup"
    assert "It is polite." in shown.out
    assert "acme/json" in shown.out
    assert all(line == line.rstrip() for line in shown.out.splitlines())


async def test_search_refuses_vectors_of_another_model(commands: Commands) -> None:
    before = await commands.run("search", "x")
    assert (before.code, before.out) == (2, "")
    assert "run `headrace init`" in before.err
    await commands.run("init")
    assert "nothing found" in (await commands.run("search", "x")).out
    assert "that passes these filters" in (await commands.run("search", "x", "--tenant", "acme")).out
    empty = await commands.run("search", " ")
    assert (empty.code, "say what to look for" in empty.err) == (2, True)
    other = await commands.run("search", "x", HEADRACE_PROVIDER__DIMENSIONS="64")
    assert (other.code, other.out) == (2, "")
    assert "dimensions is 256 there and 64 here" in other.err


async def test_status_tells_lag_before_and_none_after_the_worker(commands: Commands) -> None:
    await commands.run("init")
    said = "\n".join(json.dumps(one) for one in DOCUMENTS).encode()
    await commands.run("publish", "-", said=said)
    before = (await commands.run("status", "--json")).json
    assert before["kafka"]["lag"] == 3
    assert {one["committed"] for one in before["kafka"]["partitions"]} == {None}
    assert before["kafka"]["group"]["members"] == []
    await commands.run("run", "--until-caught-up")
    after = await commands.run("status", "--json")
    assert (after.code, after.json["kafka"]["lag"]) == (0, 0)
    assert sum(one["committed"] for one in after.json["kafka"]["partitions"]) == 3
    assert after.json["index"]["counts"]["documents"] == 3
    assert set(after.json["problems"]) == {"worker"}
    shown = await commands.run("status")
    assert "3 documents" in shown.out


async def test_status_tells_of_a_pause_also_while_no_worker_runs(commands: Commands) -> None:
    await commands.run("init")
    before = await commands.run("status")
    assert "paused" not in before.out
    assert "not known to Kafka yet" in before.out
    paused = await commands.run("pause")
    assert "is it the right one" in paused.err, "nobody has worked for this group"
    assert "order    paused by" in (await commands.run("status")).out
    await commands.run("resume")
    assert (await commands.run("status", "--json")).json["index"]["orders"] == []


async def test_status_counts_dead_letters_and_says_what_is_missing(commands: Commands) -> None:
    missing = await commands.run("status", "--json")
    assert missing.code == 1
    assert "run `headrace init`" in missing.json["problems"]["kafka"]
    assert "run `headrace init`" in missing.json["problems"]["index"]


async def test_status_asks_the_worker_that_listens_here(commands: Commands) -> None:
    await commands.run("init")
    port = pick()
    now = status(State.BLOCKED, "the key is refused")
    async with StatusServer(HttpSettings(port=port), lambda: now, lambda: b""):
        ended = await commands.run("status", "--json", HEADRACE_HTTP__PORT=str(port))
        shown = await commands.run("status", HEADRACE_HTTP__PORT=str(port))
    assert ended.code == 0
    assert ended.json["problems"] == {}
    assert (ended.json["worker"]["state"], ended.json["worker"]["reason"]) == ("blocked", "the key is refused")
    assert "blocked: the key is refused" in shown.out
    assert "it works for another group" in shown.out


async def test_a_stranger_on_the_port_is_no_worker(commands: Commands) -> None:
    await commands.run("init")
    port = pick()
    runner = aiohttp.web.AppRunner(aiohttp.web.Application())
    await runner.setup()
    await aiohttp.web.TCPSite(runner, "127.0.0.1", port).start()
    ended = await commands.run("status", "--json", HEADRACE_HTTP__PORT=str(port))
    await runner.cleanup()
    assert ended.code == 0
    assert "something else than a worker" in ended.json["problems"]["worker"]
