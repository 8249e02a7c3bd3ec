"""I7: a dead letter reproduces the original message byte for byte, once, and only Kafka's acknowledgement counts."""

import asyncio
import os

import pytest
from msgspec.structs import replace

from compose.embedded.endpoints import Endpoints
from producers.dead_letters import DeadLetterProducer
from producers.errors import RecordTooLarge
from schemas.dead_letters import DeadLetter, Failure, Record, original, to_record, told_origin
from schemas.errors import BrokerMisconfigured, BrokerUnavailable
from schemas.events import DeadLettered, DeadLetterFailed, Event
from schemas.headers import DLQ_PREFIX
from schemas.messages import Headers, Message, Origin, TimestampType
from schemas.settings import KafkaSettings
from tests.integration.reading_back import everything, told
from tests.stack.parts import AnyStack
from tests.stack.topics import Topics

FAILURE = Failure(
    "decode", "invalid-document", "Füße " * 500, 1, "2026-01-02T03:04:05.678Z", "2026-01-02T03:04:06.000Z"
)


def kafka(stack: Endpoints, topic: str) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=stack.bootstrap_servers, dlq_topic=topic)


def message(
    value: bytes | None = b"{", key: bytes | None = b"k", *, headers: Headers = (), partition: int = 0, offset: int = 7
) -> Message:
    return Message("docs.raw", partition, offset, 1_700_000_000_000, TimestampType.LOG_APPEND_TIME, key, value, headers)


def letter(of: Message, origin: Origin | None = None, **changes: object) -> DeadLetter:
    written = DeadLetter(of, origin or of.place, FAILURE, "group", "docs", 0, "headrace 0")
    return replace(written, **changes)


ALL_BYTES = bytes(range(256))

MESSAGES = [
    message(),
    message(ALL_BYTES, ALL_BYTES),
    message(b"", b""),
    message(b"v", None),
    message(None, b"k"),
    message(None, None),
    message(None, b""),
    message(None, None, headers=(("trace", b"1"),)),
    message(headers=(("b", ALL_BYTES), ("a", b""), ("b", b"2"), ("b", ALL_BYTES), ("", b"x"), ("é", b"\xff\xfe"))),
    message(headers=(("traceparent", b"00-1-2-01"), ("headrace-tenant", b"\xff"), ("headrace-dlq", b"not ours"))),
    message(headers=(("null", None), ("headrace-id", None))),
    message(os.urandom(3_000_000)),
]


@pytest.mark.parametrize("of", MESSAGES, ids=range(len(MESSAGES)))
async def test_a_dead_letter_gives_the_original_back_byte_for_byte_also_on_its_second_trip(
    of: Message, stack: Endpoints, topics: Topics
) -> None:
    topic = await topics.create("dlq", partitions=1, settings={"max.message.bytes": "10000000"})
    async with DeadLetterProducer(kafka(stack, topic)) as producer:
        await producer.send(letter(of))
        (first,) = await everything(stack.bootstrap_servers, topic)
        assert original(first) == Record(of.key, of.value, of.headers)
        # A plain copy came back to the source, and failed there again.
        copied = replace(first, topic="docs.raw", partition=3, offset=99)
        origin = told_origin(copied.headers, DLQ_PREFIX)
        await producer.send(letter(copied, origin, replays=1))
        _, second = await everything(stack.bootstrap_servers, topic)
    assert original(second) == Record(of.key, of.value, of.headers)
    assert origin == of.place
    assert told_origin(second.headers, DLQ_PREFIX) == of.place
    names = [name for name, _ in second.headers if name.startswith(DLQ_PREFIX)]
    assert len(names) == len(set(names)) == len([name for name, _ in first.headers if name.startswith(DLQ_PREFIX)])
    says = told(second)
    assert says["headrace-dlq-replays"] == b"1"
    assert len(says["headrace-dlq-message"]) <= 1024
    assert says["headrace-dlq-message"].decode() == FAILURE.message[: len(says["headrace-dlq-message"].decode())]


async def test_the_partition_is_the_origins_modulo_the_count(stack: Endpoints, topics: Topics) -> None:
    topic = await topics.create("dlq", partitions=3)
    async with DeadLetterProducer(kafka(stack, topic)) as producer:
        origins = [replace(message().place, partition=number) for number in range(7)]
        await asyncio.gather(
            *(producer.send(letter(message(partition=50, offset=one.partition), one)) for one in origins)
        )
    found = {
        (sent.partition, int(told(sent)["headrace-dlq-partition"]))
        for sent in await everything(stack.bootstrap_servers, topic)
    }
    assert found == {(number % 3, number) for number in range(7)}


