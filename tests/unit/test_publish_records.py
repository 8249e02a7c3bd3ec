"""What is said to Kafka: a document as a record, and the topics as they ought to be."""

import json

import pytest

from producers.documents import record_of
from producers.topics import Described, Difference, Wanted, differences, wanted_topics
from schemas.documents import Deletion, Document
from schemas.errors import InvalidDocument
from schemas.settings import KafkaSettings, Settings, WorkerSettings


def test_a_document_says_everything_in_its_value_and_who_it_is_in_its_headers() -> None:
    record = record_of(Document("acme", "a/ü", "words", -1, "T", '{"b":[1e400],"a":"\\u0000"}', "text/markdown"))
    assert record.key == "acme/a/ü".encode()
    assert record.headers == (
        ("headrace-tenant", b"acme"),
        ("headrace-id", "a/ü".encode()),
        ("headrace-version", b"-1"),
    )
    assert record.value is not None
    assert b'{"b":[1e400],"a":"\\u0000"}' in record.value
    assert json.loads(record.value) == {
        "id": "a/ü",
        "text": "words",
        "tenant": "acme",
        "version": -1,
        "title": "T",
        "content_type": "text/markdown",
        "metadata": {"b": [float("inf")], "a": "\0"},
    }


def test_a_plain_document_says_no_more_than_it_has_to() -> None:
    record = record_of(Document("default", "1", "x"))
    assert record.value == b'{"id":"1","text":"x"}'
    assert record.headers == (("headrace-tenant", b"default"), ("headrace-id", b"1"))


def test_a_deletion_is_a_null_value_whose_headers_say_which_document() -> None:
    record = record_of(Deletion("default", "a/b", 2))
    assert (record.key, record.value) == (b"/a/b", None)
    assert dict(record.headers) == {"headrace-tenant": b"default", "headrace-id": b"a/b", "headrace-version": b"2"}


@pytest.mark.parametrize(
    "document",
    [
        Document("a b", "1", "x"),
        Document("a", "", "x"),
        Document("a", "1", " "),
        Document("a", "1", "\ud800"),
        Document("a", "1", "x", 2**63),
        Deletion("a", "x" * 1025),
    ],
)
def test_what_would_become_a_dead_letter_is_not_published(document: Document | Deletion) -> None:
    with pytest.raises(InvalidDocument):
        record_of(document)


def described(**settings: str) -> Described:
    return Described("docs.raw", 1, 1, {name.replace("_", "."): value for name, value in settings.items()})


def test_a_dead_letter_fits_whatever_its_source_takes() -> None:
    settings = Settings(worker=WorkerSettings(max_document_bytes=1000))
    source, dead, parked, outcomes = wanted_topics(settings)
    mib = 1024 * 1024
    assert source.settings == {"message.timestamp.type": "LogAppendTime", "max.message.bytes": str(1000 + mib)}
    assert dead.settings["max.message.bytes"] == str(1000 + 2 * mib)
    assert dead.settings["retention.ms"] == "-1"
    assert dead.settings["compression.type"] == "zstd"
    assert parked.settings == dead.settings
    assert outcomes.name == "docs.dlq.outcomes"
    assert outcomes.settings == {"cleanup.policy": "compact"}
    _, dead, _, _ = wanted_topics(settings, described(max_message_bytes=str(50 * mib)))
    assert dead.settings["max.message.bytes"] == str(51 * mib)


def test_partitions_come_from_the_settings() -> None:
    topics = wanted_topics(Settings(kafka=KafkaSettings(partitions=7)))
    assert [topic.partitions for topic in topics] == [7] * 4


def test_a_larger_limit_and_the_compression_of_the_producer_are_no_differences() -> None:
    wanted = Wanted("docs.raw", 1, {"max.message.bytes": "1000", "compression.type": "zstd", "retention.ms": "-1"})
    assert (
        differences(described(max_message_bytes="2000", compression_type="producer", retention_ms="-1"), wanted) == []
    )
    assert differences(described(max_message_bytes="999", compression_type="gzip"), wanted) == [
        Difference("max.message.bytes", "999", "1000"),
        Difference("compression.type", "gzip", "zstd"),
        Difference("retention.ms", None, "-1"),
    ]
