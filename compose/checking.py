"""What is wrong with this configuration? Every part is tried, all at once, each within ten seconds."""

import asyncio
import time
from collections.abc import Awaitable, Iterator, Mapping
from typing import Literal

import msgspec

from compose.configuration import Configuration, masked, value_of
from compose.layers import variable
from compose.service import fingerprint_of
from consumers.core.positions import OWNER
from consumers.kafka.admin import KafkaView
from consumers.providers.openai import WITNESS, OpenAIProvider
from consumers.providers.profiles import profile_of
from consumers.stores.connections import OLDEST_PGVECTOR, SOUND_PGVECTOR, Connections, version_of
from consumers.stores.errors import translated
from consumers.stores.pgvector import PgVectorStore
from producers.connection import probe
from producers.topics import Described, Wanted, describe_topics, differences, wanted_topics
from schemas.errors import ConfigurationError, HeadraceError
from schemas.index import Fingerprint
from schemas.settings import Settings
from schemas.sql import queries

TIMEOUT_S = 10.0
BYTES_A_NUMBER = 4
FIELDS = {
    "provider": "provider.kind",
    "model": "provider.model",
    "dimensions": "provider.dimensions",
    "vector_type": "store.vector_type",
    "chunking": "chunking",
    "tokenizer": "chunking.tokenizer",
}
"""Which setting a field of the index's fingerprint comes from."""

Level = Literal["ok", "warning", "wrong"]


class Finding(msgspec.Struct, frozen=True):
    """What was seen of a part, and what there is to do unless it is ok."""

    part: str
    level: Level
    text: str
    mend: str = ""


async def check(configuration: Configuration) -> list[Finding]:
    """Try Kafka, PostgreSQL and the provider; nothing is changed."""
    settings = configuration.settings
    parts = {"kafka": _kafka(settings), "store": _store(settings), "provider": _provider(settings)}
    answers = await asyncio.gather(*(_within_time(part, work) for part, work in parts.items()))
    return [finding for findings in answers for finding in findings]


async def _within_time(part: str, work: Awaitable[list[Finding]]) -> list[Finding]:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await work
    except TimeoutError:
        return [Finding(part, "wrong", f"no answer within {TIMEOUT_S:.0f} s", "see that it runs and can be reached")]
    except HeadraceError as error:
        # An error of configuration says by itself what there is to do.
        return [Finding(part, "wrong", str(error), "" if isinstance(error, ConfigurationError) else _where(part))]


def _where(part: str) -> str:
    server = {"kafka": "kafka.bootstrap_servers", "store": "store.dsn", "provider": "provider.base_url"}[part]
    return f"see that it runs, and that {server} is right; `headrace up` starts one here"


async def _kafka(settings: Settings) -> list[Finding]:
    kafka = settings.kafka
    await probe(kafka, timeout_s=TIMEOUT_S - 1)
    found = await describe_topics(kafka, [topic.name for topic in wanted_topics(settings)])
    findings = [Finding("kafka", "ok", f"answers at {kafka.bootstrap_servers}")]
    for wanted in wanted_topics(settings, found.get(kafka.topic)):
        findings += _topic(wanted, found.get(wanted.name))
    return findings + await _positions(settings)


def _topic(wanted: Wanted, found: Described | None) -> Iterator[Finding]:
    if found is None:
        yield Finding("kafka", "wrong", f"topic {wanted.name} does not exist", "headrace init")
        return
    differing = differences(found, wanted)
    if not differing:
        yield Finding("kafka", "ok", f"topic {wanted.name}: {found.partitions} partitions")
    for one in differing:
        why = _WHY.get(one.setting, "")
        text = f"topic {wanted.name}: {one.setting} is {one.found}, should be {one.wanted}{why}"
        change = f"kafka-configs --alter --entity-type topics --entity-name {wanted.name}"
        yield Finding("kafka", "warning", text, f"{change} --add-config {one.setting}={one.wanted}")


_WHY: Mapping[str, str] = {
    "message.timestamp.type": ": across partitions, order is only as good as the clocks of the producers, unless "
    "documents have a version",
    "retention.ms": ": dead letters will be deleted",
    "max.message.bytes": ": larger messages are refused",
}


