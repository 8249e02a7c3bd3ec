"""How far has a replay come, and what would it do?"""

from collections import Counter
from dataclasses import dataclass, field

from consumers.core.replaying import Plan
from schemas.fates import FateKind


@dataclass
class Tally:
    """How far it has come. ``total`` records are to be looked at; ``before`` were dealt with by an earlier run.

    ``meanwhile`` is how many another run dealt with at the same time, which does no harm.
    """

    total: int = 0
    looked_at: int = 0
    taken: int = 0
    before: int = 0
    done: Counter[FateKind] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    meanwhile: int = 0
    seconds: float = 0.0
    interrupted: bool = False


@dataclass
class Preview:
    """What an order would do: letters by fate, topic and code, and by what decoding makes of them today.

    ``unguarded`` of them may bring back a document whose tombstone was purged; None where that is not known.
    """

    before: int = 0
    fates: Counter[FateKind] = field(default_factory=Counter)
    topics: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    passing: Counter[str] = field(default_factory=Counter)
    failing: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    unguarded: int | None = 0

    def count(self, code: str, planned: Plan, *, wrong: bool) -> None:
        """Take a dead letter into account; *wrong* says that decoding refuses its original today as well."""
        self.fates[planned.kind] += 1
        self.codes[code] += 1
        if planned.parcel is not None:
            self.topics[planned.parcel.topic] += 1
        if planned.kind is FateKind.SKIPPED:
            self.skipped[planned.reason] += 1
        (self.failing if wrong else self.passing)[code] += 1
