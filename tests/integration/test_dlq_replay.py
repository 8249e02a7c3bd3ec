"""Dead letters leave their topic once, as they came, and what became of each is kept."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from producers.dead_letters import DeadLetterProducer
from producers.topics import ensure_topics
from schemas.dead_letters import DeadLetter, Failure, told_origin
from schemas.headers import ORIGIN_PREFIX, REPLAYS, is_ours
from schemas.messages import Headers, Message, Origin, TimestampType
from tests.integration.commands import ROOT, Commands
from tests.integration.reading_back import everything
from tests.stack.topics import Topics

AT = "2026-01-31T09:00:00.000Z"
FAILURE = Failure("embed", "input-rejected", "too odd", 1, AT, AT)


class Surroundings:
    """The topics of one test, and what lies in them."""

    def __init__(self, commands: Commands, producer: DeadLetterProducer) -> None:
        self.commands = commands
        self.settings = commands.settings()
        self._producer = producer

    async def dead(  # noqa: PLR0913 - what a dead letter is made of
        self,
        offset: int,
        value: bytes | None = b'{"text":"words"}',
        key: bytes | None = b"k",
        *,
        headers: Headers = (),
        partition: int = 0,
        code: str = "input-rejected",
        replays: int = 0,
        topic: str | None = None,
    ) -> Origin:
        """Put a dead letter into its topic; return its origin."""
        message = Message(
            topic or self.settings.kafka.topic,
            partition,
            offset,
            1_700_000_000_000 + offset,
            TimestampType.LOG_APPEND_TIME,
            key,
            value,
            headers,
        )
        failure = replace(FAILURE, code=code)
        await self._producer.send(DeadLetter(message, message.place, failure, "group", "docs", replays, "headrace"))
        return message.place

    async def source(self) -> list[Message]:
        """Return what lies in the source topic."""
        return await everything(self.settings.kafka.bootstrap_servers, self.settings.kafka.topic)

    async def lying(self, topic: str) -> list[Message]:
        """Return what lies in a topic."""
        return await everything(self.settings.kafka.bootstrap_servers, topic)

    async def open(self, *options: str) -> list[str]:
        """Return the keys of the dead letters that a list shows."""
        return [one["key"] for one in (await self.commands.run("dlq", "list", "--json", *options)).json]


@pytest.fixture
async def here(commands: Commands) -> AsyncIterator[Surroundings]:
    settings = commands.settings()
    await ensure_topics(settings)
    async with DeadLetterProducer(settings.kafka) as producer:
        yield Surroundings(commands, producer)


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def own(message: Message) -> Headers:
    return tuple((name, value) for name, value in message.headers if not is_ours(name))


async def test_a_replay_publishes_the_original_once_with_its_origin_where_it_came_from(here: Surroundings) -> None:
    headers = (("traceparent", b"00-1"), ("x", b"\xff"), ("x", None))
    origins = [
        await here.dead(10, b"\xff\x00", b"\xfe", headers=headers, partition=1),
        await here.dead(11, None, b"k", partition=0),
        await here.dead(12, None, None, partition=1),
        await here.dead(13, b"{}", None, partition=0, replays=2),
    ]
    ran = await here.commands.run("dlq", "replay", "--yes", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["done"] == {"replayed": 4}
    found = {told_origin(one.headers, ORIGIN_PREFIX): one for one in await here.source()}
    assert found.keys() == set(origins)
    assert [(found[one].partition, found[one].key, found[one].value) for one in origins] == [
        (1, b"\xfe", b"\xff\x00"),
        (0, b"k", None),
        (1, b"", None),  # Kafka clients send no record that is null and null
        (0, None, b"{}"),
    ]
    assert own(found[origins[0]]) == headers
    assert [dict(found[one].headers)[REPLAYS] for one in origins] == [b"1", b"1", b"1", b"3"]

    second = await here.commands.run("dlq", "replay", "--yes", "--json")
    assert (second.json["done"], second.json["before"]) == ({}, 4)
    assert len(await here.source()) == 4
    assert await here.open() == []
    assert len(await here.open("--all")) == 4
    assert (await here.commands.run("dlq", "replay", "--yes", "--again", "--limit", "1", "--json")).json["taken"] == 1
    assert len(await here.source()) == 5


async def test_nothing_is_done_unless_it_is_agreed_to(here: Surroundings) -> None:
    await here.dead(1)
    await here.dead(2, b"{", code="invalid-document", partition=1)
    await here.dead(3, code="attempts-exhausted", replays=3)
    await here.dead(4, topic=here.settings.kafka.dlq_topic)
    refused = await here.commands.run("dlq", "replay")
    assert (refused.code, refused.out) == (2, "")
    assert "--yes" in refused.err
    assert (await here.commands.run("dlq", "discard", "--yes")).code == 2, "a reason is needed"
    assert (await here.commands.run("dlq", "park", "--yes", "--reason", " ")).code == 2

    told = await here.commands.run("dlq", "replay", "--dry-run", "--json")
    assert told.code == 0, told.err
    assert told.json["fates"] == {"replayed": 2, "parked": 1, "skipped": 1}
    assert told.json["topics"] == {here.settings.kafka.topic: 2, here.settings.kafka.parked_topic: 1}
    assert told.json["codes"] == {"input-rejected": 2, "invalid-document": 1, "attempts-exhausted": 1}
    assert told.json["passing"] == {"input-rejected": 2, "attempts-exhausted": 1}
    assert told.json["failing"] == {"invalid-document": 1}
    assert "--to" in next(iter(told.json["skipped"]))
    shown = (await here.commands.run("dlq", "replay", "--dry-run", "--code", "invalid-document")).out
    assert shown.splitlines()[0] == "1 would be replayed"
    for topic in (here.settings.kafka.topic, here.settings.kafka.parked_topic, here.settings.outcomes_topic):
        assert await here.lying(topic) == []
    assert len(await here.open()) == 4


async def test_what_is_parked_or_discarded_leaves_the_list_with_its_reason(here: Surroundings) -> None:
    for offset in range(4):
        await here.dead(offset, key=b"key-%d" % offset, headers=(("headrace-tenant", b"t%d" % (offset % 2)),))
    before = {one.key: one for one in await here.lying(here.settings.kafka.dlq_topic)}
    parked = await here.commands.run("dlq", "park", "--yes", "--key", "key-0", "--reason", "of an old client", "--json")
    assert (parked.code, parked.json["done"]) == (0, {"parked": 1})
    discarded = await here.commands.run("dlq", "discard", "--yes", "--tenant", "t1", "--reason", "drafts", "--json")
    assert (discarded.code, discarded.json["done"]) == (0, {"discarded": 2})
    assert await here.open() == ["key-2"]
    shown = (await here.commands.run("dlq", "list", "--all", "--json")).json
    assert {one["key"]: one["fate"] and (one["fate"]["kind"], one["fate"].get("reason")) for one in shown} == {
        "key-0": ("parked", "of an old client"),
        "key-1": ("discarded", "drafts"),
        "key-2": None,
        "key-3": ("discarded", "drafts"),
    }
    stats = (await here.commands.run("dlq", "stats", "--all", "--json")).json
    assert stats["fates"] == {"discarded": 2, "parked": 1, "open": 1}
    assert stats["tenants"] == {"t0": 2, "t1": 2}
    [copy] = await here.lying(here.settings.kafka.parked_topic)
    assert (copy.key, copy.value, copy.headers) == (b"key-0", before[b"key-0"].value, before[b"key-0"].headers)
    assert (await here.commands.run("dlq", "replay", "--yes", "--json")).json["done"] == {"replayed": 1}
    assert [one.key for one in await here.source()] == [b"key-2"]


async def test_filters_narrow_what_is_shown(here: Surroundings) -> None:
    for offset in range(3):
        await here.dead(offset, key=b"key-%d" % offset)
    times = [one.timestamp for one in await here.lying(here.settings.kafka.dlq_topic)]
    assert await here.open("--key", "key-1") == ["key-1"]
    assert await here.open("--tenant", "default", "--limit", "1") == ["key-2"]
    assert await here.open("--tenant", "other") == []
    assert await here.open("--partition", "0", "--offset", "1") == ["key-1"]
    assert await here.open("--until", "2020-01-01") == []
    assert len(await here.open("--since", "1h", "--until", "2099-01-01")) == len(times) == 3
    alone = await here.commands.run("dlq", "list", "--offset", "1")
    assert (alone.code, "--partition" in alone.err) == (2, True)
    assert (await here.commands.run("dlq", "list", "--until", "soon")).code == 2
    assert (await here.commands.run("dlq", "list", "--since", "999999d")).code == 2


async def test_an_export_holds_every_byte_and_the_fate(here: Surroundings, folder: Path) -> None:
    await here.dead(1, b"\xff\x00", b"\xfe", headers=(("x", b"\xfd"), ("y", None)))
    await here.dead(2, None, "käse".encode())
    await here.commands.run("dlq", "discard", "--yes", "--offset", "1", "--partition", "0", "--reason", "why not")
    written = await here.commands.run("dlq", "export", "dead.jsonl", "--all")
    assert written.code == 0, written.err
    first, second = map(json.loads, (folder / "dead.jsonl").read_bytes().splitlines())
    assert (first["key"], first["value"]) == ({"base64": "/g=="}, {"base64": "/wA="})
    assert [first["headers"][0], first["headers"][1]] == [["x", {"base64": "/Q=="}], ["y", None]]
    assert (second["key"], second["value"]) == ({"text": "käse"}, None)
    assert second["origin"]["offset"] == 2
    assert (second["failure"]["code"], second["fate"]["reason"], first["fate"]) == ("input-rejected", "why not", None)
    again = await here.commands.run("dlq", "export", "dead.jsonl")
    assert (again.code, "--force" in again.err) == (2, True)
    [line] = (await here.commands.run("dlq", "export", "-")).out.splitlines()
    assert json.loads(line)["offset"] == 0
    assert _names(folder) == ["dead.jsonl"]


async def test_a_corrected_document_takes_the_place_of_a_dead_letter(here: Surroundings, folder: Path) -> None:
    await here.dead(7, b"{", b"k", headers=(("headrace-tenant", b"acme"),), partition=1, replays=9)
    place = ("--partition", "1", "--offset", "0")
    (folder / "wrong.json").write_text('{"text": ""}')
    (folder / "right.json").write_text('{"text": "mended"}')
    assert (await here.commands.run("dlq", "replay", "--yes", "--edit", "right.json")).code == 2, "of which letter?"
    wrong = await here.commands.run("dlq", "replay", "--yes", *place, "--edit", "wrong.json")
    assert (wrong.code, "empty-text" in wrong.err) == (2, True)
    nowhere = ("--partition", "1", "--offset", "5")
    assert (await here.commands.run("dlq", "replay", "--yes", *nowhere, "--edit", "right.json")).code == 2
    assert await here.source() == []
    mended = await here.commands.run("dlq", "replay", "--yes", *place, "--edit", "-", said=b'{"text": "mended"}')
    assert mended.code == 0, mended.err
    [sent] = await here.source()
    assert (sent.partition, sent.key, sent.value) == (1, b"k", b'{"text": "mended"}')
    assert sent.headers == (("headrace-tenant", b"acme"),)
    fate = (await here.commands.run("dlq", "show", "1:0", "--json")).json["letter"]["fate"]
    assert (fate["kind"], fate["edited"], fate["to"]) == ("replayed", True, here.settings.kafka.topic)
    second = await here.commands.run("dlq", "replay", "--yes", *place, "--edit", "right.json")
    assert (second.code, "--again" in second.err) == (2, True)


async def test_what_a_topic_does_not_take_is_skipped_and_stays_while_all_others_keep_their_order(
    here: Surroundings, topics: Topics
) -> None:
    small = await topics.create("small", partitions=1, settings={"max.message.bytes": "20000"})
    large = os.urandom(30_000)
    for offset in range(12):
        await here.dead(offset, large if offset in (3, 4) else b"%d" % offset, b"k")
    ran = await here.commands.run("dlq", "replay", "--yes", "--to", small, "--json")
    assert (ran.code, ran.json["done"]) == (1, {"replayed": 10, "skipped": 2})
    assert "max.message.bytes" in next(iter(ran.json["skipped"]))
    sent = [int(one.value or b"") for one in await here.lying(small)]
    assert sent == [0, 1, 2, 5, 6, 7, 8, 9, 10, 11]
    shown = (await here.commands.run("dlq", "list", "--json")).json
    assert [(one["offset"], one["fate"]["kind"]) for one in shown] == [(3, "skipped"), (4, "skipped")]
    assert (await here.commands.run("dlq", "replay", "--yes", "--json")).json["done"] == {"replayed": 2}
    assert {one.value for one in await here.source()} == {large}


async def test_a_topic_that_is_gone_concerns_its_letters_alone_and_a_partition_that_is_gone_the_key(
    here: Surroundings, topics: Topics
) -> None:
    await here.dead(1, b"1", topic=topics.name("gone"))
    for offset in range(20):
        await here.dead(offset, b"%d" % offset, b"same", partition=5)
    ran = await here.commands.run("dlq", "replay", "--yes", "--json")
    assert (ran.code, ran.json["done"]) == (1, {"replayed": 20, "skipped": 1})
    found = await here.source()
    assert len({one.partition for one in found}) == 1
    assert [one.value for one in found] == [b"%d" % offset for offset in range(20)]


async def test_without_the_topic_of_fates_nothing_is_published(commands: Commands, topics: Topics) -> None:
    await topics.create("raw")
    await topics.create("dlq")
    await topics.create("parked")
    async with DeadLetterProducer(commands.settings().kafka) as producer:
        here = Surroundings(commands, producer)
        await here.dead(1)
    assert await here.open() == ["k"]
    ran = await commands.run("dlq", "replay", "--yes")
    assert (ran.code, "headrace init" in ran.err) == (2, True)
    assert await here.source() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_a_replay_behind_its_group_and_the_next_run_does_the_rest(
    here: Surroundings, number: signal.Signals
) -> None:
    for offset in range(40):
        await here.dead(offset, partition=offset % 2)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "compose", "dlq", "replay", "--yes", "--rate", "8", "--json",
        env={**os.environ, **here.commands.environ, "PYTHONPATH": str(ROOT)},
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(60):
            while len(await here.lying(here.settings.outcomes_topic)) < 4:
                await asyncio.sleep(0.1)
            process.send_signal(number)
            out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    told = json.loads(out)
    assert (process.returncode, told["interrupted"]) == (130, True)
    done = told["done"]["replayed"]
    assert 4 <= done < 40
    assert done <= 8 * told["seconds"] + 2, "no faster than told"
    assert len(await here.source()) == done
    rest = (await here.commands.run("dlq", "replay", "--yes", "--json")).json
    assert (rest["done"], rest["before"]) == ({"replayed": 40 - done}, done)
    origins = [told_origin(one.headers, ORIGIN_PREFIX) for one in await here.source()]
    assert len(set(origins)) == len(origins) == 40