async def _positions(settings: Settings) -> list[Finding]:
    """Say which positions of the group belong to another index: a worker refuses to start from them."""
    index, topic, group = settings.store.index, settings.kafka.topic, settings.group
    async with KafkaView(settings.kafka) as view:
        commits = await view.committed(group, topic)
    told = [commit.metadata for commit in commits.values() if commit.metadata.startswith(f"{OWNER}/")]
    others = {metadata.split("/")[1] for metadata in told} - {index}
    return [
        Finding(
            "kafka",
            "wrong",
            f"the group {group} has positions of the index {other}, not of {index}",
            f"give each index its own kafka.group, or set store.index = {other}",
        )
        for other in sorted(others)
    ]


async def _store(settings: Settings) -> list[Finding]:
    if settings.store.dsn is None:
        return [_unset("store.dsn")]
    connections = Connections(settings.store)
    with translated():
        async with connections.plain() as connection:
            server = connection.get_server_version()
            extension = await connection.fetchrow(queries({"index": "", "vector_schema": ""})["extension"])
    where = masked(settings.store.dsn)
    findings = [Finding("store", "ok", f"PostgreSQL {server.major}.{server.micro} answers at {where}")]
    if extension is None:
        return [*findings, Finding("store", "wrong", "the extension vector is not installed", "headrace init")]
    findings.append(_pgvector(extension["version"]))
    async with PgVectorStore(settings.store) as store:
        stored = await store.about()
        if stored is None:
            text = f"the index {settings.store.index} does not exist"
            return [*findings, Finding("store", "wrong", text, "headrace init")]
        return findings + list(_index(settings, stored))


def _pgvector(version: str) -> Finding:
    update = "install 0.8.4 or newer on the server, then ALTER EXTENSION vector UPDATE"
    if version_of(version) < OLDEST_PGVECTOR:
        return Finding("store", "wrong", f"pgvector {version} is too old", update)
    if version_of(version) < SOUND_PGVECTOR:
        return Finding("store", "warning", f"pgvector {version} can corrupt HNSW indexes during a vacuum", update)
    return Finding("store", "ok", f"pgvector {version}")


def _index(settings: Settings, stored: Fingerprint) -> Iterator[Finding]:
    index = settings.store.index
    missing = [name for name in ("provider.model", "provider.dimensions") if value_of(settings, name) is None]
    if missing:
        yield Finding("store", "ok", f"the index {index} holds {stored.model}, {stored.dimensions} dimensions")
        return
    wanted = fingerprint_of(settings)
    differing = [name for name in FIELDS if getattr(stored, name) != getattr(wanted, name)]
    if not differing:
        yield Finding("store", "ok", f"the index {index} fits the settings")
    for name in differing:
        text = f"the index {index} has {name} = {getattr(stored, name)}, the settings say {getattr(wanted, name)}"
        yield Finding(
            "store", "wrong", text, f"correct {FIELDS[name]}, or name another store.index and `headrace init`"
        )


async def _provider(settings: Settings) -> list[Finding]:
    names = ("provider.base_url", "provider.model")
    unset = [_unset(name) for name in names if value_of(settings, name) is None]
    if unset:
        return unset
    wanted = settings.provider.dimensions
    began = time.monotonic()
    async with OpenAIProvider(settings.provider) as provider:
        reply = await provider.embed([WITNESS])
    took = f"{(time.monotonic() - began) * 1000:.0f} ms"
    vector = reply.vectors[0]
    if vector is None:
        return [Finding("provider", "wrong", f"no usable vector: {reply.faults.get(0, '')}", "choose another model")]
    dimensions = len(vector) // BYTES_A_NUMBER
    findings = [Finding("provider", "ok", f"{provider.model} answers in {took} with {dimensions} dimensions")]
    if profile_of(settings.provider).cuts:
        text = f"{settings.provider.kind} cuts a text that is too long for the model, and does not say so"
        findings.append(Finding("provider", "warning", text, "keep chunking.max_tokens below what the model takes"))
    return findings if wanted else [*findings, _unset("provider.dimensions", str(dimensions))]


def _unset(name: str, value: str = "…") -> Finding:
    mend = f"set {variable(name)}={value}, or start all that is needed here with `headrace up`"
    return Finding(name.split(".", maxsplit=1)[0], "wrong", f"{name} is not set", mend)
