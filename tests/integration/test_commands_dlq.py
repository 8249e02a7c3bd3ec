"""``headrace dlq list|show|stats`` over dead letters, and over whatever else lies in that topic."""

import base64
import json
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaProducer

from compose.embedded.endpoints import Endpoints
from producers.dead_letters import DeadLetterProducer
from schemas.dead_letters import DeadLetter, Failure
from schemas.messages import Headers, Message, TimestampType
from tests.integration.commands import Commands
from tests.stack.topics import Topics


def letter(
    offset: int,
    *,
    code: str = "invalid-document",
    hour: int = 9,
    key: bytes | None = b"k",
    value: bytes | None = b"{}",
    headers: Headers = (),
    partition: int = 0,
) -> DeadLetter:
    message = Message(
        "docs.raw", partition, offset, 1_700_000_000_000, TimestampType.LOG_APPEND_TIME, key, value, headers
    )
    at = f"2026-01-31T{hour:02}:00:00.000Z"
    stage = "embed" if code == "input-rejected" else "decode"
    failure = Failure(stage, code, f"reason of {offset}", 1, at, at)
    return DeadLetter(message, message.place, failure, "group", "docs", 0, "headrace/test")


@pytest.fixture
async def dead_letters(commands: Commands, topics: Topics) -> AsyncIterator[DeadLetterProducer]:
    await topics.create("dlq", partitions=2)
    producer = DeadLetterProducer(commands.settings().kafka)
    await producer.open()
    yield producer
    await producer.aclose()


async def test_an_empty_topic_has_no_dead_letters_and_a_missing_one_is_wrong(
    commands: Commands, topics: Topics
) -> None:
    missing = await commands.run("dlq", "list")
    assert (missing.code, missing.out) == (2, "")
    assert "run `headrace init`" in missing.err
    await topics.create("dlq")
    assert (await commands.run("dlq", "list")).out == "no dead letters\n"
    assert (await commands.run("dlq", "list", "--json")).json == []
    told = (await commands.run("dlq", "stats", "--json")).json
    assert told == {"total": 0, **{key: {} for key in ("codes", "stages", "hours", "topics", "tenants", "fates")}}


async def test_list_shows_the_newest_and_filters(commands: Commands, dead_letters: DeadLetterProducer) -> None:
    for offset in range(6):
        code = "input-rejected" if offset == 2 else "invalid-document"
        await dead_letters.send(letter(offset, code=code, hour=offset, partition=offset % 2))

    async def origins(*options: str) -> list[str]:
        return [one["origin"] for one in (await commands.run("dlq", "list", "--json", *options)).json]

    assert await origins() == [f"docs.raw/{offset % 2}/{offset}" for offset in range(6)], "the newest last"
    assert await origins("--limit", "2") == ["docs.raw/0/4", "docs.raw/1/5"]
    assert await origins("--code", "input-rejected") == ["docs.raw/0/2"]
    assert await origins("--stage", "embed", "--limit", "1") == ["docs.raw/0/2"]
    assert await origins("--code", "invalid-document", "--limit", "1") == ["docs.raw/1/5"]
    assert await origins("--partition", "1") == [f"docs.raw/1/{offset}" for offset in (1, 3, 5)]
    assert len(await origins("--since", "1h")) == 6
    assert await origins("--since", "2099-01-01") == []
    none = await commands.run("dlq", "list", "--partition", "7")
    assert (none.code, none.out) == (2, "")
    assert "has no partition 7, it has 2" in none.err


async def test_what_a_program_reads_is_a_line_each_and_moves_no_cursor(
    commands: Commands, dead_letters: DeadLetterProducer
) -> None:
    await dead_letters.send(letter(0, key=b"\xff\x1b[31m", headers=(("headrace-tenant", b"acme"),)))
    await dead_letters.send(letter(1, key=None, value=b'{"tenant": "of the value"}'))
    shown = (await commands.run("dlq", "list")).out.splitlines()
    assert len(shown) == 3
    assert shown[0].split() == ["PLACE", "FAILED", "AT", "STAGE", "CODE", "ORIGIN", "TENANT", "KEY", "FATE", "MESSAGE"]
    assert "\x1b" not in "".join(shown)
    assert r"\xff\x1b[31m" in shown[1]
    assert "acme" in shown[1]
    assert "of the value" in shown[2]


