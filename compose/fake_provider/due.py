"""Which faults strike this call?"""

import math
from collections import deque
from random import Random
from typing import assert_never

from compose.fake_provider.behaviour import VECTOR_KINDS, Behaviour, Fault, Fixed, Lognormal, Uniform
from compose.fake_provider.call import Call
from compose.fake_provider.refusals import ENDING


class Rehearsal:
    """A behaviour in force, and how far its faults have come. The same seed and calls give the same faults."""

    def __init__(self, behaviour: Behaviour, now: float) -> None:
        self.behaviour = behaviour
        self._random = Random(behaviour.seed)  # noqa: S311 - has to be repeatable
        self._since = now
        self._left = [math.inf if fault.calls is None else fault.calls for fault in behaviour.faults]
        self._admitted: deque[float] = deque()
        self._longest = max((fault.over_s for fault in behaviour.faults), default=0.0)

    def strike(self, call: Call, now: float, in_flight: int) -> list[Fault]:
        """Return the faults of this call in their order; one that ends the call comes last."""
        while self._admitted and self._admitted[0] <= now - self._longest:
            self._admitted.popleft()
        struck: list[Fault] = []
        for place, fault in enumerate(self.behaviour.faults):
            if self._left[place] > 0 and self._concerns(fault, call, now, in_flight):
                self._left[place] -= 1
                struck.append(fault)
                if fault.kind in ENDING:
                    return struck
        self._admitted.append(now)
        return struck

    def latency(self) -> float:
        """Return the seconds that the next answer takes."""
        latency = self.behaviour.latency
        match latency:
            case Fixed():
                return latency.ms / 1000
            case Uniform():
                return self._random.uniform(latency.low_ms, latency.high_ms) / 1000
            case Lognormal():
                return self._random.lognormvariate(math.log(latency.median_ms), latency.sigma) / 1000
            case _:
                assert_never(latency)

    def shuffle(self, items: list[bytes]) -> None:
        """Put *items* into another order, never the one they had."""
        before = list(items)
        while len(set(items)) > 1 and items == before:
            self._random.shuffle(items)

    def _concerns(self, fault: Fault, call: Call, now: float, in_flight: int) -> bool:
        limits = (
            (fault.above_concurrency, in_flight),
            (fault.above_rps, self._with_this_one(fault, now)),
            (fault.above_items, len(call.texts)),
            (fault.above_tokens, call.tokens),
        )
        return (
            (fault.seconds is None or now < self._since + fault.seconds)
            and all(limit is None or value > limit for limit, value in limits)
            and (fault.containing is None or any(fault.containing in text for text in call.texts))
            and (fault.probability >= 1 or self._random.random() < fault.probability)
        )

    def _with_this_one(self, fault: Fault, now: float) -> float:
        """Return the calls a second over a fault's span if this one is admitted."""
        if fault.above_rps is None:
            return 0.0
        return (1 + sum(at > now - fault.over_s for at in self._admitted)) / fault.over_s


def concerned(fault: Fault, call: Call) -> list[int]:
    """Return the places of the texts whose vectors a fault concerns."""
    if fault.kind not in VECTOR_KINDS:
        return []
    return [i for i, text in enumerate(call.texts) if fault.containing is None or fault.containing in text]
