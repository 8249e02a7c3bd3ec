"""What did a fault cost? Counted at the end of a scenario, and written down where somebody asks for it."""

import os
from pathlib import Path

import msgspec

from tests.scenarios.harness import Harness
from tests.scenarios.index import TABLES

ASKED_BY = "HEADRACE_TEST_FAULT_MATRIX"
"""Names the file that each scenario adds a line to."""
ORPHANS = f"""
SELECT 1 FROM {TABLES}.chunks LEFT JOIN {TABLES}.documents ON documents.tenant = chunks.tenant AND id = document_id
WHERE ordinal >= coalesce(chunk_count, 0) OR deleted_at IS NOT NULL
"""  # noqa: S608 - our name
"""Chunks that belong to no version of a document that is stored."""


class Cost(msgspec.Struct, frozen=True):
    """One scenario: how many documents it followed, and what is not as a user would want it.

    ``dead_lettered`` are documents that should have been stored, ``dead_letters`` all that lie there. ``recovered_s``
    counts from the end of the fault until everything was committed; None where the scenario does not say when that is.
    """

    scenario: str
    documents: int
    lost: int
    duplicated: int
    rolled_back: int
    dead_lettered: int
    dead_letters: int
    paid_twice: int
    recovered_s: float | None


async def report(scenario: str, harness: Harness) -> None:
    """Add the cost of *scenario* to the file that is asked for, if any."""
    if path := os.environ.get(ASKED_BY):
        _add(Path(path), await _cost(scenario, harness))


def _add(path: Path, cost: Cost) -> None:
    with path.open("ab") as file:
        file.write(msgspec.json.encode(cost) + b"\n")


async def _cost(scenario: str, harness: Harness) -> Cost:
    stored, origins, published = await harness.index.chunks(), await harness.index.origins(), harness.published
    letters = await harness.log.dead_letters()
    dead = {(letter.key or b"").decode(errors="replace") for letter in letters}
    wanted = {key for key, chunks in harness.expected.items() if chunks}
    return Cost(
        scenario=scenario,
        documents=len(harness.expected),
        lost=sum(identity not in dead for _, identity in wanted - stored.keys()),
        duplicated=len(await harness.index.fetch(ORPHANS)),
        rolled_back=sum(origin in published.get(key, ())[:-1] for key, origin in origins.items()),
        dead_lettered=len({identity for _, identity in wanted} & dead),
        dead_letters=len(letters),
        paid_twice=len(await harness.embedded_again()),
        recovered_s=harness.recovered_s,
    )
