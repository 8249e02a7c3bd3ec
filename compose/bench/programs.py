"""How is a whole program measured? From outside, as a process that does not know that it is looked at."""

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import asyncpg
from pydantic import SecretStr

from compose.bench.meter import cpu_of_all, peak_mb
from compose.bench.results import BARE, WORKER, Cpu, Plan, Run
from compose.bench.topic import GatedTopic
from compose.configuration import value_of
from compose.embedded.files import tail
from compose.embedded.processes import Child, Command, own_environ
from compose.fake_provider.behaviour import Behaviour, Fixed
from compose.fake_provider.process import FakeProvider
from compose.layers import PREFIX, fields, variable
from schemas import sql
from schemas.errors import HeadraceError
from schemas.settings import Settings

ARGUMENTS = {BARE: ("-m", "compose.bench.bare"), WORKER: ("-m", "compose", "run")}
READY_WITHIN_S = 60.0
SLOWEST_PER_S = 100
"""Documents a second, below which a measurement is given up."""
LOOK_EVERY_S = 0.05
STOP_WITHIN_S = 30.0

ASSIGNED = "SELECT count(*) FROM {index}.positions"
COMMITTED = "SELECT coalesce(sum(next_offset), 0) FROM {index}.positions"
STORED = "SELECT (SELECT count(*) FROM {index}.documents), (SELECT count(*) FROM {index}.chunks)"
LAST_COMMIT = """
SELECT extract(epoch FROM max(pg_xact_commit_timestamp(xmin)))::float8 FROM {index}.documents
"""

Watcher: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class MeasurementFailed(HeadraceError):
    """A program did not do what was to be measured."""

    part = "bench"


def environment(settings: Settings) -> dict[str, str]:
    """Return an environment in which a program of ours has these settings, whatever the user's own say."""
    environ = {name: value for name, value in own_environ().items() if not name.startswith(PREFIX)}
    for name in fields():
        value = value_of(settings, name)
        if value is not None:
            environ[variable(name)] = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    return environ


class Measurement:
    """One program, one topic and one index, all fresh; *pids* are the processes whose CPU is counted beside its own."""

    def __init__(
        self, program: str, settings: Settings, folder: Path, provider: FakeProvider, pids: Mapping[str, int]
    ) -> None:
        self._program = program
        self._settings = settings
        self._command = Command(
            (sys.executable, *ARGUMENTS[program]), folder, folder / "program.log", environment(settings)
        )
        self._provider = provider
        self._pids = pids
        self._index = sql.identifier(settings.store.index)

    async def run(self, plan: Plan, gate: GatedTopic, latency_ms: int) -> Run:
        """Start the program, open the gate, and look on until everything is stored and committed.

        Raises MeasurementFailed where the program dies, is too slow, or has not done exactly what it was to do.
        """
        async with self._watcher() as watcher, self._started() as child:
            await self._until(ASSIGNED, gate.partitions, watcher, child, READY_WITHIN_S)
            await watcher.execute("CHECKPOINT")
            await self._provider.reset()
            await self._provider.set(Behaviour(latency=Fixed(latency_ms)))
            pids = {**self._pids, "program": child.pid}
            before = cpu_of_all(pids)
            opened = await gate.open()
            within = READY_WITHIN_S + plan.documents / SLOWEST_PER_S
            await self._until(COMMITTED, gate.end(plan), watcher, child, within)
            after, peak = cpu_of_all(pids), peak_mb(child.pid)
            seconds = await watcher.fetchval(self._query(LAST_COMMIT)) - opened
            calls = await self._checked(watcher, plan)
            await child.stop(signal.SIGTERM, patience=STOP_WITHIN_S)
            if child.returncode != 0:
                raise self._failed(f"ended with code {child.returncode}")
        per_thousand = {name: round((after[name] - before[name]) * 1000 / plan.documents, 4) for name in pids}
        return Run(
            program=self._program,
            latency_ms=latency_ms,
            documents=plan.documents,
            calls=calls,
            seconds=round(seconds, 3),
            documents_per_s=round(plan.documents / seconds, 1),
            cpu=Cpu(**per_thousand),
            peak_mb=round(peak, 1),
        )

    async def _until(self, query: str, number: int, watcher: Watcher, child: Child, within: float) -> None:
        """Look until the answer has reached *number*."""
        deadline = time.monotonic() + within
        while (seen := await watcher.fetchval(self._query(query))) < number:
            if child.returncode is not None:
                raise self._failed(f"ended with code {child.returncode}")
            if time.monotonic() > deadline:
                raise self._failed(f"was at {seen:,} of {number:,} after {within:.0f} s")
            await asyncio.sleep(LOOK_EVERY_S)

    async def _checked(self, watcher: Watcher, plan: Plan) -> int:
        """See that every document is stored once and was embedded once; return the number of calls."""
        stored = tuple(await watcher.fetchrow(self._query(STORED)) or ())
        stats = await self._provider.stats()
        embedded = (stats.paid, stats.repeated)
        if stored != (plan.documents, plan.documents) or embedded != (plan.documents, 0):
            raise self._failed(
                f"stored {stored} documents and chunks and embedded {embedded[0]} texts, {embedded[1]} of them again, "
                f"instead of {plan.documents}"
            )
        return stats.calls

    def _query(self, query: str) -> str:
        return query.format(index=self._index)

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

    @asynccontextmanager
    async def _watcher(self) -> AsyncIterator[Watcher]:
        dsn = self._settings.store.dsn
        connection = await asyncpg.connect(dsn.get_secret_value() if dsn else None)
        try:
            yield connection
        finally:
            await connection.close()
