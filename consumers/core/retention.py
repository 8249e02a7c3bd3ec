"""Will the topic's retention take records before they are read?

A log's start moves in steps, a segment at a time. What is unread is in danger while it lies within the next step, and
reading does not get away from there: a worker that has just begun at the start of a topic does, one that is blocked
does not. A log that still has its first record has no retention at work.
"""

from dataclasses import dataclass

ZONE = 0.1
"""The part of a log next to its start that counts as the next step, where no larger step was seen."""
PATIENCE = 2
"""Looks in a row at which reading did not get away."""


@dataclass(slots=True)
class _Seen:
    start: int
    margin: int
    step: int = 0
    looks: int = 0


class Retention:
    """What a worker's partitions have looked like, one look after the other; ``at_risk`` are those in danger."""

    __slots__ = ("_seen", "at_risk")

    def __init__(self) -> None:
        self.at_risk: frozenset[int] = frozenset()
        self._seen: dict[int, _Seen] = {}

    def __repr__(self) -> str:
        return f"<Retention at_risk={sorted(self.at_risk)}>"

    def keep(self, partitions: frozenset[int]) -> None:
        """Forget every partition but these: the others were given up."""
        self._seen = {partition: seen for partition, seen in self._seen.items() if partition in partitions}
        self.at_risk &= partitions

    def look(self, partition: int, *, start: int, position: int, end: int) -> bool:
        """Take a look at a partition: where its log starts and ends, and how far it is resolved.

        Returns whether it has just come to be in danger.
        """
        margin = position - start
        seen = self._seen.setdefault(partition, _Seen(start, margin))
        seen.step = max(seen.step, start - seen.start)
        near = start > 0 and position < end and margin <= max(seen.step, int(ZONE * (end - start)))
        seen.looks = seen.looks + 1 if near and margin <= seen.margin else 0
        seen.start, seen.margin = start, margin
        before = self.at_risk
        self.at_risk = before | {partition} if seen.looks > PATIENCE else before - {partition}
        return partition in self.at_risk - before