async def test_show_gives_the_original_back_byte_for_byte(commands: Commands, dead_letters: DeadLetterProducer) -> None:
    value = b"not json \xff\x00\x1b[2J"
    await dead_letters.send(letter(0, key=b"\xfe", value=value, headers=(("x", b"\xfd"), ("y", b"plain"))))
    await dead_letters.send(letter(1, key=b"plain", value=b'{"id":"a","text":""}'))
    told = (await commands.run("dlq", "show", "0:0", "--json")).json
    assert base64.b64decode(told["value"]["base64"]) == value
    assert base64.b64decode(told["key"]["base64"]) == b"\xfe"
    assert ["x", {"base64": "/Q=="}] in told["headers"]
    assert (told["letter"]["code"], told["letter"]["message"]) == ("invalid-document", "reason of 0")
    shown = (await commands.run("dlq", "show", "0:0")).out
    assert r"not json \xff\x00\x1b[2J" in shown
    assert "\x1b" not in shown
    assert "header      y: plain" in shown
    assert "reason      invalid-document: reason of 0" in shown
    plain = (await commands.run("dlq", "show", "0", "1")).out
    assert '"id": "a"' in plain, "JSON is indented"
    assert "origin      docs.raw 0:1" in plain
    for place in ("0:2", "0:99"):
        gone = await commands.run("dlq", "show", place)
        assert (gone.code, gone.out) == (1, "")
        assert "has no record at" in gone.err


async def test_show_says_null_for_a_deletion_and_for_no_key(
    commands: Commands, dead_letters: DeadLetterProducer
) -> None:
    await dead_letters.send(letter(0, key=b"k", value=None))
    told = (await commands.run("dlq", "show", "0:0", "--json")).json
    assert (told["value"], told["key"]) == (None, {"text": "k"})
    assert "null: a deletion" in (await commands.run("dlq", "show", "0:0")).out


async def test_stats_count_by_code_stage_and_hour(commands: Commands, dead_letters: DeadLetterProducer) -> None:
    for offset, (code, hour) in enumerate([("empty-text", 8), ("empty-text", 9), ("input-rejected", 9)]):
        await dead_letters.send(letter(offset, code=code, hour=hour))
    told = (await commands.run("dlq", "stats", "--json")).json
    assert told == {
        "total": 3,
        "codes": {"empty-text": 2, "input-rejected": 1},
        "stages": {"decode": 2, "embed": 1},
        "hours": {"2026-01-31T08": 1, "2026-01-31T09": 2},
        "topics": {"docs.raw": 3},
        "tenants": {"default": 3},
        "fates": {"open": 3},
    }
    shown = (await commands.run("dlq", "stats")).out
    assert "3 dead letters" in shown
    [bar] = [line for line in shown.splitlines() if line.startswith("2026-01-31 08")]
    assert bar.count("█") == 20, "half of the fullest hour"


async def test_records_of_others_and_aborted_ones_do_no_harm(
    commands: Commands, topics: Topics, stack: Endpoints
) -> None:
    topic = await topics.create("dlq", partitions=1)
    headers = [("headrace-dlq-attempts", b"9" * 5000), ("headrace-dlq-code", b"\xff")]
    async with AIOKafkaProducer(bootstrap_servers=stack.bootstrap_servers) as producer:
        await producer.send_and_wait(topic, b"of somebody else", headers=headers)
    name = topics.name("transaction")
    async with AIOKafkaProducer(bootstrap_servers=stack.bootstrap_servers, transactional_id=name) as producer:
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"never happened")
        await producer.abort_transaction()
    listed = await commands.run("dlq", "list", "--json")
    assert listed.code == 0, listed.err
    [one] = listed.json
    assert (one["offset"], one["attempts"], one["origin"]) == (0, 0, f"{topic}/0/0")
    assert json.loads((await commands.run("dlq", "stats", "--json")).out)["total"] == 1
