"""``headrace offsets show|reset|undo|export`` on a topic of two partitions."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiokafka.structs import OffsetAndMetadata

from compose.cli import main
from compose.embedded.endpoints import Endpoints
from compose.service import fingerprint_of
from consumers.core.positions import commit_metadata, index_of
from consumers.kafka.offsets import delete_offsets
from consumers.stores.pgvector import PgVectorStore
from producers.documents import record_of
from producers.topics import ensure_topics
from schemas.dead_letters import Record
from schemas.documents import DEFAULT_TENANT, Document
from tests.integration.commands import Commands, Ended
from tests.scenarios.log import Log
from tests.stack.topics import Topics

BEFORE_ALL = "2020-01-01"
Type = Callable[..., Awaitable[Ended]]


@pytest.fixture
def commands(
    stack: Endpoints, database: str, topics: Topics, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Commands:
    """Configure commands to a topic, a group and a state folder of this test alone."""
    commands = Commands(stack, database, topics, folder)
    commands.environ["HEADRACE_STATE"] = str(folder / "state")
    for name, value in commands.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(folder)
    return commands


@pytest.fixture
def offsets(commands: Commands, capfd: pytest.CaptureFixture[str]) -> Type:
    """Type ``headrace offsets``, in this process: most of a process is its imports."""
    assert os.environ["HEADRACE_KAFKA__GROUP"] == commands.settings().group

    async def typed(*arguments: str) -> Ended:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            await asyncio.to_thread(main, ["offsets", *arguments])
        out, err = capfd.readouterr()
        return Ended(int(ended.value.code or 0), out, err)

    return typed


async def publish(commands: Commands) -> Log:
    """Publish 10 documents to partition 0 and 2 to partition 1, with an index that is empty."""
    settings = commands.settings()
    await ensure_topics(settings)
    async with PgVectorStore(settings.store) as store:
        await store.create(fingerprint_of(settings))
    log = Log(settings)
    await log.publish(map(document, range(10)), 0)
    await log.publish(map(document, (1000, 1001)), 1)
    return log


async def commit(commands: Commands) -> Log:
    """Publish, and commit all of it as a worker does, but for the documents."""
    log, settings = await publish(commands), commands.settings()
    ends = {0: 10, 1: 2}
    async with PgVectorStore(settings.store) as store:
        await store.save_positions(settings.group, settings.kafka.topic, ends)
    await log.commit(ends, commit_metadata(settings.store.index, fingerprint_of(settings).digest))
    return log


async def fill(commands: Commands) -> Log:
    """Publish, and run a worker until all of it is stored."""
    log = await publish(commands)
    worked = await commands.run("run", "--until-caught-up")
    assert worked.code == 0, worked.err
    return log


def document(number: int) -> Record:
    """Return a small document, its text like no other's."""
    return record_of(Document(DEFAULT_TENANT, f"doc-{number}", f"text of document {number}"))


async def positions(commands: Commands) -> dict[int, int]:
    """Return what the index remembers."""
    settings = commands.settings()
    async with PgVectorStore(settings.store) as store:
        return await store.load_positions(settings.group, settings.kafka.topic)


async def refused(offsets: Type, *arguments: str, why: str) -> None:
    """See that a command is wrong, and says why."""
    ended = await offsets(*arguments)
    assert (ended.code, ended.out) == (2, ""), ended
    assert why in ended.err
    assert "Traceback" not in ended.err


async def test_there_and_back_again(commands: Commands, offsets: Type, folder: Path) -> None:
    log = await fill(commands)
    before, known = await log.commits(), await positions(commands)
    assert {p: one.offset for p, one in before.items()} == {0: 10, 1: 2} == known
    shown = (await offsets("show", "--json")).json
    assert (shown["state"], [one["committed"] for one in shown["partitions"]]) == ("Empty", [10, 2])
    assert [(one["start"], one["end"], one["lag"], one["by"]) for one in shown["partitions"]] == [
        (0, 10, 0, "index docs"),
        (0, 2, 0, "index docs"),
    ]
    made = datetime.fromisoformat(shown["partitions"][0]["time"])
    assert timedelta(0) < datetime.now(UTC) - made < timedelta(minutes=10)
    assert "index docs" in (await offsets("show")).out

    dry = (await offsets("reset", "--to", "earliest", "--json")).json
    assert (dry["executed"], dry["file"]) == (False, None)
    assert [(one["before"], one["after"], one["again"]) for one in dry["plan"]["moves"]] == [(10, 0, 10), (2, 0, 2)]
    cost = dry["estimate"]
    assert (cost["messages"], cost["sampled"], cost["free"], cost["tokens"]) == (12, 12, 12, 0)
    assert (cost["money"], cost["hours"]) == (0, None), "nothing is embedded, at whatever price"
    assert any("headrace run --force" in note for note in cost["notes"])
    assert await log.commits() == before, "a dry run changes nothing"

    done = await offsets("reset", "--to", "earliest", "--execute", "--json")
    assert done.code == 0, done.err
    file = Path(done.json["file"])
    assert file.parent == folder / "state" / "offsets"
    now = await log.commits()
    assert {p: one.offset for p, one in now.items()} == {0: 0, 1: 0}
    assert {index_of(one.metadata) for one in now.values()} == {None}, "a worker follows it as an operator's"
    assert await positions(commands) == known, "the index is left alone"
    assert [one["by"] for one in (await offsets("show", "--json")).json["partitions"]] == (["headrace offsets"] * 2)

    looked = await offsets("undo")
    assert looked.code == 0, looked.err
    assert str(file) in looked.out
    assert await log.commits() == now, "a dry run changes nothing"
    assert (await offsets("undo", "--execute")).code == 0
    assert await log.commits() == before, "offset and metadata"
    assert await positions(commands) == known
    await refused(offsets, "undo", why="no reset of the group")


