"""Which verdicts wait until it is clear that they are no flood?

A flood in decoding is a partition's own; one in embedding or writing is everybody's.
"""

from typing import Generic, TypeVar

from consumers.core.flood import FloodGuard, Judgement
from schemas.settings import FloodSettings

Held = TypeVar("Held")
Scope = int | None
"""A partition, for what was met in decoding; None for what was met later."""


class Quarantine(Generic[Held]):
    """Hold verdicts, a guard a scope, and let go of them in order."""

    def __init__(self, settings: FloodSettings) -> None:
        self._settings = settings
        self._guards: dict[Scope, FloodGuard] = {}
        self._held: dict[Scope, list[Held]] = {}

    def __repr__(self) -> str:
        return f"<Quarantine {len(self)} held, floods in {sorted(map(str, self.floods()))}>"

    def __len__(self) -> int:
        return sum(map(len, self._held.values()))

    @property
    def waiting(self) -> bool:
        """Whether verdicts are held that will be judged by themselves."""
        return any(held and not self._guard(scope).flooded for scope, held in self._held.items())

    def passed(self, scope: Scope, count: int = 1) -> None:
        """Note messages that went through."""
        self._guard(scope).resolved(count)

    def hold(self, scope: Scope, verdict: Held, now: float) -> None:
        """Take a verdict in."""
        self._guard(scope).candidate(now)
        self._held.setdefault(scope, []).append(verdict)

    def judge(self, now: float) -> list[Held]:
        """Return the verdicts that are no flood."""
        free: list[Held] = []
        for scope in list(self._held):
            if self._guard(scope).judge(now) is Judgement.WRITE:
                free += self._held.pop(scope)
        return free

    def floods(self) -> dict[Scope, int]:
        """Return the scopes that are flooded, each with the number of its verdicts."""
        return {scope: len(self._held.get(scope, ())) for scope, guard in self._guards.items() if guard.flooded}

    def until_due(self, now: float) -> float | None:
        """Return the seconds until something is to be judged; None if nothing is."""
        return min((due for guard in self._guards.values() if (due := guard.until_due(now)) is not None), default=None)

    def resume(self) -> list[Held]:
        """Return everything that is held, and open a fresh window: an operator wants it so."""
        free = [verdict for held in self._held.values() for verdict in held]
        self._held.clear()
        for guard in self._guards.values():
            guard.reset()
        return free

    def forget(self) -> None:
        """Drop what is held: its partitions were given up. A flood of everybody's stays one."""
        self._held.clear()
        everybodys = self._guards.get(None)
        self._guards = {} if everybodys is None else {None: everybodys}
        if everybodys is not None and not everybodys.flooded:
            everybodys.reset()

    def _guard(self, scope: Scope) -> FloodGuard:
        guard = self._guards.get(scope)
        if guard is None:
            guard = self._guards[scope] = FloodGuard(self._settings)
        return guard
