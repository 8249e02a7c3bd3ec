"""What was measured, and how does it compare?"""

from collections.abc import Sequence
from enum import StrEnum
from statistics import median
from typing import Literal

import msgspec

BARE, WORKER = "bare loop", "worker"


class Workload(StrEnum):
    """What the topic holds, for the index it meets."""

    LOAD = "load"
    """Documents that it does not know."""
    UNCHANGED = "unchanged"
    """The very records that it has, as after an offset reset."""
    CHANGED = "changed"
    """All documents published again, one in twenty with another text."""
    UPDATES = "updates"
    """All documents with another text."""
    QUIET = "quiet"
    """A load of one tenant, and behind it one document of another."""


Sizes = Literal["fixed", "small", "mixed", "large", "huge"]
"""``small`` is around 900 characters, ``mixed`` mostly that and some of 20,000 and 500,000, the others ``LENGTHS``."""

VectorType = Literal["vector", "halfvec"]

CHANGED_ONE_IN = 20
LENGTHS = {"large": 5_000_000, "huge": 10_000_000}


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """What one run is about.

    ``characters`` is the length of every text where ``sizes`` is ``fixed``. ``rows`` are those of other documents that
    the tables hold before. ``rate`` is how many documents arrive in a second; where it is None all are there at once.
    ``latency_ms`` is None where the provider is not ours.
    """

    documents: int = 20_000
    dimensions: int = 1536
    sizes: Sizes = "fixed"
    characters: int = 900
    vector_type: VectorType = "vector"
    workload: Workload = Workload.LOAD
    latency_ms: int | None = 0
    error_rate: float = 0.0
    concurrency: int = 8
    workers: int = 1
    hnsw: bool = False
    rows: int = 0
    rate: float | None = None

    @property
    def published(self) -> int:
        """How many documents the topic holds."""
        return self.documents + (self.workload is Workload.QUIET)

    @property
    def is_cut(self) -> bool:
        """Whether documents are cut into several chunks."""
        return self.sizes == "mixed" or self.sizes in LENGTHS

    @property
    def embedded(self) -> int | None:
        """How many texts the provider is to be sent; None where a document is cut into several."""
        if self.is_cut:
            return None
        changed = {Workload.UNCHANGED: 0, Workload.CHANGED: -(-self.documents // CHANGED_ONE_IN)}
        return changed.get(self.workload, self.published)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be measured: *case* with each of the workloads, at each of the latencies, *repeat* times."""

    case: Case = Case()
    latencies_ms: tuple[int | None, ...] = (0, 50)
    workloads: tuple[Workload, ...] = (Workload.LOAD,)
    repeat: int = 1

    @property
    def compared(self) -> int:
        """How often at most what stands beside the bare loop is run: a few per cent want more runs than others."""
        return 2 * self.repeat - 1

    def cases(self) -> list[Case]:
        """Return what is to be run."""
        return [
            msgspec.structs.replace(self.case, workload=workload, latency_ms=latency)
            for workload in self.workloads
            for latency in self.latencies_ms
        ]


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """The limit of one stage alone. ``latency_ms`` is the provider's, where it takes part."""

    name: str
    documents: int
    documents_per_s: float
    latency_ms: int | None = None


class Cpu(msgspec.Struct, frozen=True, kw_only=True):
    """CPU-seconds for 1,000 documents, by process; ``program`` is the bare loop or the worker.

    None for what runs elsewhere.
    """

    program: float
    broker: float | None = None
    database: float | None = None
    provider: float | None = None


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds from the moment a document was due to be published until its transaction was committed."""

    p50_ms: float
    p95_ms: float
    p99_ms: float


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A program that took the whole topic to the index.

    ``seconds`` is from the moment the documents became readable, to a program that had joined its group and was
    waiting, until the transaction that stored the last of them was committed; where nothing is stored, until the
    positions were. CPU is counted over the same time and on until the positions were committed. ``peak_mb`` is the
    most memory the program held, start included, and ``fifth_mb`` the most until a fifth of its work was committed.
    ``calls`` is None where the provider is not ours to ask.
    """

    program: str
    case: Case
    calls: int | None
    seconds: float
    documents_per_s: float
    mb_per_s: float
    cpu: Cpu
    peak_mb: float
    fifth_mb: float
    latency: Latency | None = None


class Ratio(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's run against the bare loop's, where there is one, and its rate against the limit of each stage."""

    case: Case
    rate: float | None
    cpu: float | None
    of_stages: dict[str, float]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """Where CPU time went: *us* of it for a document, in a function itself (``own``) and with all it called."""

    name: str
    own_us: float
    us: float


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """Where a worker's CPU time goes: the microseconds of a document by step, by function, and in all."""

    documents: int
    us: float
    steps: Sequence[Step]
    functions: Sequence[Step]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was measured: ``medians`` holds one run for each program and case, ``runs`` every one."""

    software: str
    python: str
    cpus: int
    place: str
    plan: Plan
    stages: Sequence[Stage]
    medians: Sequence[Run]
    ratios: Sequence[Ratio]
    runs: Sequence[Run]
    profile: Profile | None = None


def medians_of(runs: Sequence[Run]) -> list[Run]:
    """Return the median of each number over the runs of one program in one case, in the order they first ran."""
    groups: dict[tuple[Case, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.case, run.program), []).append(run)
    return [_median(group) for group in groups.values()]


def ratios_of(medians: Sequence[Run], stages: Sequence[Stage]) -> list[Ratio]:
    """Compare the worker in each case with the bare loop and with the stages that know no other latency."""
    bare = {run.case: run for run in medians if run.program == BARE}
    return [
        Ratio(
            case=run.case,
            rate=ratio(run.documents_per_s, bare[run.case].documents_per_s) if run.case in bare else None,
            cpu=ratio(run.cpu.program, bare[run.case].cpu.program) if run.case in bare else None,
            of_stages={
                stage.name: ratio(run.documents_per_s, stage.documents_per_s)
                for stage in stages
                if stage.latency_ms in (None, run.case.latency_ms) and not run.case.is_cut
            },
        )
        for run in medians
        if run.program == WORKER
    ]


def ratio(one: float, other: float) -> float:
    """Return how many times the *other* the *one* is; 0 where there is no other."""
    return round(one / other, 3) if other else 0.0


def _median(runs: Sequence[Run]) -> Run:
    names = ("seconds", "documents_per_s", "mb_per_s", "peak_mb", "fifth_mb")
    numbers = {name: median(getattr(run, name) for run in runs) for name in names}
    calls = None if runs[0].calls is None else int(median(run.calls or 0 for run in runs))
    cpu = Cpu(**_medians(Cpu, [run.cpu for run in runs]))
    known = [run.latency for run in runs if run.latency is not None]
    latency = Latency(**_medians(Latency, known)) if known else None
    return msgspec.structs.replace(runs[0], calls=calls, cpu=cpu, latency=latency, **numbers)


def _medians(kind: type[msgspec.Struct], found: Sequence[Cpu | Latency]) -> dict[str, float]:
    """Return the median of each field that is known."""
    names = [name for name in kind.__struct_fields__ if getattr(found[0], name) is not None]
    return {name: median(getattr(one, name) for one in found) for name in names}
