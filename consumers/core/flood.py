"""Are these dead letters the documents' fault, or is something wrong with all of them?

Decided before the first is written: a release with a bug, a provider that refuses everything or a producer that sends
something else must not empty a topic into the dead-letter topic.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto

from schemas.settings import FloodSettings

ENOUGH = 20
"""Fewer candidates than this are no flood, whatever their share."""
HELD_S = 2.0
"""So long a verdict waits for company before it is judged."""


class Judgement(Enum):
    """What is done with the verdicts that are held."""

    WAIT = auto()
    WRITE = auto()
    FLOOD = auto()


@dataclass(slots=True)
class _Held:
    count: int = 0
    since: float = 0.0


class FloodGuard:
    """Watch what becomes of messages, and hold verdicts until it is clear that they are no flood.

    A flood is *run* dead letters in a row, or a share of *ratio* among the last *window* outcomes, with at least 20
    candidates. It lasts until ``reset``.
    """

    __slots__ = ("_held", "_outcomes", "_run", "_settings", "flooded")

    def __init__(self, settings: FloodSettings) -> None:
        self.flooded = False
        self._settings = settings
        self._outcomes: deque[bool] = deque(maxlen=settings.window)
        self._run = 0
        self._held = _Held()

    def __repr__(self) -> str:
        return f"<FloodGuard {'flooded' if self.flooded else 'calm'}, {self._held.count} held>"

    def resolved(self, count: int) -> None:
        """Note messages that were stored, or need not be."""
        if count:
            self._run = 0
            self._outcomes.extend([False] * min(count, self._settings.window))

    def candidate(self, now: float) -> None:
        """Note a message that is to be dead-lettered."""
        self._run += 1
        self._outcomes.append(True)
        if self._held.count == 0:
            self._held.since = now
        self._held.count += 1

    def judge(self, now: float) -> Judgement:
        """Say what is to be done with the verdicts that are held; WRITE lets go of them all."""
        if self.flooded:
            return Judgement.FLOOD
        if self._held.count == 0:
            return Judgement.WAIT
        if self._is_flood():
            self.flooded = True
            return Judgement.FLOOD
        if self._held.count >= ENOUGH or now - self._held.since >= HELD_S:
            self._held.count = 0
            return Judgement.WRITE
        return Judgement.WAIT

    def until_due(self, now: float) -> float | None:
        """Return the seconds until the verdicts that are held are judged at the latest; None if there are none."""
        return None if self._held.count == 0 or self.flooded else max(0.0, self._held.since + HELD_S - now)

    def reset(self) -> None:
        """Open a fresh window: an operator has looked at it."""
        self.flooded = False
        self._outcomes.clear()
        self._run = 0
        self._held.count = 0

    def _is_flood(self) -> bool:
        dead = sum(self._outcomes)
        if self._run >= self._settings.run:
            return True
        return dead >= ENOUGH and dead >= self._settings.ratio * len(self._outcomes)
