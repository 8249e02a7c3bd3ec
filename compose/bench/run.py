"""What is measured, and in which order? Stages first, then both programs in turn, in each case."""

import os
import platform
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec

from compose.bench import stock
from compose.bench.profile import profile_of
from compose.bench.programs import Measurement
from compose.bench.results import (
    BARE,
    WORKER,
    Case,
    Plan,
    Profile,
    Report,
    Run,
    Stage,
    Workload,
    medians_of,
    ratios_of,
)
from compose.bench.site import Site, open_site
from compose.bench.stages import Stages, write_directly
from compose.bench.topic import Arrivals, GatedTopic, Tell, publish
from compose.fake_provider.behaviour import Behaviour, Fixed
from compose.service import SOFTWARE, fingerprint_of
from consumers.stores.pgvector import PgVectorStore
from producers.topics import ensure_topics
from schemas.documents import Document
from schemas.errors import StoreMisconfigured
from schemas.settings import Settings

FEW = 2_000
"""Documents that the stages are measured with where a run's are cut into many chunks each."""


async def measure(plan: Plan, tell: Tell, *, base: Settings | None = None, samples: Path | None = None) -> Report:
    """Measure; *tell* takes lines of progress, *base* names servers to use in place of our own.

    With *samples* one more run of the worker is looked at from inside, and its stacks are written there. Raises
    MeasurementFailed, PartFailed, BrokerError and StoreError.
    """
    async with bench(base, plan.case.dimensions, tell) as here:
        stages = await here.stages(plan.case, plan.latencies_ms)
        runs = [
            await here.program(program, case)
            for case in plan.cases()
            for _ in range(plan.repeat)
            for program in ((BARE, WORKER) if bare_can(case) else (WORKER,))
        ]
        profile = None if samples is None else await here.profile(plan.cases()[0], samples)
    return report(here.site, plan, stages, runs, profile)


def report(
    site: Site, plan: Plan, stages: Sequence[Stage], runs: Sequence[Run], profile: Profile | None = None
) -> Report:
    """Put everything together."""
    medians = medians_of(runs)
    return Report(
        software=SOFTWARE,
        python=platform.python_version(),
        cpus=os.cpu_count() or 1,
        place=site.place,
        plan=plan,
        stages=stages,
        medians=medians,
        ratios=ratios_of(medians, stages),
        runs=runs,
        profile=profile,
    )


def bare_can(case: Case) -> bool:
    """Say whether the bare loop does the same work: it cuts no texts, knows one tenant, and embeds everything."""
    return not case.is_cut and case.workload in (Workload.LOAD, Workload.UPDATES)


@asynccontextmanager
async def bench(base: Settings | None, dimensions: int, tell: Tell) -> "AsyncIterator[Bench]":
    """Open what is needed to measure, and remove it afterwards."""
    async with AsyncExitStack() as opened:
        site = await opened.enter_async_context(open_site(base, dimensions, tell))
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="headrace-")))
        yield Bench(site, folder, tell)


class Bench:
    """A place to measure at."""

    def __init__(self, site: Site, folder: Path, tell: Tell) -> None:
        self.site = site
        self.folder = folder
        self.tell = tell

    async def stages(self, case: Case, latencies_ms: Sequence[int | None]) -> list[Stage]:
        """Measure each stage alone, with texts of one chunk."""
        case = msgspec.structs.replace(case, workload=Workload.LOAD, rate=None, rows=0)
        if case.is_cut:
            case = msgspec.structs.replace(case, documents=FEW, sizes="fixed")
        settings = self.site.settings(case)
        stages = Stages(settings, case)
        async with self.site.topics(settings):
            await ensure_topics(settings)
            self.tell(f"publishing {case.published:,} documents")
            await publish(settings, case, self.tell)
            draining, records = await stages.drain()
        decoding, decoded = stages.decode(records)
        found = [draining, decoding]
        texts = [one.subject.text for one in decoded if isinstance(one.subject, Document)]
        for latency in latencies_ms:
            if self.site.provider is not None:
                await self.site.provider.set(Behaviour(latency=Fixed(latency or 0)))
                found.append(await stages.embed(texts, latency))
        found.append(stages.unpack())
        async with self.site.index(settings) as store:
            found.append(await stages.write(records, store))
        for stage in found:
            at = "" if stage.latency_ms is None else f", provider {stage.latency_ms} ms"
            self.tell(f"{stage.name} alone{at}: {stage.documents_per_s:,.0f} documents/s")
        return found

    async def program(self, program: str, case: Case, *, samples: Path | None = None) -> Run:
        """Measure one run of a program."""
        if case.rate is not None and not self.site.notes_commits:
            raise StoreMisconfigured(
                "--rate: the database does not note when a transaction was committed: set track_commit_timestamp = on "
                "in postgresql.conf and restart it"
            )
        settings = self.site.settings(case)
        topic = GatedTopic(settings) if case.rate is None else Arrivals(settings)
        name = f"{program}, {words_of(case)}"
        self.tell(f"{name}: preparing {case.published:,} documents")
        async with self.site.topics(settings):
            try:
                await topic.fill(case, self.tell)
                async with self.prepared(case, settings):
                    self.tell(f"{name}: running")
                    run = await Measurement(program, case, settings, self.folder, self.site, samples=samples).run(topic)
            finally:
                await topic.aclose()
        self.tell(f"{name}: {run.documents_per_s:,.0f} documents/s")
        return run

    async def profile(self, case: Case, samples: Path) -> Profile:
        """Look at one run of the worker from inside."""
        self.tell("one more run, looked at from inside")
        run = await self.program(WORKER, case, samples=samples)
        return profile_of(samples, run.case.published)

    async def direct_writes(self, case: Case) -> Stage:
        """Measure what the tables of a case can take."""
        settings = self.site.settings(case)
        self.tell(f"direct writes, {words_of(case)}: running")
        async with self.prepared(case, settings):
            stage = await write_directly(case, settings, self.site)
        self.tell(f"direct writes, {words_of(case)}: {stage.documents_per_s:,.0f} documents/s")
        return stage

    @asynccontextmanager
    async def prepared(self, case: Case, settings: Settings) -> AsyncIterator[PgVectorStore]:
        """Make an index that holds what the case expects to find."""
        async with self.site.index(settings) as store:
            async with self.site.connection() as connection:
                await stock.fill(case, settings, connection)
            await stock.stock(case, settings, fingerprint_of(settings), store)
            if case.hnsw:
                await self.site.make_hnsw(settings)
            yield store


def words_of(case: Case) -> str:
    """Say in a few words what a case is about."""
    words: list[str] = [case.workload]
    if case.latency_ms is not None:
        words.append(f"provider {case.latency_ms} ms")
    if case.sizes != "fixed":
        words.append(f"{case.sizes} documents")
    if case.rate is not None:
        words.append(f"{case.rate:g} documents/s")
    if case.error_rate:
        words.append(f"{case.error_rate:.0%} of calls fail")
    if case.workers > 1:
        words.append(f"{case.workers} workers")
    if case.vector_type != "vector":
        words.append(case.vector_type)
    if case.rows:
        words.append(f"{case.rows:,} rows before")
    if case.hnsw:
        words.append("HNSW")
    return ", ".join(words)
