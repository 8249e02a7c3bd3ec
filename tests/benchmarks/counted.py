"""How much work is a document? Counted, not timed: the same on any machine, however busy.

The real pipeline takes documents from a broker in memory to statements that are recorded, on a clock that jumps.
Counted are the instructions of the interpreter and the calls of functions, Python's and C's, by step; the calls to the
provider, statements, transactions and commits; the bytes that are sent; and the most memory that a step holds at once.

``python -m tests.benchmarks.counted`` shows it beside the baseline, ``--write`` makes it the baseline. Instructions
differ between versions of Python, so the baseline holds a set for each that was written; the rest is the same in all.
"""

import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any
from unittest.mock import patch

import msgspec

from compose.bench.profile import REST, step_of
from compose.service import fingerprint_of, letter_writer
from consumers.core.chunking import Chunker
from consumers.core.vectors import unpack
from consumers.kafka import commits, source, starting
from consumers.kafka.memory import MemoryBroker
from consumers.kafka.memory_client import MemoryAdmin, MemoryConsumer
from consumers.pipeline import Parts, Pipeline
from consumers.providers import request
from consumers.providers.openai import OpenAIProvider
from consumers.providers.profiles import profile_of
from consumers.stores.pgvector import PgVectorStore
from consumers.stores.vectors import stored_form
from schemas.messages import TimestampType
from schemas.settings import KafkaSettings, ProviderSettings, Settings, StoreSettings
from tests.benchmarks.twins import CHARACTERS, NOW_MS, Database, Letters, Session, records, reply
from tests.simulation.loop import Process, simulated

ROOT = Path(__file__).parents[2]
BASELINE = Path(__file__).with_name("baseline.json")
OURS = ("schemas", "producers", "consumers")
DOCUMENTS, PARTITIONS, DIMENSIONS = 1000, 4, 64
BATCH, WIDE = 256, 1536
MAX_STEPS = 100_000
TOLERANCE = 0.05
SLACK = {"instructions a document": 1.0, "calls a document": 0.1}
"""What is not worth a word in a step that does next to nothing."""
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
HOW = "python -m tests.benchmarks.counted --write"

Numbers = dict[str, float]
Counts = dict[str, dict[str, Numbers]]
"""By workload or ``memory``, by what is counted, by step or kind."""


def count() -> tuple[Counts, Counts]:
    """Return what depends on the version of Python, and what does not."""
    by_version: Counts = {}
    everywhere: Counts = {"memory": {"most bytes at once, a text": memory()}}
    for workload, standing in (("load", None), ("unchanged", "redelivered")):
        done, instructions, calls = run(standing)
        by_version[workload] = {
            "instructions a document": {step: round(n / DOCUMENTS, 2) for step, n in sorted(instructions.items())},
            "calls a document": {step: round(n / DOCUMENTS, 2) for step, n in sorted(calls.items())},
        }
        everywhere[workload] = {"for 1,000 documents": {kind: n * 1000 / DOCUMENTS for kind, n in sorted(done.items())}}
    return by_version, everywhere


def run(standing: str | None) -> tuple[Counter[str], Counter[str], Counter[str]]:
    """Take documents through a worker whose index says *standing* of each; return what was done, and by which steps."""
    settings = Settings(
        kafka=KafkaSettings(topic="docs.raw", group="counted"),
        provider=ProviderSettings(base_url="http://127.0.0.1/v1", model="counted", dimensions=DIMENSIONS),
        store=StoreSettings(index="counted"),
    )
    done: Counter[str] = Counter()
    with ExitStack() as opened:
        loop = opened.enter_context(simulated(0, 0.0, MAX_STEPS))
        broker = MemoryBroker(settings.kafka.topic, PARTITIONS)
        broker.script.accepted = lambda *_: done.update(("commits",))
        for module, name, twin in (
            (source, "AIOKafkaConsumer", MemoryConsumer),
            (starting, "AIOKafkaAdminClient", MemoryAdmin),
        ):
            opened.enter_context(patch.object(module, name, lambda twin=twin, **options: twin(broker, **options)))
        for n, record in enumerate(records(DOCUMENTS)):
            broker.append(n % PARTITIONS, *record, NOW_MS, TimestampType.LOG_APPEND_TIME)
        counter = opened.enter_context(_Counter().counting())
        loop.run_until_complete(loop.start(Process("worker"), lambda: _work(settings, standing, done)))
    return done, counter.instructions, counter.calls


async def _work(settings: Settings, standing: str | None, done: Counter[str]) -> None:
    fingerprint = fingerprint_of(settings)
    store, provider = PgVectorStore(settings.store), OpenAIProvider(settings.provider)
    database = Database(settings.store.index, standing, done)
    store._connections = database  # type: ignore[assignment] # as much of them as a worker needs
    provider._session = Session(DIMENSIONS, done)  # type: ignore[assignment] # the same
    topic = settings.kafka.topic
    ledger = commits.Ledger(
        load=lambda: store.load_positions(settings.group, topic),
        save=lambda *told: store.advance_positions(settings.group, topic, *told),
        server=store.server,
        has_documents=_yes,
    )
    origin = source.Source(settings, fingerprint.digest, ledger, _unheard)
    await origin.start()
    parts = Parts(origin, provider, store, Letters(), Chunker(settings.chunking))
    pipeline = Pipeline(parts, settings, fingerprint, _unheard, letter_writer(settings))
    await pipeline.run(until_caught_up=True)


