"""What the benchmark makes of its numbers, and of its documents."""

from pathlib import Path

import msgspec
import pytest

from compose.bench.markdown import page_of
from compose.bench.page import Cases, Found, Page
from compose.bench.profile import REST, profile_of, step_of
from compose.bench.results import (
    BARE,
    WORKER,
    Case,
    Cpu,
    Latency,
    Plan,
    Report,
    Run,
    Stage,
    Workload,
    medians_of,
    ratios_of,
)
from compose.bench.sampling import LOOP
from compose.bench.texts import before, documents


def test_documents_are_the_same_each_time_no_two_alike_and_as_long_as_asked() -> None:
    case = Case(documents=500, characters=900)
    made = list(documents(case))
    assert made == list(documents(case))
    assert len({one.text for one in made}) == len({one.id for one in made}) == 500
    assert all(890 < len(one.text) <= 900 for one in made)


def test_the_median_is_taken_of_each_number_by_program_and_latency() -> None:
    runs = [run(BARE, 0, 100.0), run(WORKER, 0, 60.0), run(BARE, 0, 300.0), run(WORKER, 0, 80.0), run(BARE, 0, 200.0)]
    bare, worker = medians_of(runs)
    assert (bare.program, bare.documents_per_s) == (BARE, 200.0)
    assert (worker.program, worker.documents_per_s) == (WORKER, 70.0)


def test_the_worker_is_compared_with_the_bare_loop_and_the_stages_of_its_own_latency() -> None:
    stages = [
        Stage(name="write", documents=1, documents_per_s=50.0),
        Stage(name="embed", documents=1, documents_per_s=20.0, latency_ms=9),
        Stage(name="embed", documents=1, documents_per_s=40.0, latency_ms=7),
    ]
    [ratio] = ratios_of([run(BARE, 7, 20.0, cpu=0.1), run(WORKER, 7, 10.0, cpu=0.3)], stages)
    assert (ratio.rate, ratio.cpu) == (0.5, 3.0)
    assert ratio.of_stages == {"write": 0.2, "embed": 0.25}


def run(program: str, latency_ms: int, rate: float, *, cpu: float = 0.1) -> Run:
    return Run(
        program=program,
        case=Case(latency_ms=latency_ms),
        calls=1,
        seconds=1.0,
        documents_per_s=rate,
        mb_per_s=1.0,
        cpu=Cpu(program=cpu, broker=0.1, database=0.1, provider=0.1),
        peak_mb=1.0,
        fifth_mb=1.0,
    )


@pytest.mark.parametrize(
    ("workload", "held", "same"),
    [
        (Workload.LOAD, 0, 0),
        (Workload.QUIET, 0, 0),
        (Workload.UNCHANGED, 40, 40),
        (Workload.CHANGED, 40, 38),
        (Workload.UPDATES, 40, 0),
    ],
)
def test_the_index_holds_before_a_run_what_its_workload_says(workload: Workload, held: int, same: int) -> None:
    case = Case(documents=40, workload=workload)
    made = list(documents(case))
    known = [before(case, document, n) for n, document in enumerate(made[:40])]
    assert sum(one is not None for one in known) == held
    assert sum(one == document for one, document in zip(known, made, strict=False)) == same
    assert case.embedded == len(made) - same


def test_a_stack_belongs_to_the_step_of_its_innermost_function_that_is_of_any() -> None:
    called = [
        "consumers/intake.py:Intake.run",
        "consumers/core/decoding.py:decode",
        "schemas/messages.py:Message.place",
    ]
    assert step_of(called) == "decode"
    assert step_of(called[:1]) == "intake"
    assert step_of(["asyncio/tasks.py:sleep"]) == REST


def test_a_profile_tells_the_time_of_a_document_by_step_and_by_function(tmp_path: Path) -> None:
    stacks = tmp_path / "stacks"
    stacks.write_text(f"consumers/intake.py:Intake.run;consumers/core/decoding.py:decode 300\n{LOOP} 100\n", "utf-8")
    profile = profile_of(stacks, 10)
    assert profile.us == 40.0
    assert [(step.name, step.us) for step in profile.steps] == [("decode", 30.0), (LOOP, 10.0)]
    [decode, _] = profile.functions
    assert (decode.name, decode.own_us, decode.us) == ("consumers/core/decoding.py:decode", 30.0, 30.0)


def test_each_aim_is_shown_beside_what_was_reached() -> None:
    page = made_up(rate=100.0)
    aims = {aim.what: aim for aim in page.aims}
    assert len(aims) == len(page.aims) == 17
    bare = aims["rate, provider 0 ms, of the bare loop's"]
    assert (bare.aim, bare.reached, bare.met) == ("at least 0.85", "1.00", True)
    assert not aims["all unchanged (offset reset), of the first load"].met
    assert aims["one document of a quiet tenant behind another's 20,000"].reached == "0.03 s"
    assert not aims["updates with HNSW, of direct writes to the same table"].met
    written = page_of(page)
    assert "| all unchanged (offset reset), of the first load | at least 4 | 1.00 | **no** |" in written
    assert all(aim.what in written for aim in page.aims)
    assert max(len(line) for line in written.splitlines() if not line.startswith("|")) <= 120


def made_up(rate: float) -> Page:
    """Return a page on which every run went at the same rate."""
    cases = Cases(20_000, 1536)
    latency = Latency(p50_ms=30.0, p95_ms=40.0, p99_ms=50.0)
    runs = [run(program, latency_ms, rate) for latency_ms in (0, 50) for program in (BARE, WORKER)]
    others = [case for turn in cases.turns() for _, case in turn if case not in (cases.load, cases.waiting)]
    runs += [
        msgspec.structs.replace(run(WORKER, 0, rate), case=case, latency=latency)
        for case in (*others, cases.hnsw, cases.long, *cases.of_sizes)
    ]
    direct = Stage(name="direct writes", documents=1000, documents_per_s=2 * rate)
    report = Report(
        software="headrace/0",
        python="3.11",
        cpus=2,
        place="here",
        plan=Plan(case=cases.load, repeat=3),
        stages=[Stage(name="write", documents=1, documents_per_s=rate)],
        medians=medians_of(runs),
        ratios=[],
        runs=runs,
    )
    return Page(report=report, direct=direct, aims=Found(cases, report.medians, direct).aims(), minutes=1.0)
