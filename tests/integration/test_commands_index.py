"""``headrace index`` as it is typed, and ``headrace search`` on what is promoted."""

import asyncio
import json
import os
import signal
import sys
from typing import Any

import asyncpg
import pytest

from compose.cli.index_build import build
from compose.fake_provider.process import FakeProvider
from compose.indexes import WORTH_INDEXING, advice
from consumers.stores.catalog import Catalog
from schemas.errors import ConfigurationError
from tests.integration.commands import ROOT, Commands

DOCUMENTS = [{"id": f"doc-{n}", "text": f"document {n} about rivers and mills"} for n in range(12)]
OTHER = ("--set", "provider.model=other", "--set", "provider.dimensions=16")

REFUSED = {
    "promote nope": "there is no index nope in this database: there are docs",
    "compare docs docs": "are one index: name two",
    "promote": "name the index to promote, or say --back",
    "promote --back": "there is nothing to go back to",
    "promote docs --as Bad-Name": "--as Bad-Name: write small letters",
    "drop docs --index other": "two indexes are named: docs and other",
    "create docs --set provider.model=x": "name another index",
    "create headrace": "this schema holds the views",
    "create Bad-Name": "store.index = Bad-Name",
    "build --kind ivfflat": "holds no chunks",
    "build wide": "pgvector indexes at most 4,000 dimensions",
}


async def loaded(commands: Commands) -> None:
    """Fill the first index; each index has a group of its own, named after it."""
    del commands.environ["HEADRACE_KAFKA__GROUP"]
    assert (await commands.run("init")).code == 0
    said = "\n".join(map(json.dumps, DOCUMENTS)).encode()
    assert (await commands.run("publish", "-", said=said)).code == 0
    worked = await commands.run("run", "--until-caught-up")
    assert worked.code == 0, worked.err


async def test_a_model_is_changed_by_typing_what_each_command_says_next(commands: Commands) -> None:
    await loaded(commands)
    async with FakeProvider(dimensions=16) as provider:
        url = provider.base_url
        made = await commands.run("index", "create", "docs_v2", *OTHER, "--json")
        assert made.code == 0, made.err
        assert made.json["then"] == [
            "headrace run --index docs_v2 --set provider.model=other --set provider.dimensions=16",
            "headrace index build docs_v2",
            "headrace index compare docs docs_v2",
            "headrace index promote docs_v2",
        ]
        empty = await commands.run("index", "promote", "docs_v2")
        assert (empty.code, empty.out) == (2, "")
        assert "is empty" in empty.err
        filled = await commands.run(
            *made.json["then"][0].split()[1:], "--until-caught-up", HEADRACE_PROVIDER__BASE_URL=url
        )
        assert filled.code == 0, filled.err
        built = await commands.run("index", "build", "docs_v2", "--json")
        assert built.code == 0, built.err
        last = json.loads(built.out.splitlines()[-1])
        assert (last["index"], last["vector_index"]["kind"], last["vector_index"]["valid"]) == ("docs_v2", "hnsw", True)
        compared = await commands.run("index", "compare", "docs", "docs_v2", "--list", "--neighbours", "3")
        assert "same          12  the same record, or the same content" in compared.out
        assert "recall@3" in compared.out
        done = await commands.run("index", "promote", "docs_v2")
        assert "promoted docs_v2: headrace.documents and headrace.chunks read it, docs before" in done.out

        listed = {one["name"]: one for one in (await commands.run("index", "list", "--json")).json}
        assert {name: one["promoted"] for name, one in listed.items()} == {"docs": [], "docs_v2": ["default"]}
        assert listed["docs_v2"]["fingerprint"]["model"] == "other"

        refused = await commands.run("search", "rivers")
        assert (refused.code, refused.out) == (2, "")
        assert "set provider.model = other and provider.dimensions = 16" in refused.err
        found = await commands.run("search", "rivers", *OTHER, "--json", HEADRACE_PROVIDER__BASE_URL=url)
        assert (found.json["index"], len(found.json["hits"])) == ("docs_v2", 5)
        named = await commands.run("search", "rivers", "--index", "docs", "--json")
        assert (named.json["index"], len(named.json["hits"])) == ("docs", 5)

        back = (await commands.run("index", "promote", "--back", "--json")).json
        assert (back["switched"]["index"], back["switched"]["previous"]) == ("docs", "docs_v2")
        assert (await commands.run("search", "rivers", "--json")).json["index"] == "docs"