async def test_dead_letters_of_one_partition_keep_their_order(stack: Endpoints, topics: Topics) -> None:
    topic = await topics.create("dlq", partitions=2)
    async with DeadLetterProducer(kafka(stack, topic)) as producer:
        await asyncio.gather(*(producer.send(letter(message(offset=number))) for number in range(500)))
    sent = await everything(stack.bootstrap_servers, topic)
    assert [int(told(one)["headrace-dlq-offset"]) for one in sent] == list(range(500))


async def test_a_letter_too_large_for_its_topic_stops_no_other(stack: Endpoints, topics: Topics) -> None:
    topic = await topics.create("dlq", partitions=1, settings={"max.message.bytes": "300000"})
    events: list[Event] = []
    async with DeadLetterProducer(kafka(stack, topic), observe=events.append) as producer:
        letters = [letter(message(os.urandom(600_000 if number == 3 else 10), offset=number)) for number in range(8)]
        results = await asyncio.gather(*map(producer.send, letters), return_exceptions=True)
        assert [type(result) for result in results] == [
            RecordTooLarge if number == 3 else type(None) for number in range(8)
        ]
        assert "max.message.bytes" in str(results[3])
        with pytest.raises(BrokerMisconfigured):
            await producer.send(letters[3])
        await producer.send(letter(message(offset=8)))
    sent = await everything(stack.bootstrap_servers, topic)
    offsets = [int(told(one)["headrace-dlq-offset"]) for one in sent]
    assert sorted(offsets) == [0, 1, 2, 4, 5, 6, 7, 8]
    assert sum(isinstance(event, DeadLettered) for event in events) == 8
    assert sum(isinstance(event, DeadLetterFailed) for event in events) == 2


async def test_a_letter_larger_than_any_request_is_refused_and_breaks_nothing(stack: Endpoints, topics: Topics) -> None:
    topic = await topics.create("dlq", partitions=1)
    async with DeadLetterProducer(kafka(stack, topic)) as producer:
        with pytest.raises(RecordTooLarge):
            await producer.send(letter(message(bytes(65 * 1024 * 1024))))
        await producer.send(letter(message()))
    assert len(await everything(stack.bootstrap_servers, topic)) == 1


async def test_a_missing_topic_is_an_operators_affair(stack: Endpoints, topics: Topics) -> None:
    with pytest.raises(BrokerMisconfigured, match="headrace init"):
        await DeadLetterProducer(kafka(stack, topics.name("none"))).open()


async def test_a_broker_that_is_away_is_unavailable_and_the_letter_arrives_once_when_it_is_back(
    private_stack: AnyStack,
) -> None:
    servers = private_stack.endpoints.bootstrap_servers
    topic = await Topics(servers).create("dlq", partitions=1)
    settings = KafkaSettings(bootstrap_servers=servers, dlq_topic=topic)
    async with DeadLetterProducer(settings, patience_s=0.5) as producer:
        await producer.send(letter(message(offset=1)))
        await private_stack.kafka.kill()
        for _ in range(3):
            with pytest.raises(BrokerUnavailable):
                await producer.send(letter(message(offset=2)))
        await private_stack.kafka.start()
        async with asyncio.timeout(60):
            while True:
                try:
                    await producer.send(letter(message(offset=2)))
                    break
                except BrokerUnavailable:
                    continue
        await producer.send(letter(message(offset=3)))
    sent = await everything(servers, topic)
    assert [int(told(one)["headrace-dlq-offset"]) for one in sent] == [1, 2, 3]
    await private_stack.kafka.stop()
    with pytest.raises(BrokerUnavailable):
        await DeadLetterProducer(settings).open()


async def test_closing_ends_though_the_broker_is_away(private_stack: AnyStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producers.dead_letters.CLOSE_TIMEOUT_S", 0.5)
    servers = private_stack.endpoints.bootstrap_servers
    topic = await Topics(servers).create("dlq", partitions=1)
    producer = DeadLetterProducer(KafkaSettings(bootstrap_servers=servers, dlq_topic=topic), patience_s=0.2)
    await producer.open()
    await private_stack.kafka.kill()
    with pytest.raises(BrokerUnavailable):
        await producer.send(letter(message()))
    async with asyncio.timeout(20):
        await producer.aclose()
    assert {task.get_name() for task in asyncio.all_tasks()} == {asyncio.current_task().get_name()}  # type: ignore[union-attr] # a test runs in a task


def test_a_dead_letter_says_everything_about_its_failure() -> None:
    says = dict(to_record(letter(message())).headers)
    assert says["headrace-dlq-stage"] == b"decode"
    assert says["headrace-dlq-timestamp-type"] == b"LogAppendTime"
    assert says["headrace-dlq-first-failed-at"] == b"2026-01-02T03:04:05.678Z"
