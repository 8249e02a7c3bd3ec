"""``python -m tests.simulation SEED``: tell what happens in a seed, step by step. ``A-B`` runs a range, quietly."""

import sys

from tests.simulation.run import simulate

first, dash, last = sys.argv[1].partition("-")
if dash:
    found = [verdict for seed in range(int(first), int(last)) if (verdict := simulate(seed)).wrong]
    for verdict in found:
        print(f"seed {verdict.seed}: {verdict.wrong}")  # noqa: T201 - this is a command
    sys.exit(bool(found))
verdict = simulate(int(first), loud=True)
print(verdict)  # noqa: T201 - this is a command
sys.exit(verdict.wrong is not None)