async def test_an_index_goes_only_when_nobody_needs_it(commands: Commands) -> None:
    await loaded(commands)
    assert (await commands.run("index", "create", "docs_v2")).code == 0
    promoted = await commands.run("index", "drop", "docs", "--yes")
    assert (promoted.code, promoted.out) == (2, "")
    assert "the index docs is promoted" in promoted.err
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "compose", "run", "--index", "docs_v2",
        cwd=ROOT, env={**os.environ, **commands.environ},
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(60):
            while (live := await commands.run("index", "drop", "docs_v2")).code == 2:
                if "works for the index" in live.err:
                    break
                assert "say --yes" in live.err  # it has not joined yet
        assert "the group headrace-docs_v2 works for the index docs_v2: stop " in live.err
    finally:
        worker.send_signal(signal.SIGTERM)
        await worker.wait()
    unasked = await commands.run("index", "drop", "docs_v2")
    assert (unasked.code, "nobody is there to be asked: say --yes" in unasked.err) == (2, True)
    gone = await commands.run("index", "drop", "docs_v2", "--yes", "--json")
    assert gone.json == {"index": "docs_v2", "dropped": True}
    assert await Catalog(commands.settings().store).names() == ["docs"]


async def test_what_makes_no_sense_is_refused_in_words(indexed: Commands) -> None:
    for typed, says in REFUSED.items():
        refused = await indexed.run("index", *typed.split())
        assert (refused.code, refused.out) == (2, ""), typed
        assert says in refused.err, typed
        assert "Traceback" not in refused.err, typed


@pytest.fixture
async def indexed(commands: Commands) -> Commands:
    """Give an empty index ``docs``, and one of too many dimensions to be indexed."""
    assert (await commands.run("index", "create", "docs")).code == 0
    assert (await commands.run("index", "create", "wide", "--set", "provider.dimensions=4100")).code == 0
    return commands


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"lists": 5}, "--lists is for --kind ivfflat"),
        ({"kind": "ivfflat", "m": 5}, "are for --kind hnsw"),
        ({"m": 40}, "at least twice --m, 80 here"),
        ({"maintenance_memory": "lots"}, "write a size such as 512MB"),
    ],
    ids=lambda told: " ".join(told) if isinstance(told, dict) else "",
)
async def test_options_of_a_build_that_contradict_each_other_are_refused(told: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        await build(**told)


async def test_without_ddl_the_sql_is_printed_for_a_dba(commands: Commands, database: str) -> None:
    await commands.run("index", "create", "docs")
    made = await commands.run("index", "create", "docs_v2", HEADRACE_STORE__DDL="false")
    built = await commands.run("index", "build", "docs", HEADRACE_STORE__DDL="false")
    switched = await commands.run("index", "promote", "docs_v2", HEADRACE_STORE__DDL="false")
    assert (made.code, built.code, switched.code) == (0, 0, 2)
    connection = await asyncpg.connect(database)
    try:
        await connection.execute(made.out)
        await connection.execute(built.out)
        switched = await commands.run("index", "promote", "docs_v2", HEADRACE_STORE__DDL="false")
        await connection.execute(switched.out)
    finally:
        await connection.close()
    listed = {one["name"]: one for one in (await commands.run("index", "list", "--json")).json}
    assert [one["valid"] for one in listed["docs"]["vector_indexes"]] == [True]
    assert listed["docs_v2"]["promoted"] == ["default"]


async def test_an_interrupted_build_says_so_and_leaves_nothing(commands: Commands, database: str) -> None:
    await commands.run("index", "create", "docs")
    table = (await commands.run("index", "list")).out.splitlines()
    assert [line.split()[0] for line in table] == ["INDEX", "docs"]
    connection = await asyncpg.connect(database)
    try:
        async with connection.transaction():
            await connection.execute("LOCK docs.chunks IN ROW EXCLUSIVE MODE")
            building = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "compose", "index", "build", "--json",
                cwd=ROOT, env={**os.environ, **commands.environ},
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            assert building.stdout is not None
            async with asyncio.timeout(60):
                told = json.loads(await building.stdout.readline())
            assert "waiting for writers" in told["phase"]
            building.send_signal(signal.SIGINT)
            await asyncio.sleep(0.5)
        async with asyncio.timeout(60):
            _, said = await building.communicate()
    finally:
        await connection.close()
    assert building.returncode == 130, said
    assert b"taken back" in said
    assert (await Catalog(commands.settings().store).index("docs")).vector_indexes == ()


async def test_a_large_index_without_a_vector_index_is_spoken_of(indexed: Commands, database: str) -> None:
    settings = indexed.settings()
    assert await advice(settings) is None
    connection = await asyncpg.connect(database)
    zeros = str([0.5] * settings.provider.dimensions) if settings.provider.dimensions else ""
    await connection.execute(
        f"INSERT INTO docs.chunks SELECT 'default', 'a', n, 'x', '', 1, '{zeros}', now() "  # noqa: S608 - our own words
        f"FROM generate_series(1, {WORTH_INDEXING}) AS n"
    )
    told = await advice(settings)
    assert told is not None
    assert "holds 10,000 chunks and no vector index: `headrace index build docs`" in told
    await connection.execute("CREATE INDEX ON docs.chunks USING ivfflat (embedding vector_cosine_ops) WITH (lists = 1)")
    assert await advice(settings) is None
    await connection.close()
    with pytest.raises(ConfigurationError):
        await Catalog(settings.store).index("nope")
