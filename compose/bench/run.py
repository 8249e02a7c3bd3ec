"""What is measured, and in which order? Stages first, then both programs in turn, at each latency."""

import os
import platform
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import asyncpg
from pydantic import SecretStr

from compose.bench.programs import Measurement
from compose.bench.results import BARE, WORKER, Plan, Report, Run, Stage, medians_of, ratios_of
from compose.bench.stages import Stages
from compose.bench.topic import GatedTopic, Tell, publish
from compose.embedded.stack import Stack, temporary_stack
from compose.fake_provider.behaviour import Behaviour, Fixed
from compose.fake_provider.process import FakeProvider
from compose.service import SOFTWARE, fingerprint_of
from consumers.stores.pgvector import PgVectorStore
from producers.topics import ensure_topics
from schemas import sql
from schemas.documents import Document
from schemas.settings import (
    HttpSettings,
    KafkaSettings,
    ProviderSettings,
    Settings,
    StoreSettings,
    TelemetrySettings,
)

PARTS = frozenset({"kafka", "postgres"})


async def measure(plan: Plan, tell: Tell) -> Report:
    """Measure on a stack of our own that leaves nothing behind; *tell* takes lines of progress.

    Raises MeasurementFailed, PartFailed, BrokerError and StoreError.
    """
    async with AsyncExitStack() as opened:
        stack = await opened.enter_async_context(
            temporary_stack(parts=PARTS, observe=lambda part, words: tell(f"{part}: {words}"))
        )
        provider = await opened.enter_async_context(FakeProvider(dimensions=plan.dimensions))
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="headrace-")))
        bench = _Bench(plan, stack, provider, folder, tell)
        await bench.prepare()
        stages = await bench.stages()
        runs = [
            await bench.program(program, latency)
            for latency in plan.latencies_ms
            for _ in range(plan.repeat)
            for program in (BARE, WORKER)
        ]
    medians = medians_of(runs)
    return Report(
        software=SOFTWARE,
        python=platform.python_version(),
        cpus=os.cpu_count() or 1,
        plan=plan,
        stages=stages,
        medians=medians,
        ratios=ratios_of(medians, stages),
        runs=runs,
    )


class _Bench:
    """A stack to measure on."""

    def __init__(self, plan: Plan, stack: Stack, provider: FakeProvider, folder: Path, tell: Tell) -> None:
        self._plan = plan
        self._stack = stack
        self._provider = provider
        self._folder = folder
        self._tell = tell
        self._count = 0

    async def prepare(self) -> None:
        """Let the database note when a transaction was committed: it is the only witness of when a row was there."""
        connection = await asyncpg.connect(self._stack.endpoints.dsn)
        try:
            await connection.execute("ALTER SYSTEM SET track_commit_timestamp = on")
        finally:
            await connection.close()
        await self._stack.postgres.restart()

    async def stages(self) -> list[Stage]:
        settings = self._fresh_settings()
        stages = Stages(settings, self._plan)
        await ensure_topics(settings)
        self._tell(f"publishing {self._plan.documents:,} documents")
        await publish(settings, self._plan, self._tell)
        draining, records = await stages.drain()
        self._tell_of(draining)
        decoding, decoded = stages.decode(records)
        del records
        self._tell_of(decoding)
        texts = [one.subject.text for one in decoded if isinstance(one.subject, Document)]
        embedding = []
        for latency in self._plan.latencies_ms:
            await self._provider.set(Behaviour(latency=Fixed(latency)))
            embedding.append(await stages.embed(texts, latency))
            self._tell_of(embedding[-1])
        async with self._index(settings) as store:
            writing = await stages.write(decoded, store)
        self._tell_of(writing)
        return [draining, decoding, *embedding, writing]

    async def program(self, program: str, latency_ms: int) -> Run:
        settings = self._fresh_settings()
        gate = GatedTopic(settings)
        self._tell(f"{program}, provider {latency_ms} ms: publishing {self._plan.documents:,} documents")
        try:
            await gate.fill(self._plan, self._tell)
            async with self._index(settings):
                self._tell(f"{program}, provider {latency_ms} ms: running")
                measurement = Measurement(program, settings, self._folder, self._provider, self._pids())
                run = await measurement.run(self._plan, gate, latency_ms)
        finally:
            await gate.aclose()
        self._tell(f"{program}, provider {latency_ms} ms: {run.documents_per_s:,.0f} documents/s")
        return run

    def _pids(self) -> dict[str, int]:
        pids = {
            "broker": self._stack.kafka.pid,
            "database": self._stack.postgres.pid,
            "provider": self._provider.pid,
        }
        return {name: pid for name, pid in pids.items() if pid is not None}

    def _fresh_settings(self) -> Settings:
        """Name a topic, a group and an index that nobody has used."""
        self._count += 1
        name, at = f"bench_{self._count}", self._stack.endpoints
        return Settings(
            kafka=KafkaSettings(
                bootstrap_servers=at.bootstrap_servers,
                topic=f"{name}.raw",
                dlq_topic="bench.dlq",
                parked_topic="bench.parked",
                group=name,
            ),
            provider=ProviderSettings(
                base_url=self._provider.base_url,
                model="fake",
                dimensions=self._plan.dimensions,
                concurrency=self._plan.concurrency,
            ),
            store=StoreSettings(dsn=SecretStr(at.dsn), index=name),
            http=HttpSettings(port=0),
            telemetry=TelemetrySettings(log_level="warning"),
        )

    @asynccontextmanager
    async def _index(self, settings: Settings) -> AsyncIterator[PgVectorStore]:
        """Make the index, and remove it afterwards: the next is to find as much room as this one."""
        async with PgVectorStore(settings.store) as store:
            await store.create(fingerprint_of(settings))
            yield store
        connection = await asyncpg.connect(self._stack.endpoints.dsn)
        try:
            await connection.execute(f"DROP SCHEMA {sql.identifier(settings.store.index)} CASCADE")
        finally:
            await connection.close()

    def _tell_of(self, stage: Stage) -> None:
        at = "" if stage.latency_ms is None else f", provider {stage.latency_ms} ms"
        self._tell(f"{stage.name} alone{at}: {stage.documents_per_s:,.0f} documents/s")
