"""How many calls may be on their way at once?"""

PROBE_AFTER = 100
"""Accepted calls before a number that was refused is tried again: 1 % of calls are refused at most."""

ENOUGH = 20
"""Accepted calls before a refusal may be blamed on how many were on their way."""


class Concurrency:
    """Between 1 and *most*: as many as are accepted together.

    A refusal is blamed on the number of calls only where fewer were accepted and as many never were. A round of
    successes adds one call, below a number that was refused; that one is tried again now and then.
    """

    __slots__ = ("_accepted", "_calls", "_limit", "_refused", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        self._limit = float(most)
        self._accepted = self._calls = 0
        self._refused: int | None = None

    def __repr__(self) -> str:
        return f"<Concurrency {self.limit} of {self.most}>"

    @property
    def limit(self) -> int:
        """The number of calls that may be on their way."""
        return int(self._limit)

    def succeeded(self, at_once: int) -> None:
        """Note a call that the provider took; with it so many were on their way."""
        self._calls += 1
        self._accepted = max(self._accepted, at_once)
        if self._refused is not None and self._accepted >= self._refused:
            self._refused = None
        is_next = self._refused is not None and self.limit + 1 >= self._refused
        self._limit = min(float(self.most), self._limit + 1.0 / (PROBE_AFTER if is_next else self._limit))

    def limited(self, at_once: int) -> bool:
        """Note a call that was too much; say whether that was because so many were on their way."""
        if self._calls < ENOUGH or at_once <= self._accepted:
            return False
        self._refused = at_once if self._refused is None else min(self._refused, at_once)
        self._limit = min(self._limit, float(self._refused - 1))
        return True

    def least(self) -> None:
        """Begin with one call again, after an outage."""
        self._limit = 1.0
