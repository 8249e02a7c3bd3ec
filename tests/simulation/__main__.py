"""``python -m tests.simulation SEED`` tells what happens in a seed, step by step; ``FIRST-END`` runs many, quietly."""

import sys

from tests.simulation.run import simulate, simulate_all

first, dash, end = sys.argv[1].partition("-")
if dash:
    wrong, met = simulate_all(int(first), int(end))
    for what, times in sorted(met.items()):
        print(f"{times:10} {what}")  # noqa: T201 - this is a command
else:
    verdict = simulate(int(first), loud=True)
    print(f"{verdict.steps} steps, trace {verdict.trace}")  # noqa: T201 - this is a command
    wrong = [verdict] if verdict.wrong else []
for verdict in wrong:
    print(f"python -m tests.simulation {verdict.seed}    # {verdict.wrong}")  # noqa: T201 - this is a command
sys.exit(bool(wrong))
