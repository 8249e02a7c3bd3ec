"""When is a message done with? Resolve, dead letters, commit."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from consumers.core.blame import Act, History, Policy, judge
from consumers.core.flight import Cause, Fate, Flight
from consumers.core.shared import Shared
from consumers.kafka.source import Source
from schemas.dead_letters import DeadLetter
from schemas.errors import BrokerError, ConfigurationError, StoreError
from schemas.events import Resolved
from schemas.index import Outcome
from schemas.status import State

DEAD_LETTERS_AT_ONCE = 100
NO_POLICY = Policy(max_attempts=1, min_blame_s=0.0)


class DeadLetters(Protocol):
    """Where dead letters go."""

    async def send(self, letter: DeadLetter) -> None:
        """Return once the topic has acknowledged *letter*; raise BrokerUnavailable or BrokerMisconfigured."""


class Settling:
    """Resolve messages, after the dead-letter topic has acknowledged where that is their fate, and commit."""

    def __init__(
        self,
        source: Source,
        dead_letters: DeadLetters,
        shared: Shared,
        commit_interval_s: float,
        *,
        letter: Callable[[Flight, Cause], DeadLetter],
    ) -> None:
        """Wire the stage; *letter* writes the dead letter of a flight."""
        self.last_resolved = time.monotonic()
        self._source = source
        self._dead_letters = dead_letters
        self._shared = shared
        self._interval_s = commit_interval_s
        self._letter = letter
        self._condemned: deque[tuple[Flight, DeadLetter]] = deque()
        self._something_condemned = asyncio.Event()
        self._sending = 0

    @property
    def idle(self) -> bool:
        """Whether every dead letter was acknowledged."""
        return not self._condemned and self._sending == 0

    def resolve(self, flights: Iterable[Flight], outcome: Outcome) -> None:
        """Settle messages that are in the index, or need not be. Those of a closed tracker stay as they are."""
        count, oldest = 0, None
        for flight in flights:
            if flight.fate is Fate.RESOLVED or not flight.tracker.live:
                continue
            flight.fate = Fate.RESOLVED
            flight.tracker.resolve(flight.message.offset)
            self._shared.budget.release(flight.weight)
            count += 1
            oldest = flight.received if oldest is None else min(oldest, flight.received)
        if oldest is not None:
            self.last_resolved = time.monotonic()
            self._shared.observe(Resolved(outcome, count, self.last_resolved - oldest))

    def condemn(self, flight: Flight, cause: Cause) -> None:
        """Send a message to the dead-letter topic; it is resolved when that has acknowledged it."""
        if flight.live:
            flight.fate = Fate.CONDEMNED
            self._condemned.append((flight, self._letter(flight, cause)))
            self._something_condemned.set()

    def clear(self) -> None:
        """Forget the dead letters that wait: their partitions were given up, and their messages will come again."""
        self._condemned.clear()

    async def send_dead_letters(self) -> None:
        """Send what was condemned, in order, until cancelled."""
        while True:
            await self._something_condemned.wait()
            most = min(DEAD_LETTERS_AT_ONCE, len(self._condemned))
            letters = [self._condemned.popleft() for _ in range(most)]
            if not self._condemned:
                self._something_condemned.clear()
            self._sending += 1
            try:
                async with asyncio.TaskGroup() as sends:
                    for flight, letter in letters:
                        sends.create_task(self._send(flight, letter))
            finally:
                self._sending -= 1

    async def _send(self, flight: Flight, letter: DeadLetter) -> None:
        failures = 0
        while flight.fate is Fate.CONDEMNED and flight.tracker.live:
            try:
                await self._dead_letters.send(letter)
            except (BrokerError, ConfigurationError) as error:
                failures += 1
                history = History(size=1, failures=failures)
                verdict = judge(error, history, NO_POLICY, time.monotonic(), random.random())  # noqa: S311 - jitter
                state = State.BLOCKED if verdict.act is Act.BLOCK else State.THROTTLED
                self._shared.conditions.set("dead letters", state, str(error), time.monotonic())
                await asyncio.sleep(verdict.delay)
            else:
                self.resolve((flight,), Outcome.DEAD_LETTERED)
                break
        self._shared.conditions.clear("dead letters")

    async def commit_at_intervals(self) -> None:
        """Commit until cancelled; what fails is said again, and more, by the next."""
        while True:
            await asyncio.sleep(self._interval_s)
            await self.commit()

    async def commit(self) -> bool:
        """Commit what is resolved; False where Kafka or the index could not take it now."""
        try:
            await self._source.commit()
        except (BrokerError, StoreError, ConfigurationError) as error:
            self._shared.conditions.set("commit", State.THROTTLED, str(error), time.monotonic(), holds=False)
            return False
        self._shared.conditions.clear("commit")
        return True
