"""How large may a call be, now that the provider complained of its size?

A provider that refuses a call for its size seldom says which limit was passed. Items, tokens and bytes are limited
apart from one another, so two things are known: a call that was accepted clears its numbers of all suspicion, and a
call that was refused passed at least one limit.
"""

from dataclasses import replace

from consumers.core.batching import BatchLimits

Amounts = tuple[int, int, int]
"""Items, tokens and bytes of a call."""

MOST_REFUSALS = 32
"""Refusals kept. Each halves a limit, so that there are seldom more than a few."""


class LearnedLimits:
    """Lower the limits of a call as far as refusals show it to be needed, for the life of the process.

    A limit is never lower than what was accepted, so that refusals which blame the size wrongly end by themselves; it
    is never below one item, and never above what was configured. The refusal of an item that travelled alone says
    nothing of how many may travel together.
    """

    def __init__(self, configured: BatchLimits) -> None:
        """Begin with what is configured."""
        self._configured = configured
        self._accepted: Amounts = (0, 0, 0)
        self._refused: list[Amounts] = []
        self.limits = configured

    def __repr__(self) -> str:
        limits = self.limits
        return f"<LearnedLimits {limits.items} items, {limits.tokens} tokens, {limits.size} bytes>"

    def allows(self, items: int, tokens: int, size: int) -> bool:
        """Say whether such a call is within the limits; an item alone always is, for it can not be made smaller."""
        limits = self.limits
        return items <= 1 or (items <= limits.items and tokens <= limits.tokens and size <= limits.size)

    def accepted(self, items: int, tokens: int, size: int) -> BatchLimits:
        """Remember that a call of this size was taken; return the limits now in force."""
        most = max(self._accepted[0], items), max(self._accepted[1], tokens), max(self._accepted[2], size)
        if most != self._accepted:
            self._accepted = most
            if self._refused:
                self._conclude()
        return self.limits

    def refused(self, items: int, tokens: int, size: int) -> BatchLimits:
        """Remember that the provider complained of the size of this call; return the limits now in force."""
        if items > 1:
            self._refused = [*self._refused, (items, tokens, size)][-MOST_REFUSALS:]
            self._conclude()
        return self.limits

    def _conclude(self) -> None:
        """Find limits that explain every refusal, those first that only one of the three can explain."""
        configured = (self._configured.items, self._configured.tokens, self._configured.size)
        limits = list(configured)
        # What no limit explains any more, for as much was accepted, was not refused for its size.
        self._refused = [amounts for amounts in self._refused if self._suspects(amounts)]
        for amounts in sorted(self._refused, key=lambda amounts: len(self._suspects(amounts))):
            suspects = self._suspects(amounts)
            if any(limits[which] < amounts[which] for which in suspects):
                continue
            # The limit that the call came closest to is the likeliest; what is accepted later clears the innocent.
            which = max(suspects, key=lambda which: amounts[which] / configured[which])
            limits[which] = max(1, self._accepted[which], amounts[which] // 2)
        self.limits = replace(self._configured, items=limits[0], tokens=limits[1], size=limits[2])

    def _suspects(self, amounts: Amounts) -> list[int]:
        return [which for which in range(3) if amounts[which] > self._accepted[which]]
