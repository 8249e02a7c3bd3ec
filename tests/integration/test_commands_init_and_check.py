"""``headrace init`` and ``headrace check`` against the real thing."""

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from tests.integration.commands import Commands, Ended
from tests.stack.topics import Topics


def levels(ended: Ended) -> dict[str, str]:
    return {one["text"]: one["level"] for one in ended.json["findings"]}


async def test_init_creates_what_is_missing_once(commands: Commands, topics: Topics) -> None:
    first = await commands.run("init", "--json")
    assert first.code == 0, first.err
    names = [topics.name(word) for word in ("raw", "dlq", "parked")] + [f"{topics.name('dlq')}.outcomes"]
    assert [(one["name"], one["outcome"], one["partitions"]) for one in first.json["topics"]] == [
        (name, "created", 2) for name in names
    ]
    assert "created the index docs" in first.json["index"]["done"]
    again = await commands.run("init", "--json")
    assert (again.code, {one["outcome"] for one in again.json["topics"]}) == (0, {"exists"})
    assert again.json["index"] == {"name": "docs", "done": [], "sql": None}


async def test_init_says_where_a_topic_differs_and_leaves_it_as_it_is(commands: Commands, topics: Topics) -> None:
    await topics.create("raw", partitions=1, settings={"message.timestamp.type": "CreateTime"})
    for _ in range(2):
        ended = await commands.run("init")
        assert ended.code == 0
        assert "differs: message.timestamp.type is CreateTime, should be LogAppendTime" in ended.out
    assert "index docs: exists" in ended.out


async def test_init_without_ddl_prints_sql_that_makes_the_index(commands: Commands, database: str) -> None:
    ended = await commands.run("init", HEADRACE_STORE__DDL="false")
    assert ended.code == 0, ended.err
    assert "have a DBA run the SQL" in ended.err
    connection = await asyncpg.connect(database)
    assert await connection.fetchval("SELECT to_regclass('docs.documents')") is None, "nothing is done"
    await connection.execute(ended.out)
    await connection.close()
    again = await commands.run("init", HEADRACE_STORE__DDL="false")
    assert (again.code, again.err) == (0, "")
    assert "index docs: exists" in again.out


async def test_init_refuses_an_index_of_another_model(commands: Commands) -> None:
    assert (await commands.run("init")).code == 0
    ended = await commands.run("init", HEADRACE_PROVIDER__MODEL="another")
    assert ended.code == 2
    assert "another" in ended.err
    assert "Traceback" not in ended.err


async def test_check_finds_nothing_wrong_after_init(commands: Commands) -> None:
    await commands.run("init")
    ended = await commands.run("check", "--json")
    assert (ended.code, set(levels(ended).values())) == (0, {"ok"}), ended.out
    parts = [one["part"] for one in ended.json["findings"]]
    assert (parts.count("kafka"), parts.count("store"), parts.count("provider")) == (5, 3, 1)
    assert ended.json["settings"]["store.index"] == {"value": "docs", "source": "default"}
    quiet = await commands.run("check", "--quiet")
    assert (quiet.code, quiet.out) == (0, "all is well\n")


async def test_check_before_init_says_what_is_missing_and_how_to_make_it(commands: Commands, topics: Topics) -> None:
    ended = await commands.run("check", "--json")
    assert ended.code == 2
    wrong = {one["text"]: one["mend"] for one in ended.json["findings"] if one["level"] == "wrong"}
    assert wrong[f"topic {topics.name('raw')} does not exist"] == "headrace init"
    assert wrong["the index docs does not exist"] == "headrace init"


async def test_check_names_every_field_in_which_the_index_differs(commands: Commands) -> None:
    await commands.run("init")
    ended = await commands.run("check", "--json", HEADRACE_STORE__VECTOR_TYPE="halfvec", HEADRACE_CHUNKING__OVERLAP="7")
    assert ended.code == 2
    assert [text for text, level in levels(ended).items() if level == "wrong"] == [
        "the index docs has vector_type = vector, the settings say halfvec",
        "the index docs has chunking = auto/512/0, the settings say auto/512/7",
    ]


async def test_check_warns_of_timestamps_that_producers_set(commands: Commands, topics: Topics) -> None:
    await topics.create("raw", settings={"message.timestamp.type": "CreateTime", "max.message.bytes": "20000000"})
    await commands.run("init")
    ended = await commands.run("check", "--json")
    assert ended.code == 0, "a warning is no failure"
    [warning] = [one for one in ended.json["findings"] if one["level"] == "warning"]
    assert "message.timestamp.type is CreateTime" in warning["text"]
    assert "clocks of the producers" in warning["text"]
    assert "message.timestamp.type=LogAppendTime" in warning["mend"]


async def test_check_says_that_a_group_belongs_to_another_index(commands: Commands, topics: Topics) -> None:
    await commands.run("init")
    settings = commands.settings()
    place = TopicPartition(settings.kafka.topic, 0)
    servers, group = settings.kafka.bootstrap_servers, topics.name("group")
    async with AIOKafkaConsumer(bootstrap_servers=servers, group_id=group, enable_auto_commit=False) as consumer:
        consumer.assign([place])
        await consumer.commit({place: OffsetAndMetadata(0, "headrace/other/0123456789abcdef")})
    ended = await commands.run("check", "--json")
    assert ended.code == 2
    [wrong] = [text for text, level in levels(ended).items() if level == "wrong"]
    assert "has positions of the index other, not of docs" in wrong


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("HEADRACE_PROVIDER__MODEL", "no-such-model", "no-such-model"),
        ("HEADRACE_PROVIDER__BASE_URL", "http://127.0.0.1:1/v1", "127.0.0.1:1"),
        ("HEADRACE_PROVIDER__DIMENSIONS", "12345", "dimensions"),
    ],
)
async def test_check_asks_the_provider_for_a_real_embedding(
    commands: Commands, setting: str, value: str, told: str
) -> None:
    commands.environ[setting] = value
    ended = await commands.run("check", "--json")
    assert ended.code == 2
    [found] = [one for one in ended.json["findings"] if one["part"] == "provider"]
    assert found["level"] == "wrong"
    assert told in found["text"]


async def test_check_says_which_dimensions_a_model_has(commands: Commands) -> None:
    del commands.environ["HEADRACE_PROVIDER__DIMENSIONS"]
    ended = await commands.run("check", "--json")
    provider = [one for one in ended.json["findings"] if one["part"] == "provider"]
    assert [one["level"] for one in provider] == ["ok", "wrong"]
    assert "HEADRACE_PROVIDER__DIMENSIONS=256" in provider[1]["mend"]
