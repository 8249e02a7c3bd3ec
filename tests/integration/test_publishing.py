"""What is published arrives once, in the order of its key, and every document's fate is told."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from compose.embedded.endpoints import Endpoints
from compose.embedded.stack import Stack
from compose.publishing import Publication
from compose.reading import Found, Item, Refusal
from consumers.core.decoding import decode
from producers.documents import DocumentProducer
from producers.errors import RecordTooLarge
from producers.topics import Difference, describe_topics, ensure_topics
from schemas.documents import Deletion, Document
from schemas.errors import BrokerMisconfigured, BrokerUnavailable
from schemas.settings import KafkaSettings, Settings
from tests.integration.reading_back import everything, told
from tests.stack.parts import AnyStack
from tests.stack.topics import Topics

HEADRACE = (sys.executable, "-c", "from compose.cli import main; main()")


class Refusals(list[tuple[str, RecordTooLarge]]):
    """Who was refused, and why."""

    def __call__(self, document: Document | Deletion, error: RecordTooLarge) -> None:
        self.append((document.id, error))


def kafka(stack: Endpoints, topic: str) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=stack.bootstrap_servers, topic=topic)


def random_text(size: int) -> str:
    return os.urandom(size // 2).hex()


async def test_documents_and_deletions_arrive_as_the_worker_reads_them(stack: Endpoints, topics: Topics) -> None:
    topic = await topics.create()
    said: list[Document | Deletion] = [
        Document("default", "a", "words"),
        Document("acme", "a", "ü" * 300_000, 7, "T", '{"a":[1,2.5,null]}', "text/markdown"),
        Deletion("acme", "b", 3),
        Deletion("default", "a/b"),
    ]
    refused = Refusals()
    async with DocumentProducer(kafka(stack, topic), refused=refused) as producer:
        for one in said:
            await producer.publish(one)
        await producer.flush()
        assert (producer.published, producer.unacknowledged, refused) == (4, 0, [])
    messages = await everything(stack.bootstrap_servers, topic)
    assert {message.key: decode(message, message.timestamp, 10**7).subject for message in messages} == dict(
        zip((b"a", b"acme/a", b"acme/b", b"/a/b"), said, strict=True)
    )


async def test_versions_of_one_document_keep_their_order(stack: Endpoints, topics: Topics) -> None:
    topic = await topics.create()
    async with DocumentProducer(kafka(stack, topic), refused=Refusals()) as producer:
        for version in range(2000):
            await producer.publish(Document("default", f"d{version % 7}", "x" * (version % 3 * 1000 + 1), version))
        await producer.flush()
    versions: dict[bytes | None, list[int]] = {}
    for message in await everything(stack.bootstrap_servers, topic):
        versions.setdefault(message.key, []).append(int(told(message)["headrace-version"]))
    assert versions == {f"d{number}".encode(): list(range(number, 2000, 7)) for number in range(7)}


async def test_documents_too_large_for_the_topic_are_told_and_all_others_arrive_once_in_order(
    stack: Endpoints, topics: Topics
) -> None:
    topic = await topics.create(partitions=1, settings={"max.message.bytes": "300000"})
    large = {10, 11, 400, 799}
    refused = Refusals()
    async with DocumentProducer(kafka(stack, topic), refused=refused) as producer:
        for number in range(800):
            text = random_text(700_000) if number in large else random_text(3_000)
            await producer.publish(Document("default", str(number), text))
        await producer.flush()
        assert (producer.published, producer.unacknowledged) == (796, 0)
    assert {int(name) for name, _ in refused} == large
    assert len(refused) == 4
    assert "max.message.bytes" in str(refused[0][1])
    sent = [int(message.key or b"") for message in await everything(stack.bootstrap_servers, topic)]
    assert sent == [number for number in range(800) if number not in large]


async def test_small_documents_pass_though_a_whole_batch_is_too_large(stack: Endpoints, topics: Topics) -> None:
    topic = await topics.create(partitions=1, settings={"max.message.bytes": "20000"})
    refused = Refusals()
    async with DocumentProducer(kafka(stack, topic), refused=refused) as producer:
        for number in range(60):
            await producer.publish(Document("default", str(number), random_text(4_000)))
        await producer.flush()
        assert (producer.published, refused) == (60, [])
    sent = [int(message.key or b"") for message in await everything(stack.bootstrap_servers, topic)]
    assert sent == list(range(60))


async def test_a_document_larger_than_any_request_is_told_at_once(stack: Endpoints, topics: Topics) -> None:
    topic = await topics.create()
    refused = Refusals()
    async with DocumentProducer(kafka(stack, topic), refused=refused) as producer:
        await producer.publish(Document("default", "huge", "x" * (65 * 1024 * 1024)))
        await producer.publish(Document("default", "small", "x"))
        await producer.flush()
        assert producer.published == 1
    assert [name for name, _ in refused] == ["huge"]


async def test_a_missing_topic_is_told_with_the_command_that_makes_it(stack: Endpoints, topics: Topics) -> None:
    async with asyncio.timeout(10):
        with pytest.raises(BrokerMisconfigured, match="headrace init"):
            await DocumentProducer(kafka(stack, topics.name("none")), refused=Refusals()).open()


async def test_a_broker_killed_in_mid_publication_loses_and_doubles_nothing_and_memory_stays_bounded(
    private_stack: AnyStack,
) -> None:
    servers = private_stack.endpoints.bootstrap_servers
    topic = await Topics(servers).create(partitions=3)
    settings = KafkaSettings(bootstrap_servers=servers, topic=topic)
    count, most = 30_000, 2_000
    highest = 0
    async with DocumentProducer(settings, refused=Refusals(), max_unacknowledged=most) as producer:

        async def publish() -> None:
            nonlocal highest
            for number in range(count):
                await producer.publish(Document("default", str(number), "words " * 30))
                highest = max(highest, producer.unacknowledged)
            await producer.flush()

        publishing = asyncio.create_task(publish())
        for done in (3_000, 12_000):
            while producer.published < done:
                await asyncio.sleep(0.005)
            await private_stack.kafka.kill()
            assert not publishing.done()
            await private_stack.kafka.start()
        await asyncio.wait_for(publishing, 90)
        assert (producer.published, producer.unacknowledged) == (count, 0)
    assert highest <= most
    sent = Counter(message.key for message in await everything(servers, topic))
    assert len(sent) == count
    assert set(sent.values()) == {1}


async def test_what_a_broker_that_stays_away_did_not_acknowledge_is_told(private_stack: AnyStack) -> None:
    servers = private_stack.endpoints.bootstrap_servers
    topic = await Topics(servers).create(partitions=1)
    settings = KafkaSettings(bootstrap_servers=servers, topic=topic)
    producer = DocumentProducer(settings, refused=Refusals(), patience_s=1.0)
    await producer.open()
    await private_stack.kafka.kill()
    await producer.publish(Document("default", "1", "x"))
    with pytest.raises(BrokerUnavailable):
        await producer.flush()
    assert (producer.published, producer.unacknowledged) == (0, 1)
    async with asyncio.timeout(40):
        await producer.aclose()
    with pytest.raises(BrokerUnavailable):
        await DocumentProducer(settings, refused=Refusals()).open()


async def test_init_makes_the_topics_once_and_changes_none(stack: Endpoints, topics: Topics) -> None:
    names = {"topic": topics.name("raw"), "dlq_topic": topics.name("dlq"), "parked_topic": topics.name("parked")}
    settings = Settings(
        kafka=KafkaSettings.model_validate({"bootstrap_servers": stack.bootstrap_servers, "partitions": 3, **names})
    )
    await topics.create("parked", partitions=2, settings={"retention.ms": "1000"})
    first = {topic.name: topic for topic in await ensure_topics(settings)}
    again = {topic.name: topic for topic in await ensure_topics(settings)}
    assert [first[name].outcome for name in names.values()] == ["created", "created", "differs"]
    assert first[settings.outcomes_topic].outcome == "created"
    assert [again[name].outcome for name in names.values()] == ["exists", "exists", "differs"]
    assert [again[name].partitions for name in names.values()] == [3, 3, 2]
    parked = {one.setting: one for one in again[names["parked_topic"]].differences}
    assert parked["retention.ms"] == Difference("retention.ms", "1000", "-1")
    assert set(parked) == {"retention.ms", "max.message.bytes"}
    found = await describe_topics(settings.kafka, [*names.values(), settings.outcomes_topic, topics.name("none")])
    assert set(found) == {*names.values(), settings.outcomes_topic}
    assert found[names["topic"]].settings["message.timestamp.type"] == "LogAppendTime"
    assert found[names["dlq_topic"]].settings["retention.ms"] == "-1"
    assert found[names["parked_topic"]].settings["retention.ms"] == "1000"
    assert found[settings.outcomes_topic].settings["cleanup.policy"] == "compact"
    assert (found[names["topic"]].partitions, found[names["topic"]].replication) == (3, 1)


async def test_a_publication_counts_everything(stack: Endpoints, topics: Topics) -> None:
    topic = await topics.create(partitions=1, settings={"max.message.bytes": "300000"})
    told: list[Refusal] = []
    items: list[Item] = [
        Found(Document("default", "1", "x"), "a", 1, 10),
        Refusal("a", 2, "empty-text", "no text"),
        Found(Document("default", "2", random_text(700_000)), "a", 3, 700_000),
        Found(Document("default", "3", "x"), "a", 4, 10),
    ]
    tally = await Publication(kafka(stack, topic), told.append).run(iter(items))
    assert (tally.published, tally.refused, tally.unacknowledged) == (2, 2, 0)
    assert [refusal.code for refusal in told] == ["empty-text", "too-large-for-topic"]
    dry = await Publication(kafka(stack, topics.name("none")), told.append, dry_run=True).run(iter(items))
    assert (dry.published, dry.refused) == (3, 1)


@pytest.fixture
def environment(stack: Endpoints, folder: Path) -> dict[str, str]:
    return os.environ | {"HEADRACE_KAFKA__BOOTSTRAP_SERVERS": stack.bootstrap_servers, "HOME": str(folder)}


async def run(
    *arguments: str, environment: dict[str, str], folder: Path, given: bytes = b""
) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        *HEADRACE,
        "publish",
        *arguments,
        env=environment | {"PYTHONPATH": os.getcwd()},  # noqa: PTH109 - as the variable wants it
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(given), 60)
    return process.returncode, out.decode(), err.decode()


async def test_the_command_publishes_the_good_ones_and_tells_the_bad_ones_with_their_lines(
    topics: Topics, stack: Endpoints, environment: dict[str, str], folder: Path
) -> None:
    topic = await topics.create()
    (folder / "docs").mkdir()
    (folder / "docs" / "a.md").write_text("# Title\n\nwords")
    (folder / "docs" / "b.txt").write_bytes(b"caf\xe9")
    (folder / "docs" / "c.png").write_bytes(b"")
    (folder / "lines.jsonl").write_text('{"id":"1","text":"x"}\n{"id":"2"}\n{bad\n{"id":"4","text":"x"}\n')
    code, out, err = await run(
        "docs", "lines.jsonl", "--topic", topic, "--json", environment=environment, folder=folder
    )
    assert code == 1, err
    said = json.loads(out)
    assert (said["published"], said["refused"], said["skipped"], said["unacknowledged"]) == (3, 3, 1, 0)
    assert [(one["source"], one["line"], one["code"]) for one in said["refusals"]] == [
        ("docs/b.txt", None, "invalid-document"),
        ("lines.jsonl", 2, "empty-text"),
        ("lines.jsonl", 3, "invalid-document"),
    ]
    for place in ("docs/b.txt: not UTF-8", "lines.jsonl:2: ", "lines.jsonl:3: "):
        assert place in err
    assert {message.key for message in await everything(stack.bootstrap_servers, topic)} == {b"/docs/a.md", b"1", b"4"}


async def test_the_command_reads_standard_input_and_a_dry_run_publishes_nothing(
    topics: Topics, stack: Endpoints, environment: dict[str, str], folder: Path
) -> None:
    topic = await topics.create()
    array = json.dumps([{"id": str(number), "text": "x"} for number in range(50)]).encode()
    code, out, err = await run("-", "--topic", topic, environment=environment, folder=folder, given=array)
    assert (code, err) == (0, "")
    assert "50 published, 0 refused" in out
    code, out, _ = await run(
        "-", "--topic", topic, "--dry-run", environment=environment, folder=folder, given=b'{"id":"x","text":"x"}'
    )
    assert (code, "1 could be published" in out) == (0, True)
    assert len(await everything(stack.bootstrap_servers, topic)) == 50


async def test_a_wrong_tenant_or_topic_is_wrong_usage(
    topics: Topics, environment: dict[str, str], folder: Path
) -> None:
    (folder / "a.md").write_text("words")
    code, _, err = await run("a.md", "--tenant", "a b", environment=environment, folder=folder)
    assert (code, "--tenant" in err) == (2, True)
    code, _, err = await run("a.md", "--topic", topics.name("none"), environment=environment, folder=folder)
    assert (code, "headrace init" in err, "Traceback" in err) == (2, True, False)


async def test_an_interrupt_publishes_what_was_read_and_ends_with_130(
    topics: Topics, stack: Endpoints, environment: dict[str, str], folder: Path
) -> None:
    topic = await topics.create()
    process = await asyncio.create_subprocess_exec(
        *HEADRACE,
        *("publish", "-", "--topic", topic, "--json"),
        env=environment | {"PYTHONPATH": os.getcwd()},  # noqa: PTH109 - as the variable wants it
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    try:
        process.stdin.write(b"".join(b'{"id":"%d","text":"x"}\n' % number for number in range(300)))
        async with asyncio.timeout(30):
            while len(await everything(stack.bootstrap_servers, topic)) < 300:
                await asyncio.sleep(0.2)
        process.send_signal(signal.SIGINT)
        # Standard input stays open: the reader waits in it, and must not keep the process from ending.
        assert process.stdout is not None
        out = await asyncio.wait_for(process.stdout.read(), 20)
        assert await asyncio.wait_for(process.wait(), 20) == 130
    finally:
        if process.returncode is None:
            process.kill()
        process.stdin.close()
        await process.wait()
    said = json.loads(out)
    assert (said["interrupted"], said["published"], said["unacknowledged"]) == (True, 300, 0)


async def test_what_a_broker_took_without_saying_so_in_time_is_there_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producers.connection.REQUEST_TIMEOUT_MS", 1_000)
    async with Stack(folder, parts=frozenset({"kafka"})) as stack:
        servers = stack.endpoints.bootstrap_servers
        topic = await Topics(servers).create(partitions=1)
        async with DocumentProducer(kafka(stack.endpoints, topic), refused=Refusals()) as producer:
            await producer.publish(Document("default", "first", "x"))
            await producer.flush()
            assert stack.kafka.pid
            os.kill(stack.kafka.pid, signal.SIGSTOP)
            try:
                await producer.publish(Document("default", "second", "x"))
                await asyncio.sleep(2.5)  # the request is given up and sent again, while both wait in its socket
                assert producer.unacknowledged == 1
            finally:
                os.kill(stack.kafka.pid, signal.SIGCONT)
            await producer.flush()
            assert producer.published == 2
        assert [message.key for message in await everything(servers, topic)] == [b"first", b"second"]
