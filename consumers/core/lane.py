"""Is the provider well, as far as other calls can tell?"""

from collections import deque

REMEMBERED = 50
ENOUGH = 10
WELL_SHARE = 0.9


class LaneHistory:
    """The last calls of one provider and model.

    A failure counts against a batch only if the lane was well since: a known-good text was embedded, or at least 90 %
    of the last calls succeeded, ten or more of them after the failure.
    """

    __slots__ = ("_calls", "_probed_well")

    def __init__(self) -> None:
        self._calls: deque[tuple[float, bool]] = deque(maxlen=REMEMBERED)
        self._probed_well = float("-inf")

    def __repr__(self) -> str:
        return f"<LaneHistory {sum(ok for _, ok in self._calls)} of {len(self._calls)} well>"

    def called(self, now: float, *, well: bool) -> None:
        """Note a call of documents' texts."""
        self._calls.append((now, well))

    def probed(self, now: float, *, well: bool) -> None:
        """Note a call with a known-good text."""
        if well:
            self._probed_well = now

    def well_since(self, moment: float) -> bool:
        """Say whether the lane was seen well after *moment*."""
        if self._probed_well > moment:
            return True
        after = [well for when, well in self._calls if when > moment]
        return len(after) >= ENOUGH and sum(after) >= WELL_SHARE * len(after)
