"""How many calls may be on their way at once?"""

CUT_EVERY_S = 0.5
"""Calls that were sent together are refused together: that counts once."""


class Concurrency:
    """Additive increase, multiplicative decrease, between 1 and *most*.

    A round of successes adds one call; a rate limit halves the number.
    """

    __slots__ = ("_cut_at", "_limit", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        self._limit = float(most)
        self._cut_at = float("-inf")

    def __repr__(self) -> str:
        return f"<Concurrency {self.limit} of {self.most}>"

    @property
    def limit(self) -> int:
        """The number of calls that may be on their way."""
        return int(self._limit)

    def succeeded(self) -> None:
        """Note a call that the provider took."""
        self._limit = min(float(self.most), self._limit + 1.0 / self._limit)

    def limited(self, now: float) -> None:
        """Note a call that was too much for the provider."""
        if now - self._cut_at >= CUT_EVERY_S:
            self._cut_at = now
            self._limit = max(1.0, self._limit / 2.0)

    def least(self) -> None:
        """Begin with one call again, after an outage."""
        self._limit = 1.0
