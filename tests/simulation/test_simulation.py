"""The whole pipeline, its order of events drawn from a seed, against everything that can fail around it.

Real: Pipeline, Intake, Embedding, Writing, Settling, Source, every decision in the core. In memory: broker and client
(``consumers/kafka/memory.py``), store, provider, dead-letter topic. Virtual: the clock, and who runs next. What is
checked stands in ``truth.py``, what is planted to see that it is checked in ``planted.py``.

``python -m tests.simulation SEED`` shows a seed step by step. HEADRACE_TEST_SEEDS sets how many are run.
"""

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.simulation.plan import FAULTS, OUTAGES
from tests.simulation.planted import BUGS, planted
from tests.simulation.run import simulate

SEEDS = int(os.environ.get("HEADRACE_TEST_SEEDS", "1000"))
ENOUGH_TO_MEET_ALL = 500
FOUND_WITHIN = 1000
ROOT = Path(__file__).parents[2]
PROGRAM = (sys.executable, "-m", "tests.simulation")

TO_BE_MET = (
    *FAULTS,
    *(f"{part} is out" for part in OUTAGES),
    *(
        "kill",
        "stop",
        "freeze",
        "freeze all and reset",
        "rebalance",
        "pause",
        "resume",
        "snapshot",
        "restore",
        "flood is held",
        "staged",
        "staged before",
        "forced",
        "given up at its deadline",
    ),
    *("Assigned", "Revoked", "Rewound", "CommitRefused", "PollFailed", "TextsReused", "CallFailed", "WriteFailed"),
    *(f"Resolved {outcome}" for outcome in ("stored", "unchanged", "superseded", "deleted", "dead_lettered")),
)


@pytest.mark.timeout(3600)
def test_no_order_of_events_breaks_an_invariant(tmp_path: Path) -> None:
    share = -(-SEEDS // (os.cpu_count() or 1))
    ranges = [f"{first}-{min(first + share, SEEDS)}" for first in range(0, SEEDS, share)]
    with ExitStack() as opened:
        files = [opened.enter_context((tmp_path / name).open("w")) for name in ranges]
        running = [
            opened.enter_context(subprocess.Popen([*PROGRAM, name], cwd=ROOT, stdout=file, stderr=subprocess.STDOUT))  # noqa: S603 - our own program
            for name, file in zip(ranges, files, strict=True)
        ]
    told = "".join((tmp_path / name).read_text() for name in ranges)
    assert [process.returncode for process in running] == [0] * len(running), told
    if SEEDS >= ENOUGH_TO_MEET_ALL:
        met = {what for line in told.splitlines() for times, what in [line.split(maxsplit=1)] if times != "0"}
        assert not set(TO_BE_MET) - met


def test_a_seed_is_the_same_run_again_in_this_process_and_in_another() -> None:
    for seed in range(20):
        told = simulate(seed)
        assert simulate(seed).trace == told.trace
        if seed % 7 == 0:
            ran = subprocess.run(  # noqa: S603 - our own program
                [*PROGRAM, str(seed)],
                cwd=ROOT,
                env=os.environ | {"PYTHONHASHSEED": str(seed)},
                capture_output=True,
                timeout=60,
                check=True,
            )
            assert ran.stdout.decode().splitlines()[-1] == f"{told.steps} steps, trace {told.trace}"


@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_that_is_planted_is_found(bug: str) -> None:
    with planted(bug):
        assert any(simulate(seed).wrong for seed in range(FOUND_WITHIN))