async def test_undo_takes_one_reset_after_the_other_back_and_tells_the_index_what_it_knew(
    commands: Commands, offsets: Type
) -> None:
    log = await fill(commands)
    before = await log.commits()
    for to in ("3", "shift=2"):
        ended = await offsets("reset", "--to", to, "--partition", "0", "--execute")
        assert ended.code == 0, ended.err
    worked = await commands.run("run", "--until-caught-up")
    assert worked.code == 0, worked.err
    settings = commands.settings()
    async with PgVectorStore(settings.store) as store:
        await store.save_positions(settings.group, settings.kafka.topic, {0: 7})
    for wanted in ({0: 3, 1: 2}, {0: 10, 1: 2}):
        ended = await offsets("undo", "--execute")
        assert ended.code == 0, ended.err
        assert await log.committed() == wanted
        assert await positions(commands) == {0: 10, 1: 2}, "else a worker would rewind to 7"
    assert await log.commits() == before


async def test_an_undo_leaves_the_positions_of_a_database_alone_that_was_put_back(
    commands: Commands, offsets: Type
) -> None:
    log = await commit(commands)
    before = await log.commits()
    assert (await offsets("reset", "--to", "latest", "--execute")).code == 0
    settings = commands.settings()
    async with PgVectorStore(settings.store) as store:
        async with store._connections.one() as connection:
            await connection.execute("DELETE FROM docs.control")
        await store.save_positions(settings.group, settings.kafka.topic, {0: 4})
    undone = await offsets("undo", "--execute")
    assert undone.code == 0, undone.err
    assert "does not remember this reset" in undone.out
    assert await log.commits() == before
    assert await positions(commands) == {0: 4, 1: 2}, "the worker rewinds to what the database knows"


async def test_what_was_never_committed_is_so_again_after_an_undo(commands: Commands, offsets: Type) -> None:
    log = await commit(commands)
    await log.commit({0: 5})
    settings = commands.settings()
    await delete_offsets(settings.kafka, settings.group, settings.kafka.topic, [1])
    assert await log.commits() == {0: OffsetAndMetadata(5, "")}
    refusal = "partition 1 was never committed, there is nothing to shift from"
    await refused(offsets, "reset", "--to", "shift=-1", why=refusal)
    current = (await offsets("reset", "--to", "current", "--json")).json
    assert [one["partition"] for one in current["plan"]["moves"]] == [0]
    assert (await offsets("reset", "--to", "1", "--execute")).code == 0
    assert await log.committed() == {0: 1, 1: 1}
    assert (await offsets("undo")).code == 0
    await delete_offsets(settings.kafka, settings.group, settings.kafka.topic, [0, 1])
    assert (await offsets("undo", "--execute")).code == 0, "Kafka forgets groups that nobody has used for long"
    assert await log.commits() == {0: OffsetAndMetadata(5, "")}


async def test_every_kind_of_target(commands: Commands, offsets: Type, folder: Path) -> None:
    log = await commit(commands)
    await log.commit({0: 6, 1: 1})

    async def after(to: str, *options: str) -> list[int]:
        ended = await offsets("reset", "--to", to, "--json", *options)
        assert ended.code == 0, ended.err
        return [one["after"] for one in ended.json["plan"]["moves"]]

    assert await after("latest") == [10, 2]
    assert await after("shift=-1") == [5, 0]
    assert await after(BEFORE_ALL) == [0, 0] == await after("1d")
    assert await after("0s") == [10, 2], "a time behind the last record is the end"
    exported = await offsets("export")
    assert exported.out == f"{log.topic},0,6\n{log.topic},1,1\n"
    (folder / "there.csv").write_text(f'"{log.topic}",1,2\n{log.group},{log.topic},0,9\n')
    assert await after(str(folder / "there.csv")) == [9, 2]
    assert await after(str(folder / "there.csv"), "--partition", "1") == [2]
    assert (await offsets("export", str(folder / "here.csv"))).code == 0
    assert (folder / "here.csv").read_text() == exported.out