async def _yes() -> bool:
    return True


def _unheard(_: object) -> None:
    """Tell nobody."""


class _Counter:
    """Counts what our own code does, by step. What tests, twins and libraries do is left out."""

    def __init__(self) -> None:
        self.instructions: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self._steps: dict[CodeType, str | None] = {}

    @contextmanager
    def counting(self) -> "Iterator[_Counter]":
        """Count until the end of the block."""
        before = sys.gettrace(), sys.getprofile()
        sys.setprofile(self._called)
        sys.settrace(self._entered)
        try:
            yield self
        finally:
            sys.settrace(before[0])
            sys.setprofile(before[1])

    def _entered(self, frame: FrameType, _: str, __: object) -> "Callable[..., Any] | None":
        """A function begins, or a coroutine goes on: count each of its instructions."""
        if self._step_of(frame.f_code) is None:
            return None
        step, instructions = self._step(frame), self.instructions
        frame.f_trace_opcodes, frame.f_trace_lines = True, False

        def executed(_: FrameType, event: str, __: object) -> "Callable[..., Any]":
            if event == "opcode":
                instructions[step] += 1
            return executed

        return executed

    def _called(self, frame: FrameType, event: str, _: object) -> None:
        if event in ("call", "c_call") and self._step_of(frame.f_code) is not None:
            self.calls[self._step(frame)] += 1

    def _step(self, frame: FrameType) -> str:
        """Return the step that the innermost function of ours belongs to that is of any."""
        inner: FrameType | None = frame
        while inner is not None:
            if step := self._step_of(inner.f_code):
                return step
            inner = inner.f_back
        return REST

    def _step_of(self, code: CodeType) -> str | None:
        """Return the step of a function; empty for one of no step, None for one that is not ours."""
        if code not in self._steps:
            path = Path(code.co_filename)
            where = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
            ours = where.parts[0] in OURS and not where.stem.startswith("memory")
            step = step_of([f"{where.as_posix()}:{code.co_qualname}"])
            self._steps[code] = ("" if step == REST else step) if ours else None
        return self._steps[code]


def memory() -> Numbers:
    """Return the most bytes that a step holds at once for each text of a call, beside what it was given."""
    settings = ProviderSettings(base_url="http://127.0.0.1/v1", model="counted", dimensions=WIDE)
    profile, texts, body = profile_of(settings), [str(n).ljust(CHARACTERS) for n in range(BATCH)], reply(BATCH, WIDE)
    vectors = [vector for vector in unpack(body, BATCH, WIDE, shape=profile.shape).vectors if vector is not None]
    return {
        "request": _peak(lambda: request.body(profile, "counted", texts, WIDE)),
        "reply to vectors": _peak(lambda: unpack(body, BATCH, WIDE, shape=profile.shape)),
        "vectors to halfvec": _peak(lambda: stored_form(vectors, "halfvec")),
    }


def _peak(work: Callable[[], object]) -> float:
    work()  # what is made once is made now
    tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        kept = work()
        peak = tracemalloc.get_traced_memory()[1] - before
        del kept
    finally:
        tracemalloc.stop()
    return round(peak / BATCH)


class Baseline(msgspec.Struct):
    """What was counted when it was last agreed on."""

    everywhere: Counts
    by_version: dict[str, Counts]


def read() -> Baseline:
    """Return the baseline."""
    return msgspec.json.decode(BASELINE.read_bytes(), type=Baseline)


def write(by_version: Counts, everywhere: Counts) -> None:
    """Make this the baseline; that of other versions of Python is left as it is."""
    known = read().by_version if BASELINE.exists() else {}
    told = Baseline(everywhere, dict(sorted((known | {VERSION: by_version}).items())))
    BASELINE.write_bytes(msgspec.json.format(msgspec.json.encode(told), indent=2) + b"\n")


def changes(counted: Counts, baseline: Counts) -> tuple[list[str], list[str]]:
    """Return what became more by over 5 %, or is new, and what became less by as much, or is gone: a line each."""
    more, less = [], []
    for part, what, name in sorted({*_keys(counted), *_keys(baseline)}):
        now, before = (told.get(part, {}).get(what, {}).get(name, 0.0) for told in (counted, baseline))
        line = f"{part}, {what}, {name}: {before:,g} -> {now:,g}"
        slack = SLACK.get(what, 0.0)
        if now > before * (1 + TOLERANCE) + slack:
            more.append(line)
        elif now < before * (1 - TOLERANCE) - slack:
            less.append(line)
    return more, less


def _keys(counts: Counts) -> Iterator[tuple[str, str, str]]:
    for part, kinds in counts.items():
        for what, numbers in kinds.items():
            for name in numbers:
                yield part, what, name


def main(*words: str) -> None:
    """Show what has changed, or write the baseline."""
    by_version, everywhere = count()
    if "--write" in words:
        write(by_version, everywhere)
        return
    baseline = read()
    for counted, before in ((by_version, baseline.by_version.get(VERSION, {})), (everywhere, baseline.everywhere)):
        for key in _keys(counted):
            part, what, name = key
            was = before.get(part, {}).get(what, {}).get(name, 0.0)
            sys.stdout.write(f"{part:<10} {what:<28} {name:<44} {was:>12,.2f} {counted[part][what][name]:>12,.2f}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
