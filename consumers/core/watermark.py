"""Is there memory for more documents?"""

from dataclasses import dataclass, field

CLEAR_BELOW = 0.95
"""Of the watermark: what was held back goes on only below this, so that it does not flicker."""


@dataclass(slots=True)
class Watermark:
    """Compare what the process holds with *limit* bytes, of which it may hold *percent*."""

    limit: int
    percent: float
    above: bool = field(default=False, init=False)

    def reason(self, resident: int, in_flight: int) -> str | None:
        """Say why nothing more is to be taken in, or None.

        While nothing is in flight nothing is held back: no waiting would free any memory.
        """
        mark = self.limit * self.percent / 100
        self.above = resident > mark * (CLEAR_BELOW if self.above else 1.0)
        if not (self.above and in_flight):
            return None
        return (
            f"memory: {_mb(resident)} of {_mb(self.limit)} are held, worker.max_memory_percent is {self.percent:g}: "
            "the documents in flight come first"
        )


def _mb(size: int) -> str:
    return f"{size / 1_000_000:,.0f} MB"