async def test_what_makes_no_sense_is_refused_and_changes_nothing(
    commands: Commands, offsets: Type, folder: Path
) -> None:
    log = await commit(commands)
    before = await log.commits()
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    for to, why in {
        "11": "partition 0 ends at 10",
        "shift=1": "partition 0 ends at 10",
        "-3": "no offset below 0",
        tomorrow: "yet to come",
        "nowhere.csv": "No such file",
    }.items():
        await refused(offsets, "reset", "--to", to, "--execute", why=why)
    for name, text, why in (
        ("binary", b"\xff\xfe", "can not be read"),
        ("words", b"a,b\n", "line 1: write topic,partition,offset"),
        ("topic", b"other,0,1\n", "is of the topic 'other'"),
        ("partition", f"{log.topic},9,1\n".encode(), "has no partition 9, it has 2"),
        ("range", f"{log.topic},0,99\n".encode(), "there is no offset 99"),
        ("nothing", b"\n", "holds no offset"),
    ):
        (folder / name).write_bytes(text)
        await refused(offsets, "reset", "--to", str(folder / name), why=why)
    await refused(offsets, "reset", "--to", "earliest", "--partition", "7", why="has no partition 7, it has 2")
    await refused(offsets, "reset", "--to", "earliest", "--orchestrate", why="says nothing without --execute")
    await refused(offsets, "reset", "--to", "earliest", "--group", "unheard-of", why="knows no group unheard-of")
    await refused(offsets, "show", "--group", "unheard-of", why="knows no group unheard-of")
    await refused(offsets, "show", "--topic", "unheard-of", why="topic unheard-of does not exist")
    await refused(offsets, "reset", "--to", "0", "--execute", "--index", "other", why="run `headrace init`")
    (folder / "mine.json").write_text("{}")
    await refused(offsets, "reset", "--to", "0", "--execute", "--undo-file", "mine.json", why="exists already")
    await refused(offsets, "undo", "mine.json", why="is no undo file")
    await refused(offsets, "undo", "nowhere.json", why="can not be read")
    assert await log.commits() == before
    assert not (folder / "state" / "offsets").exists()


async def test_an_undo_file_of_somewhere_else_is_refused(commands: Commands, offsets: Type, folder: Path) -> None:
    log = await commit(commands)
    ended = await offsets("reset", "--to", "0", "--execute", "--undo-file", "was.json")
    assert ended.code == 0, ended.err
    assert "`headrace offsets undo was.json --execute`" in ended.out, "the newest of the folder is another one, if any"
    await refused(offsets, "reset", "--to", "was.json", why="`headrace offsets undo` takes undo files")
    told = json.loads((folder / "was.json").read_text())
    for changed in ("cluster", "topic", "group", "index"):
        (folder / "other.json").write_text(json.dumps({**told, changed: "another"}))
        await refused(offsets, "undo", "other.json", "--execute", why=f"is of the {changed} another")
    assert await log.committed() == {0: 0, 1: 0}
    assert (await offsets("undo", "was.json", "--execute")).code == 0
    assert await log.committed() == {0: 10, 1: 2}
    assert (folder / "was.json").exists(), "a file that somebody named stays where it is"


async def test_what_retention_has_taken_is_said_before(commands: Commands, offsets: Type) -> None:
    log = await commit(commands)
    await log.delete_before({0: 4})
    told = (await offsets("reset", "--to", "1", "--json")).json
    assert [one["after"] for one in told["plan"]["moves"]] == [4, 1]
    assert any("retention" in warning and "1 to 3" in warning for warning in told["plan"]["warnings"])
    for to in ("earliest", BEFORE_ALL):
        told = (await offsets("reset", "--to", to, "--json")).json
        assert any("begins at 4" in warning for warning in told["plan"]["warnings"])


async def test_an_estimate_counts_what_has_changed(commands: Commands, offsets: Type) -> None:
    log = await fill(commands)
    async with PgVectorStore(commands.settings().store) as store, store._connections.one() as connection:
        await connection.execute("UPDATE docs.documents SET content_hash = '\\x00', origin_offset = -1, fence_ts = 0")
    await log.publish([record_of(Document(DEFAULT_TENANT, "x", "y"))], 1)
    price = ("--set", "provider.price_per_million_tokens=1000000")
    told = (await offsets("reset", "--to", "earliest", "--json", *price)).json["estimate"]
    size = sum(len(f"text of document {n}") for n in [*range(10), 1000, 1001])
    assert (told["messages"], told["sampled"], told["free"]) == (12, 12, 0)
    assert told["tokens"] == round(size / 4)
    assert told["money"] == told["tokens"]
