"""What was measured, and how does it compare?"""

from collections.abc import Sequence
from statistics import median

import msgspec

BARE, WORKER = "bare loop", "worker"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be measured. ``characters`` is the length of a text, which is one chunk."""

    documents: int = 20_000
    dimensions: int = 1536
    characters: int = 900
    latencies_ms: tuple[int, ...] = (0, 50)
    repeat: int = 1
    concurrency: int = 8


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """The limit of one stage alone. ``latency_ms`` is the provider's, where it takes part."""

    name: str
    documents: int
    documents_per_s: float
    latency_ms: int | None = None


class Cpu(msgspec.Struct, frozen=True, kw_only=True):
    """CPU-seconds for 1,000 documents, by process; ``program`` is the bare loop or the worker."""

    program: float
    broker: float
    database: float
    provider: float


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A program that took the whole topic to the index.

    ``seconds`` is from the moment the documents became readable, to a program that had joined its group and was
    waiting, until the transaction that stored the last of them was committed. CPU is counted over the same time and
    on until the positions were committed. ``peak_mb`` is the most memory the program held, start included.
    """

    program: str
    latency_ms: int
    documents: int
    calls: int
    seconds: float
    documents_per_s: float
    cpu: Cpu
    peak_mb: float


class Ratio(msgspec.Struct, frozen=True, kw_only=True):
    """The worker against the bare loop, and its rate against the limit of each stage."""

    latency_ms: int
    rate: float
    cpu: float
    of_stages: dict[str, float]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was measured: ``medians`` holds one run for each program and latency, ``runs`` every one."""

    software: str
    python: str
    cpus: int
    plan: Plan
    stages: Sequence[Stage]
    medians: Sequence[Run]
    ratios: Sequence[Ratio]
    runs: Sequence[Run]


def medians_of(runs: Sequence[Run]) -> list[Run]:
    """Return the median of each number over the runs of one program at one latency, in the order they first ran."""
    groups: dict[tuple[int, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.latency_ms, run.program), []).append(run)
    return [_median(group) for group in groups.values()]


def ratios_of(medians: Sequence[Run], stages: Sequence[Stage]) -> list[Ratio]:
    """Compare the worker at each latency with the bare loop and with the stages that know no other latency."""
    bare = {run.latency_ms: run for run in medians if run.program == BARE}
    return [
        Ratio(
            latency_ms=run.latency_ms,
            rate=_ratio(run.documents_per_s, bare[run.latency_ms].documents_per_s),
            cpu=_ratio(run.cpu.program, bare[run.latency_ms].cpu.program),
            of_stages={
                stage.name: _ratio(run.documents_per_s, stage.documents_per_s)
                for stage in stages
                if stage.latency_ms in (None, run.latency_ms)
            },
        )
        for run in medians
        if run.program == WORKER
    ]


def _median(runs: Sequence[Run]) -> Run:
    cpu = {name: median(getattr(run.cpu, name) for run in runs) for name in Cpu.__struct_fields__}
    numbers = {name: median(getattr(run, name) for run in runs) for name in ("seconds", "documents_per_s", "peak_mb")}
    calls = int(median(run.calls for run in runs))
    return msgspec.structs.replace(runs[0], calls=calls, cpu=Cpu(**cpu), **numbers)


def _ratio(one: float, other: float) -> float:
    return round(one / other, 3) if other else 0.0
