"""When may the next call be sent, so that no minute exceeds a quota?"""

from dataclasses import dataclass

MINUTE_S = 60.0
HELD_S = 1.0
"""A bucket holds what comes in so many seconds: a longer rest must not be followed by a burst over the limit."""


class TokenBucket:
    """Requests or tokens a minute, handed out evenly.

    An amount larger than the bucket is let through when the bucket is full, and owed afterwards. ``share`` is the part
    of the quota that is ours, from 0 to 1.
    """

    __slots__ = ("_at", "_level", "per_minute", "share")

    def __init__(self, per_minute: float, now: float, share: float = 1.0) -> None:
        self.per_minute = per_minute
        self.share = share
        self._at = now
        self._level = self._capacity

    def __repr__(self) -> str:
        return f"<TokenBucket {self._level:.1f} of {self.per_minute * self.share:.1f}/min>"

    @property
    def _per_second(self) -> float:
        return max(self.per_minute * self.share / MINUTE_S, 1e-9)

    @property
    def _capacity(self) -> float:
        return self._per_second * HELD_S

    def _wanted(self, amount: float) -> float:
        # Less than a request a second still has to let one whole request through when it is due.
        return min(amount, max(self._capacity, 1.0)) if amount > 1.0 else amount

    def until(self, amount: float, now: float) -> float:
        """Return the seconds until *amount* may be taken; 0 if it may be now."""
        self._fill(now)
        missing = self._wanted(amount) - self._level
        return max(0.0, missing / self._per_second)

    def take(self, amount: float, now: float) -> None:
        """Take *amount*, of which the bucket may stay in debt."""
        self._fill(now)
        self._level -= amount

    def _fill(self, now: float) -> None:
        gained = (now - self._at) * self._per_second
        self._level = min(max(self._capacity, 1.0), self._level + gained)
        self._at = now


@dataclass(frozen=True, slots=True)
class Backlog:
    """A partition's lag, whether it is ours, and the position up to which it is done."""

    lag: int
    ours: bool
    position: int = 0


def share_of(backlogs: list[Backlog], last: float) -> float:
    """Return a worker's share of a quota: its partitions with lag / all partitions with lag.

    Without any lag the partitions themselves are compared; with none of ours the *last* share stays, for a drain.
    """
    waiting = [one for one in backlogs if one.lag > 0] or backlogs
    ours = sum(one.ours for one in waiting)
    return ours / len(waiting) if ours else last


def part_of(before: list[Backlog], after: list[Backlog]) -> float | None:
    """Return our part of what the group did between two looks.

    None where partitions changed hands, or nothing was done.
    """
    if [one.ours for one in before] != [one.ours for one in after]:
        return None
    done = [max(0, now.position - then.position) for then, now in zip(before, after, strict=True)]
    ours = sum(moved for moved, one in zip(done, after, strict=True) if one.ours)
    return ours / sum(done) if any(done) else None
