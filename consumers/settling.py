"""When is a message done with? Resolve, dead letters, commit."""

import asyncio
import math
import random
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from consumers.core.blame import Act, History, Policy, judge
from consumers.core.flight import Cause, Fate, Flight
from consumers.core.quarantine import Quarantine, Scope
from consumers.core.shared import Shared
from consumers.kafka.source import Source
from consumers.retry import Retry
from schemas.dead_letters import DeadLetter
from schemas.errors import BrokerError, ConfigurationError, StoreError
from schemas.events import DocumentTraced, Resolved
from schemas.headers import TRACEPARENT
from schemas.index import Outcome
from schemas.settings import Settings
from schemas.status import State

DEAD_LETTERS_AT_ONCE = 100
NO_POLICY = Policy(max_attempts=1, min_blame_s=0.0)
PARTS = 10
"""So many times an interval somebody looks whether all is resolved, which is committed at once."""


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
        settings: Settings,
        *,
        letter: Callable[[Flight, Cause], DeadLetter],
        hold_calls: Callable[[bool], None],
    ) -> None:
        """Wire the stage; *letter* writes a dead letter, *hold_calls* stops the calls to the provider or not."""
        self.last_resolved = time.monotonic()
        self._source = source
        self._dead_letters = dead_letters
        self._shared = shared
        self._interval_s = settings.kafka.commit_interval_s
        self._traces = settings.telemetry.otlp_endpoint is not None
        self._quarantine: Quarantine[tuple[Flight, DeadLetter]] = Quarantine(settings.flood)
        self._letter = letter
        self._hold_calls = hold_calls
        self._retry = Retry()
        self._floods: frozenset[Scope] = frozenset()
        self._condemned: deque[tuple[Flight, DeadLetter]] = deque()
        self._something_condemned = asyncio.Event()
        self._sending = 0

    @property
    def idle(self) -> bool:
        """Whether every dead letter was acknowledged, but for those that a flood holds."""
        return not self._condemned and self._sending == 0 and not self._quarantine.waiting

    @property
    def flooded(self) -> bool:
        """Whether dead letters of more than one partition's decoding are held until an operator says so."""
        return None in self._floods

    def resolve(self, flights: Iterable[Flight], outcome: Outcome) -> None:
        """Settle messages that are in the index, or need not be. Those of a closed tracker stay as they are."""
        count = weight = 0
        oldest = math.inf
        if self._traces:
            flights = list(flights)
            self._trace(flights, outcome)
        for flight in flights:
            if flight.fate is Fate.RESOLVED or not flight.tracker.live:
                continue
            flight.fate = Fate.RESOLVED
            flight.tracker.resolve(flight.message.offset)
            count += 1
            weight += flight.weight
            oldest = min(oldest, flight.received)
        if count:
            self._shared.budget.release(weight, count)
            self.last_resolved = time.monotonic()
            self._shared.observe(Resolved(outcome, count, self.last_resolved - oldest))
            if outcome is not Outcome.DEAD_LETTERED:
                self._quarantine.passed(None, count)

    def _trace(self, flights: Iterable[Flight], outcome: Outcome) -> None:
        """Tell of those that are about to be resolved and are part of a trace."""
        now = time.monotonic()
        for flight in flights:
            message = flight.message
            traceparent = next((value for name, value in message.headers if name == TRACEPARENT), None)
            if traceparent is None or flight.fate is Fate.RESOLVED or not flight.tracker.live:
                continue
            parent, waited = traceparent.decode("ascii", "replace"), now - flight.received
            self._shared.observe(
                DocumentTraced(message.topic, message.partition, message.offset, parent, outcome, waited)
            )

    def decoded(self, partition: int, count: int) -> None:
        """Note messages of a partition that are documents, in the order in which others are condemned."""
        self._quarantine.passed(partition, count)

    def condemn(self, flight: Flight, cause: Cause) -> None:
        """Send a message to the dead-letter topic; it is resolved when that has acknowledged it.

        It is held before, until it is clear that it is no part of a flood; a replayed message never is.
        """
        if not flight.live:
            return
        flight.fate = Fate.CONDEMNED
        letter = self._letter(flight, cause)
        if letter.replays:
            self._condemned.append((flight, letter))
        else:
            scope = flight.message.partition if cause.stage == "decode" else None
            self._quarantine.hold(scope, (flight, letter), time.monotonic())
        self._something_condemned.set()

    def resume(self) -> None:
        """Write what a flood holds, and try again what could not be written: an operator has looked at it."""
        self._condemned.extend(self._quarantine.resume())
        self._tell_floods()
        self._something_condemned.set()
        self._retry.now()

    def clear(self) -> None:
        """Forget the dead letters that wait: their partitions were given up, and their messages will come again."""
        self._condemned.clear()
        self._quarantine.forget()
        self._tell_floods()

    async def send_dead_letters(self) -> None:
        """Judge and send what was condemned, in order, until cancelled."""
        while True:
            await self._wait_for_condemned()
            self._condemned.extend(self._quarantine.judge(time.monotonic()))
            self._tell_floods()
            most = min(DEAD_LETTERS_AT_ONCE, len(self._condemned))
            letters = [self._condemned.popleft() for _ in range(most)]
            self._sending += 1
            try:
                async with asyncio.TaskGroup() as sends:
                    for flight, letter in letters:
                        sends.create_task(self._send(flight, letter))
            finally:
                self._sending -= 1

    async def _wait_for_condemned(self) -> None:
        """Wait until there is something to send or to judge."""
        while not self._condemned:
            self._something_condemned.clear()
            due = self._quarantine.until_due(time.monotonic())
            try:
                async with asyncio.timeout(due):
                    await self._something_condemned.wait()
                    return
            except TimeoutError:
                return

    def _tell_floods(self) -> None:
        """Say which floods there are; one in decoding holds its partition, one behind it everything."""
        floods = self._quarantine.floods()
        if floods.keys() == self._floods:
            return
        if (None in floods) is not (None in self._floods):
            self._hold_calls(None in floods)
        self._floods = frozenset(floods)
        self._source.hold_back({partition for partition in floods if partition is not None})
        if not floods:
            self._shared.conditions.clear("flood")
            return
        where = ", ".join("the worker" if scope is None else f"partition {scope}" for scope in floods)
        reason = f"flood: the dead letters of {where} are held; look at what they say, then `headrace resume`"
        self._shared.conditions.set("flood", State.BLOCKED, reason, time.monotonic(), holds=None in floods)

    async def _send(self, flight: Flight, letter: DeadLetter) -> None:
        failures = in_vain = 0
        while flight.fate is Fate.CONDEMNED and flight.tracker.live:
            word = self._retry.word
            try:
                await self._dead_letters.send(letter)
            except (BrokerError, ConfigurationError) as error:
                failures += 1
                history = History(size=1, failures=failures)
                verdict = judge(error, history, NO_POLICY, time.monotonic(), random.random())  # noqa: S311 - jitter
                state = State.BLOCKED if verdict.act is Act.BLOCK else State.THROTTLED
                self._shared.conditions.set("dead letters", state, str(error), time.monotonic())
                in_vain += await self._retry.wait(word, verdict.delay, in_vain)
            else:
                if failures:
                    self._retry.now()
                self.resolve((flight,), Outcome.DEAD_LETTERED)
                break
        self._shared.conditions.clear("dead letters")

    async def commit_at_intervals(self) -> None:
        """Commit until cancelled, soon where nothing is in flight; what fails is said again, and more, by the next."""
        parts = 0
        while True:
            await asyncio.sleep(self._interval_s / PARTS)
            parts += 1
            if parts == PARTS or self._shared.budget.documents == 0:
                await self.commit()
                parts = 0

    async def commit(self) -> bool:
        """Commit what is resolved; False where Kafka or the index could not take it now."""
        try:
            await self._source.commit()
        except (BrokerError, StoreError, ConfigurationError) as error:
            self._shared.conditions.set("commit", State.THROTTLED, str(error), time.monotonic(), holds=False)
            return False
        self._shared.conditions.clear("commit")
        return True
