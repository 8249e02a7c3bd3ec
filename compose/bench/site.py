"""Where is measured? On a stack of our own, or on servers that others use as well.

Either way every run has a topic, a group and an index of its own, whose names nobody else has, and which are removed
behind it.
"""

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TypeAlias

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient
from pydantic import SecretStr

from compose.bench.results import Case, Workload
from compose.bench.topic import Tell
from compose.configuration import require
from compose.embedded.stack import Stack, temporary_stack
from compose.fake_provider.process import FakeProvider
from compose.service import fingerprint_of
from consumers.stores.pgvector import PgVectorStore
from producers.connection import client_options
from producers.topics import wanted_topics
from schemas import sql
from schemas.settings import HttpSettings, KafkaSettings, Settings, TelemetrySettings

PARTS = frozenset({"kafka", "postgres"})
OPERATORS = {"vector": "vector_cosine_ops", "halfvec": "halfvec_cosine_ops"}
MAKE_HNSW = "CREATE INDEX ON {index}.chunks USING hnsw (embedding {operators})"
VIEWS_EXIST = "SELECT to_regnamespace('headrace') IS NOT NULL"

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class Site:
    """Servers to measure on. ``provider`` is None where it is not ours; ``pids`` holds the servers that run here."""

    def __init__(self, base: Settings, provider: FakeProvider | None, stack: Stack | None, place: str) -> None:
        self.provider = provider
        self.place = place
        self.notes_commits = False
        self._base = base
        self._stack = stack
        self._name = f"bench_{secrets.token_hex(4)}"
        self._count = 0
        self._had_views = True

    @property
    def pids(self) -> dict[str, int]:
        """The processes whose CPU is counted beside the program's."""
        found = {"provider": self.provider.pid if self.provider else None}
        if self._stack is not None:
            found |= {"broker": self._stack.kafka.pid, "database": self._stack.postgres.pid}
        return {name: pid for name, pid in found.items() if pid is not None}

    async def prepare(self) -> None:
        """Let a database of our own note when a transaction was committed, and see whether another one does."""
        if self._stack is not None and self._stack.postgres.running:
            async with self.connection() as connection:
                await connection.execute("ALTER SYSTEM SET track_commit_timestamp = on")
            await self._stack.postgres.restart()
        async with self.connection() as connection:
            self.notes_commits = await connection.fetchval("SHOW track_commit_timestamp") == "on"
            self._had_views = await connection.fetchval(VIEWS_EXIST)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection to the database."""
        dsn = self._base.store.dsn
        connection = await asyncpg.connect(dsn.get_secret_value() if dsn else None)
        try:
            yield connection
        finally:
            await connection.close()

    def settings(self, case: Case) -> Settings:
        """Name a topic, a group and an index that nobody has used."""
        self._count += 1
        name, base = f"{self._name}_{self._count}", self._base
        topics = {"topic": f"{name}.raw", "dlq_topic": f"{name}.dlq", "parked_topic": f"{name}.parked"}
        interval = {"commit_interval_s": 0.05} if case.workload is Workload.UNCHANGED else {}
        provider: dict[str, object] = {"concurrency": case.concurrency, "dimensions": case.dimensions}
        if self.provider is not None:
            provider |= {"base_url": self.provider.base_url, "model": "fake", "kind": "openai", "api_key": None}
            provider |= {"api_key_file": None}
        return Settings(
            kafka=base.kafka.model_copy(update=topics | interval | {"group": name, "instance_id": None}),
            provider=base.provider.model_copy(update=provider),
            store=base.store.model_copy(update={"index": name, "vector_type": case.vector_type, "ddl": True}),
            chunking=base.chunking,
            worker=base.worker.model_copy(update={"workers": case.workers}),
            http=HttpSettings(port=0),
            telemetry=TelemetrySettings(log_level="warning"),
        )

    @asynccontextmanager
    async def index(self, settings: Settings) -> AsyncIterator[PgVectorStore]:
        """Make an index, and remove it afterwards: the next is to find as much room as this one."""
        try:
            async with PgVectorStore(settings.store) as store:
                await store.create(fingerprint_of(settings))
                yield store
        finally:
            async with self.connection() as connection:
                await connection.execute(f"DROP SCHEMA IF EXISTS {sql.identifier(settings.store.index)} CASCADE")
                if not self._had_views:  # the first index that is made is given views, which are gone with it
                    with suppress(asyncpg.DependentObjectsStillExistError):
                        await connection.execute("DROP SCHEMA IF EXISTS headrace")

    @asynccontextmanager
    async def topics(self, settings: Settings) -> AsyncIterator[None]:
        """Remove the topics of these settings afterwards, and with them what their group has committed."""
        try:
            yield
        finally:
            admin = AIOKafkaAdminClient(**client_options(settings.kafka, "bench"))
            try:
                await admin.start()
                await admin.delete_topics([topic.name for topic in wanted_topics(settings)])
            finally:
                await admin.close()

    async def make_hnsw(self, settings: Settings) -> None:
        """Make a vector index."""
        index, operators = sql.identifier(settings.store.index), OPERATORS[settings.store.vector_type]
        async with self.connection() as connection:
            await connection.execute(MAKE_HNSW.format(index=index, operators=operators))


@asynccontextmanager
async def open_site(base: Settings | None, dimensions: int, tell: Tell) -> AsyncIterator[Site]:
    """Open a site: on the servers that *base* names, and on ours for each that it does not.

    An empty ``kafka.bootstrap_servers`` names none. Raises PartFailed where one of ours does not start, and
    ConfigurationError where the provider's model is not set.
    """
    async with AsyncExitStack() as opened:
        base = base or Settings(kafka=KafkaSettings(bootstrap_servers=""))
        stack = provider = None
        if not base.kafka.bootstrap_servers or base.store.dsn is None:
            stack = await opened.enter_async_context(
                temporary_stack(parts=_missing(base), observe=lambda part, words: tell(f"{part}: {words}"))
            )
            base = _with(base, stack)
        if base.provider.base_url is None:
            provider = await opened.enter_async_context(FakeProvider(dimensions=dimensions))
        else:
            require(base, "provider.model")
        site = Site(base, provider, stack, _place(stack, provider))
        await site.prepare()
        yield site


async def checkpoint(connection: Connection) -> None:
    """Let the database write what it has put off, where we may: a run should not pay for the one before."""
    with suppress(asyncpg.InsufficientPrivilegeError):
        await connection.execute("CHECKPOINT")


def _missing(base: Settings) -> frozenset[str]:
    wanted: Mapping[str, bool] = {"kafka": not base.kafka.bootstrap_servers, "postgres": base.store.dsn is None}
    return frozenset(name for name, is_missing in wanted.items() if is_missing)


def _with(base: Settings, stack: Stack) -> Settings:
    at, missing = stack.endpoints, _missing(base)
    if "kafka" in missing:
        base = base.model_copy(
            update={"kafka": base.kafka.model_copy(update={"bootstrap_servers": at.bootstrap_servers})}
        )
    if "postgres" in missing:
        base = base.model_copy(update={"store": base.store.model_copy(update={"dsn": SecretStr(at.dsn)})})
    return base


def _place(stack: Stack | None, provider: FakeProvider | None) -> str:
    ours = {part.name for part in stack.parts} if stack else set()
    words = [
        f"{'built-in' if 'kafka' in ours else 'your'} Kafka",
        f"{'built-in' if 'postgres' in ours else 'your'} PostgreSQL",
        "a fake provider" if provider else "your provider",
    ]
    return ", ".join(words)
