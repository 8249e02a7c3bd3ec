"""How is a whole program measured? From outside, as a process that does not know that it is looked at."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from pydantic import SecretStr

from compose.bench.meter import MB, cpu_of_all, peak_mb
from compose.bench.results import BARE, WORKER, Case, Cpu, Latency, Run, Workload
from compose.bench.site import Connection, Site, checkpoint
from compose.bench.texts import QUIET_TENANT, size_of
from compose.bench.topic import Topic
from compose.configuration import value_of
from compose.embedded.files import tail
from compose.embedded.processes import Child, Command, own_environ
from compose.fake_provider.behaviour import Behaviour, Fault, Fixed
from compose.layers import PREFIX, fields, variable
from consumers.kafka.admin import KafkaView
from schemas import sql
from schemas.errors import HeadraceError
from schemas.settings import Settings

ARGUMENTS = {BARE: ("-m", "compose.bench.bare"), WORKER: ("-m", "compose", "run")}
SAMPLED = ("-m", "compose.bench.sampling")
READY_WITHIN_S = 60.0
SLOWEST_PER_S = 50
"""Documents a second, below which a measurement is given up."""
SLOWEST_BYTES_PER_S = 200_000
LOOK_EVERY_S = 0.05
STOP_WITHIN_S = 30.0

ASSIGNED = "SELECT count(*) FROM {index}.positions"
COMMITTED = "SELECT coalesce(sum(next_offset), 0) FROM {index}.positions"
STORED = "SELECT (SELECT count(*) FROM {index}.documents), (SELECT count(*) FROM {index}.chunks)"
WHEN = "extract(epoch FROM {moment})::float8"
NOTED = "pg_xact_commit_timestamp(xmin)"


class MeasurementFailed(HeadraceError):
    """A program did not do what was to be measured."""

    part = "bench"


class Seen(NamedTuple):
    """What a look at a program found out, before it was told to end."""

    seconds: float
    cpu: dict[str, float]
    peak_mb: float
    fifth_mb: float
    calls: int | None
    latency: Latency | None


def environment(settings: Settings) -> dict[str, str]:
    """Return an environment in which a program of ours has these settings, whatever the user's own say."""
    environ = {name: value for name, value in own_environ().items() if not name.startswith(PREFIX)}
    for name in fields():
        value = value_of(settings, name)
        if value is not None:
            environ[variable(name)] = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    return environ


