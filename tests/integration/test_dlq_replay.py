"""Dead letters leave their topic once, as they came, and what became of each is kept."""

from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from producers.dead_letters import DeadLetterProducer
from producers.topics import ensure_topics
from schemas.dead_letters import DeadLetter, Failure, told_origin
from schemas.headers import ORIGIN_PREFIX, REPLAYS, is_ours
from schemas.messages import Headers, Message, Origin, TimestampType
from tests.integration.commands import Commands
from tests.integration.reading_back import everything

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
