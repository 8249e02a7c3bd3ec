"""Which documents wait for too long, and may they be given up?

A document has a deadline from its first poll in this assignment. Who waits longer is late, which is told. Given up is,
where that is wished, only what waits for the provider: a document that waits because of an operator's pause, of the
day's budget, or of what is blocked until somebody mends it, has its whole deadline again when that is over.
"""

from collections.abc import Mapping

from consumers.core.flight import Cause
from schemas.settings import ProviderSettings

DEADLINES_EVERY_S = 1.0
STAGE, CODE = "provider", "deadline"


class Deadlines:
    """Follow who is late; ``late`` counts them by partition, those without any left out."""

    __slots__ = ("_excused_until", "_gives_up", "late", "seconds")

    def __init__(self, settings: ProviderSettings) -> None:
        self.seconds = settings.deadline_s
        self.late: Mapping[int, int] = {}
        self._gives_up = settings.on_deadline == "dead-letter"
        self._excused_until = float("-inf")

    def __repr__(self) -> str:
        return f"<Deadlines {self.seconds:g} s, late {dict(self.late)}>"

    def before(self, now: float) -> float:
        """Return the time before which a document was polled that is late."""
        return now - self.seconds

    def look(self, late: Mapping[int, int]) -> dict[int, int]:
        """Take the number of late documents of each partition; return those of partitions that had none before."""
        began = {partition: count for partition, count in late.items() if count and partition not in self.late}
        self.late = {partition: count for partition, count in late.items() if count}
        return began

    def excuse(self, now: float) -> None:
        """Give every document its whole deadline again."""
        self._excused_until = now

    def given_up_before(self, now: float, *, excused: bool) -> float | None:
        """Return the time before which a document was polled that is to be given up if it waits for the provider.

        None where none is. *excused* says that documents wait for something else as well at the moment.
        """
        if excused:
            self.excuse(now)
        before = self.before(now)
        return before if self._gives_up and self._excused_until <= before else None


def cause(waited: float, settings: ProviderSettings, failures: int, said: str | None) -> Cause:
    """Return why a document is given up that *waited* so many seconds; *said* is what the provider said last."""
    reason = f"waited {waited:.0f} s for the provider, longer than provider.deadline_s = {settings.deadline_s:g}"
    return Cause(STAGE, CODE, f"{reason}: {said}" if said else reason, failures)
