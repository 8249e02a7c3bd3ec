"""What is measured for docs/performance.md, and which aims were reached?"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from compose.bench.results import BARE, WORKER, Case, Plan, Report, Run, Stage, Workload, ratio
from compose.bench.run import bench, report
from compose.bench.start import first_commit_seconds, help_seconds
from compose.bench.topic import Tell

AT_MOST_S = 10 * 60.0
"""After so long nothing is measured more than once: the whole stays below a quarter of an hour."""
FEW_DIMENSIONS, SHORT = 64, 200


class Aim(msgspec.Struct, frozen=True, kw_only=True):
    """What ought to be reached, and what was."""

    what: str
    aim: str
    reached: str
    met: bool


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run: what it measured, the aims beside it, and how many minutes it took.

    ``direct`` is the median of what the table with HNSW takes when it is written to directly.
    """

    report: Report
    direct: Stage
    aims: Sequence[Aim]
    minutes: float


class Cases:
    """The cases of the page, all of them as large as *documents* says."""

    def __init__(self, documents: int, dimensions: int) -> None:
        few, many = max(1, documents // 2), 25 * documents
        load = Case(documents=documents, dimensions=dimensions)
        self.load = load
        self.waiting = _like(load, latency_ms=50)
        # It is over in no time, of which the first fetch would be a good part.
        self.unchanged = _like(load, documents=4 * documents, workload=Workload.UNCHANGED)
        self.changed = _like(load, workload=Workload.CHANGED)
        self.updates = _like(load, workload=Workload.UPDATES)
        self.large = _like(load, documents=max(1, documents // 2500), sizes="large")
        self.of_sizes = [
            _like(load, documents=5 * documents, sizes="small"),
            _like(load, documents=max(1, documents // 4), sizes="mixed"),
            _like(load, documents=max(1, documents // 1000), sizes="huge"),
        ]
        self.arriving = _like(load, documents=max(10, documents // 10), rate=100.0, latency_ms=20)
        self.quiet = _like(load, workload=Workload.QUIET, latency_ms=20)
        narrow = _like(load, dimensions=min(dimensions, FEW_DIMENSIONS))
        self.few_rows, self.many_rows = _like(narrow, rows=few), _like(narrow, rows=many)
        self.long = _like(narrow, documents=many, characters=SHORT)
        self.hnsw = _like(load, documents=max(1, documents // 20), workload=Workload.UPDATES, hnsw=True)

    def turns(self) -> list[list[tuple[str, Case]]]:
        """Return programs and cases; those that are compared take turns, so that a machine that gets slower is fair.

        The first ones are compared with the bare loop, by a few per cent: they want more runs than the others.
        """
        loads = [(program, case) for case in (self.load, self.waiting) for program in (BARE, WORKER)]
        alone = [self.changed, self.updates, self.large, self.arriving, self.quiet]
        return [
            [*loads, (WORKER, self.unchanged)],
            *([(WORKER, case)] for case in alone),
            [(WORKER, self.few_rows), (WORKER, self.many_rows)],
        ]


async def measure_page(documents: int, dimensions: int, repeat: int, samples: Path, tell: Tell) -> Page:
    """Measure everything that the page shows. Raises what ``measure`` raises."""
    began = time.monotonic()
    cases = Cases(documents, dimensions)
    plan = Plan(case=cases.load, repeat=repeat)

    def times(most: int = repeat) -> Iterator[int]:
        return (n for n in range(most) if n == 0 or time.monotonic() - began < AT_MOST_S)

    async with bench(None, dimensions, tell) as here:
        help_s, first_s = await help_seconds(repeat), await first_commit_seconds(here, cases.load, repeat)
        stages = await here.stages(cases.load, plan.latencies_ms)
        compared, *others = cases.turns()
        runs = [await here.program(*one) for _ in times(plan.compared) for one in compared]
        runs += [await here.program(*one) for turn in others for _ in times() for one in turn]
        direct = []
        for _ in times():
            direct.append(await here.direct_writes(cases.hnsw))
            runs.append(await here.program(WORKER, cases.hnsw))
        runs += [await here.program(WORKER, case) for case in (cases.long, *cases.of_sizes)]
        profile = await here.profile(cases.load, samples)
    told = report(here.site, plan, stages, runs, profile)
    typical = sorted(direct, key=lambda stage: stage.documents_per_s)[len(direct) // 2]
    found = Found(cases, told.medians, typical)
    return Page(
        report=told,
        direct=typical,
        aims=[*found.aims(), *_of_start(help_s, first_s)],
        minutes=round((time.monotonic() - began) / 60, 1),
    )


class Found:
    """Looks up what the aims speak of."""

    def __init__(self, cases: Cases, medians: Sequence[Run], direct: Stage) -> None:
        self._cases = cases
        self._workers = {run.case: run for run in medians if run.program == WORKER}
        self._bare = {run.case: run for run in medians if run.program == BARE}
        self._direct = direct.documents_per_s

    def aims(self) -> list[Aim]:
        """Return every aim that a worker's runs decide."""
        cases, worker, bare = self._cases, self._workers, self._bare
        load, waiting = worker[cases.load], worker[cases.waiting]
        rate = [ratio(one.documents_per_s, bare[one.case].documents_per_s) for one in (load, waiting)]
        cpu = [ratio(one.cpu.program, bare[one.case].cpu.program) for one in (load, waiting)]
        long, peak = worker[cases.long], max(worker.values(), key=lambda run: run.peak_mb)
        large, unchanged = worker[cases.large], worker[cases.unchanged]
        rows = ratio(worker[cases.many_rows].documents_per_s, worker[cases.few_rows].documents_per_s)
        dimensions = cases.long.dimensions
        few, many = f"{cases.few_rows.rows:,}", f"{cases.many_rows.rows:,}"
        return [
            _at_least("rate, provider 0 ms, of the bare loop's", 0.85, rate[0]),
            _at_least("rate, provider 50 ms, of the bare loop's", 0.85, rate[1]),
            _at_most("CPU for a document, provider 0 ms, of the bare loop's", 1.25, cpu[0]),
            _at_most("CPU for a document, provider 50 ms, of the bare loop's", 1.25, cpu[1]),
            _at_least(
                "rate, provider 50 ms, of that with 0 ms", 0.95, ratio(waiting.documents_per_s, load.documents_per_s)
            ),
            _at_least(
                "all unchanged (offset reset), of the first load",
                4.0,
                ratio(unchanged.documents_per_s, load.documents_per_s),
            ),
            _at_least("bytes/s of 5 MB documents, of small ones'", 0.8, ratio(large.mb_per_s, load.mb_per_s)),
            *self._latencies(),
            *(_at_most(f"peak memory, {_short(case)}", 250.0, worker[case].peak_mb, " MB") for case in cases.of_sizes),
            _at_most(f"peak memory, the most of all cases ({_short(peak.case)})", 250.0, peak.peak_mb, " MB"),
            _at_most(
                f"growth of memory from {long.case.documents // 5:,} to {long.case.documents:,} documents "
                f"({dimensions} dimensions)",
                10.0,
                round(long.peak_mb - long.fifth_mb, 1),
                " MB",
            ),
            _at_least(f"rate with {many} rows in the table, of {few} ({dimensions} dimensions)", 0.9, rows),
            _at_least(
                "updates with HNSW, of direct writes to the same table",
                0.9,
                ratio(worker[cases.hnsw].documents_per_s, self._direct),
            ),
        ]

    def _latencies(self) -> Iterator[Aim]:
        arriving, quiet = self._workers[self._cases.arriving].latency, self._workers[self._cases.quiet].latency
        if arriving is not None:
            what = "publish to visible at 100 documents/s, provider 20 ms"
            yield _at_most(f"{what}: p50", 80.0, arriving.p50_ms, " ms")
            yield _at_most(f"{what}: p99", 200.0, arriving.p99_ms, " ms")
        if quiet is not None:
            what = f"one document of a quiet tenant behind another's {self._cases.quiet.documents:,}"
            yield _at_most(what, 2.0, round(quiet.p50_ms / 1000, 2), " s")


def _of_start(help_s: float, first_s: float) -> list[Aim]:
    return [
        _at_most("`headrace --help`", 200.0, round(help_s * 1000), " ms"),
        _at_most("`headrace run` on a ready stack, to its first commit", 2.0, first_s, " s"),
    ]


def _like(case: Case, **changes: object) -> Case:
    return msgspec.structs.replace(case, **changes)


def _at_least(what: str, wanted: float, reached: float) -> Aim:
    return Aim(what=what, aim=f"at least {wanted:g}", reached=f"{reached:.2f}", met=reached >= wanted)


def _at_most(what: str, wanted: float, reached: float, unit: str = "") -> Aim:
    shown = f"{reached:,.2f}" if unit in ("", " s") else f"{reached:,.0f}"
    return Aim(what=what, aim=f"at most {wanted:g}{unit}", reached=shown + unit, met=reached <= wanted)


def _short(case: Case) -> str:
    return f"{case.documents:,} {case.sizes} documents" if case.sizes != "fixed" else case.workload
