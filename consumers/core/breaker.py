"""Is it of any use to call the provider now?"""

from enum import StrEnum

from consumers.core.backoff import backoff

RUN = 5
"""Failures in a row, of any batches, that open the breaker."""
FIRST_PROBE_S = 1.0
LAST_PROBE_S = 15.0


class BreakerState(StrEnum):
    """Closed lets every call through, half-open one, open none."""

    CLOSED = "closed"
    HALF_OPEN = "half-open"
    OPEN = "open"


class Breaker:
    """Stop calling a provider that is away, and find out cheaply when it is back.

    A run of failures opens it. While it is open a known-good text is tried after 1 s, then ever less often, up to
    every 15 s; its success half-opens the breaker: one call goes out. A success of any call closes it.
    """

    __slots__ = ("_probes", "_run", "state")

    def __init__(self) -> None:
        self.state = BreakerState.CLOSED
        self._run = 0
        self._probes = 0

    def __repr__(self) -> str:
        return f"<Breaker {self.state.value}, {self._run} failures in a row>"

    def failed(self) -> bool:
        """Note that the provider did not answer a call; say whether that opened the breaker."""
        self._run += 1
        if self.state is BreakerState.OPEN or (self.state is BreakerState.CLOSED and self._run < RUN):
            return False
        self.state = BreakerState.OPEN
        self._probes = 0
        return True

    def answered(self) -> None:
        """Note that the provider answered a call, be it with a refusal of that call's texts."""
        self._run = 0
        self.state = BreakerState.CLOSED

    def probed(self, *, well: bool) -> None:
        """Note how the known-good text fared while the breaker was open."""
        self._probes += 1
        if well and self.state is BreakerState.OPEN:
            self.state = BreakerState.HALF_OPEN

    def until_probe(self, jitter: float) -> float:
        """Return the seconds to wait before the next probe; *jitter* is a random number from 0 to 1."""
        return backoff(self._probes + 1, jitter, first_s=FIRST_PROBE_S, longest_s=LAST_PROBE_S)