class Measurement:
    """One program, one topic and one index, all its own; *samples* is where a profile is to be written, if any."""

    def __init__(
        self, program: str, case: Case, settings: Settings, folder: Path, site: Site, *, samples: Path | None = None
    ) -> None:
        self._program = program
        self._case = case
        self._settings = settings
        words = ARGUMENTS[program] if samples is None else (*SAMPLED, str(samples), *ARGUMENTS[program][2:])
        self._command = Command((sys.executable, *words), folder, folder / "program.log", environment(settings))
        self._site = site
        self._samples = samples
        self._index = sql.identifier(settings.store.index)
        self._size = size_of(case)

    async def run(self, topic: Topic) -> Run:
        """Start the program, let documents come, and look on until everything is stored and committed.

        Raises MeasurementFailed where the program dies, is too slow, or has not done exactly what it was to do.
        """
        async with self._site.connection() as watcher, self._started() as child:
            await self._until(ASSIGNED, self._settings.kafka.partitions, watcher, child, READY_WITHIN_S)
            await self._until_all_joined()
            seen = await self._look_on(topic, watcher, child)
            await child.stop(signal.SIGTERM, patience=STOP_WITHIN_S)
            if child.returncode != 0:
                raise self._failed(f"ended with code {child.returncode}")
        return Run(
            program=self._program,
            case=self._case,
            calls=seen.calls,
            seconds=round(seen.seconds, 3),
            documents_per_s=round(self._case.published / seen.seconds, 1),
            mb_per_s=round(self._size / MB / seen.seconds, 2),
            cpu=Cpu(**{name: round(spent * 1000 / self._case.published, 4) for name, spent in seen.cpu.items()}),
            peak_mb=round(seen.peak_mb, 1),
            fifth_mb=round(seen.fifth_mb, 1),
            latency=seen.latency,
        )

    async def _look_on(self, topic: Topic, watcher: Connection, child: Child) -> Seen:
        case, end = self._case, topic.end(self._case)
        await self._set_the_scene(watcher)
        ahead = await watcher.fetchval(f"SELECT {WHEN.format(moment='clock_timestamp()')}") - time.time()
        pids = {**self._site.pids, "program": child.pid}
        before = cpu_of_all(pids)
        self._sample(child)
        opened = await topic.open()
        within = READY_WITHIN_S + case.published / (case.rate or SLOWEST_PER_S) + self._size / SLOWEST_BYTES_PER_S
        await self._until(COMMITTED, end - case.published + case.published // 5, watcher, child, within)
        fifth = peak_mb(child.pid)
        await self._until(COMMITTED, end, watcher, child, within)
        self._sample(child)
        after = cpu_of_all(pids)
        table = "positions" if case.workload is Workload.UNCHANGED else "documents"
        last = await watcher.fetchval(f"SELECT max({self._when(table)}) FROM {self._index}.{table}")  # noqa: S608 - a name
        return Seen(
            seconds=last - ahead - opened,
            cpu={name: after[name] - before[name] for name in pids},
            peak_mb=peak_mb(child.pid),
            fifth_mb=fifth,
            calls=await self._checked(watcher),
            latency=await self._latency(watcher, topic, opened, ahead),
        )

    async def _set_the_scene(self, watcher: Connection) -> None:
        await checkpoint(watcher)
        if (provider := self._site.provider) is not None:
            await provider.reset()
            rate = self._case.error_rate if self._program == WORKER else 0.0  # the bare loop would end
            faults = (Fault(kind="unavailable", probability=rate),) if rate else ()
            await provider.set(Behaviour(latency=Fixed(self._case.latency_ms or 0), faults=faults))

    def _sample(self, child: Child) -> None:
        if self._samples is not None:
            os.kill(child.pid, signal.SIGUSR1)

    async def _until(self, query: str, number: int, watcher: Connection, child: Child, within: float) -> None:
        """Look until the answer has reached *number*."""
        deadline = time.monotonic() + within
        while (seen := await watcher.fetchval(query.format(index=self._index))) < number:
            if child.returncode is not None:
                raise self._failed(f"ended with code {child.returncode}")
            if time.monotonic() > deadline:
                raise self._failed(f"was at {seen:,} of {number:,} after {within:.0f} s")
            await asyncio.sleep(LOOK_EVERY_S)

    async def _until_all_joined(self) -> None:
        """Wait until each of several workers has partitions."""
        wanted = min(self._case.workers, self._settings.kafka.partitions)
        if wanted == 1 or self._program == BARE:
            return
        deadline = time.monotonic() + READY_WITHIN_S
        async with KafkaView(self._settings.kafka) as view:
            while True:
                group = await view.group(self._settings.group, self._settings.kafka.topic)
                if sum(bool(member.partitions) for member in group.members) >= wanted:
                    return
                if time.monotonic() > deadline:
                    raise self._failed(f"has {len(group.members)} of {wanted} members after {READY_WITHIN_S:.0f} s")
                await asyncio.sleep(LOOK_EVERY_S)

    async def _checked(self, watcher: Connection) -> int | None:
        """See that every document is stored once and was embedded once; return the number of calls."""
        case, provider = self._case, self._site.provider
        rows = case.published + case.rows
        stored = await watcher.fetchrow(STORED.format(index=self._index))
        documents_there, chunks_there = tuple(stored or (0, 0))
        if documents_there != rows or chunks_there < rows or (case.embedded is not None and chunks_there != rows):
            raise self._failed(f"stored {documents_there} documents and {chunks_there} chunks instead of {rows}")
        if provider is None:
            return None
        stats = await provider.stats()
        wanted = case.published if self._program == BARE else case.embedded
        if stats.repeated or (wanted is not None and stats.paid != wanted):
            raise self._failed(f"embedded {stats.paid} texts, {stats.repeated} of them again, instead of {wanted}")
        return stats.calls

    async def _latency(self, watcher: Connection, topic: Topic, opened: float, ahead: float) -> Latency | None:
        """Return how long documents took that arrived one by one, or the one of the quiet tenant."""
        when = self._when("documents")
        if topic.due:
            rows = await watcher.fetch(f"SELECT id, {when} AS moment FROM {self._index}.documents")  # noqa: S608 - a name
            took = [row["moment"] - ahead - topic.due[row["id"]] for row in rows if row["id"] in topic.due]
        elif self._case.workload is Workload.QUIET:
            query = f"SELECT {when} FROM {self._index}.documents WHERE tenant = $1"  # noqa: S608 - a name
            took = [await watcher.fetchval(query, QUIET_TENANT) - ahead - opened]
        else:
            return None
        took.sort()
        p50, p95, p99 = (round(took[min(len(took) - 1, len(took) * part // 100)] * 1000, 1) for part in (50, 95, 99))
        return Latency(p50_ms=p50, p95_ms=p95, p99_ms=p99)

    def _when(self, table: str) -> str:
        """Return the expression that says when a row was there: as its transaction ended, or began."""
        began = "saved_at" if table == "positions" else "stored_at"
        return WHEN.format(moment=NOTED if self._site.notes_commits else began)

    def _failed(self, what: str) -> MeasurementFailed:
        said = tail(self._command.log)
        return MeasurementFailed(f"the {self._program} {what}" + (f"; it said:\n{said}" if said else ""))

    @asynccontextmanager
    async def _started(self) -> AsyncIterator[Child]:
        child = Child(self._command)
        try:
            yield child
        finally:
            child.kill()
