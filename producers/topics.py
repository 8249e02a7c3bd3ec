"""Which topics are needed, do they exist, and are they set as they should be?"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import NoError, TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code

from producers.connection import client_options, start
from producers.errors import broker_errors
from schemas.settings import MIB, KafkaSettings, Settings

MAX_REPLICATION = 3


@dataclass(frozen=True, slots=True)
class Wanted:
    """A topic as it ought to be. A larger ``max.message.bytes`` than wanted is as good."""

    name: str
    partitions: int
    settings: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Described:
    """A topic as it is."""

    name: str
    partitions: int
    replication: int
    settings: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Difference:
    """A setting of an existing topic that is not what is wanted."""

    setting: str
    found: str | None
    wanted: str


@dataclass(frozen=True, slots=True)
class Ensured:
    """What became of a topic: ``created``, ``exists``, or ``differs`` with the settings that do."""

    name: str
    outcome: str
    partitions: int
    differences: Sequence[Difference] = field(default_factory=tuple)


def wanted_topics(settings: Settings, source: Described | None = None) -> list[Wanted]:
    """Return the four topics as they ought to be: source, dead letters, parked, outcomes.

    A dead letter is its original plus headers of ours, so it needs more room than the source has: 1 MiB above what
    the source takes, whether that exists already or is to be made.
    """
    kafka = settings.kafka
    above_document = settings.worker.max_document_bytes + MIB
    taken = int(source.settings.get("max.message.bytes", above_document)) if source is not None else above_document
    kept = {
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "max.message.bytes": str(max(taken, above_document) + MIB),
        "compression.type": "zstd",
    }
    received = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": str(above_document)}
    return [
        Wanted(kafka.topic, kafka.partitions, received),
        Wanted(kafka.dlq_topic, kafka.partitions, kept),
        Wanted(kafka.parked_topic, kafka.partitions, kept),
        Wanted(settings.outcomes_topic, kafka.partitions, {"cleanup.policy": "compact"}),
    ]


def differences(found: Described, wanted: Wanted) -> list[Difference]:
    """Return the settings of *found* that are not as *wanted*."""
    return [
        Difference(name, found.settings.get(name), value)
        for name, value in wanted.settings.items()
        if not _good_enough(name, found.settings.get(name), value)
    ]


async def ensure_topics(settings: Settings) -> list[Ensured]:
    """Create the topics that are missing; an existing one is never changed, but said to differ where it does.

    Raises BrokerUnavailable or BrokerMisconfigured.
    """
    names = [topic.name for topic in wanted_topics(settings)]
    async with _admin(settings.kafka) as admin:
        found = await _describe(admin, names)
        wanted = wanted_topics(settings, found.get(settings.kafka.topic))
        created = await _create(admin, [topic for topic in wanted if topic.name not in found])
        # What somebody else made in between is described as well, so that the answer is what is there now.
        found |= await _describe(admin, [topic.name for topic in wanted if topic.name not in {*found, *created}])
    return [
        Ensured(topic.name, "created", topic.partitions)
        if topic.name in created
        else _existing(found[topic.name], topic)
        for topic in wanted
    ]


async def describe_topics(kafka: KafkaSettings, names: Sequence[str]) -> dict[str, Described]:
    """Return those of the topics that exist. Raises BrokerUnavailable or BrokerMisconfigured."""
    async with _admin(kafka) as admin:
        return await _describe(admin, names)


def _good_enough(name: str, found: str | None, wanted: str) -> bool:
    if name == "max.message.bytes" and found is not None:
        return int(found) >= int(wanted)
    if name == "compression.type":
        # The dead-letter producer compresses with zstd itself; the topic must only not undo it.
        return found in (wanted, "producer")
    return found == wanted


def _existing(found: Described, wanted: Wanted) -> Ensured:
    differing = differences(found, wanted)
    return Ensured(wanted.name, "differs" if differing else "exists", found.partitions, tuple(differing))


@asynccontextmanager
async def _admin(kafka: KafkaSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**client_options(kafka, "admin"))
    try:
        await start(admin, kafka)
        with broker_errors(f"asking Kafka at {kafka.bootstrap_servers} about topics"):
            yield admin
    finally:
        await admin.close()


async def _create(admin: AIOKafkaAdminClient, missing: Sequence[Wanted]) -> set[str]:
    if not missing:
        return set()
    replication = min(MAX_REPLICATION, len((await admin.describe_cluster())["brokers"]))
    answer = await admin.create_topics(
        [NewTopic(topic.name, topic.partitions, replication, topic_configs=dict(topic.settings)) for topic in missing]
    )
    created = set()
    for name, code, message in answer.topic_errors:
        error = for_code(code)
        if error is NoError:
            created.add(name)
        elif error is not TopicAlreadyExistsError:
            raise error(f"topic {name}: {message}")
    return created


async def _describe(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, Described]:
    if not names:
        return {}
    topics = {}
    for topic in await admin.describe_topics(list(names)):
        error = for_code(topic["error_code"])
        if error is NoError:
            topics[topic["topic"]] = topic["partitions"]
        elif error is not UnknownTopicOrPartitionError:
            raise error(f"topic {topic['topic']}")
    settings = await _settings(admin, list(topics))
    return {
        name: Described(name, len(partitions), min(len(p["replicas"]) for p in partitions), settings[name])
        for name, partitions in topics.items()
    }


async def _settings(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names])
    found: dict[str, dict[str, str]] = {}
    for answer in answers:
        for code, message, _, name, entries in answer.resources:
            if (error := for_code(code)) is not NoError:
                raise error(f"settings of topic {name}: {message}")
            found[name] = {entry[0]: entry[1] for entry in entries if entry[1] is not None}
    return found
