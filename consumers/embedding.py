"""How do texts become vectors? Gather, call, triage."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from consumers.core.batching import Batch, Batcher, ClosedBy, halves, tokens_of
from consumers.core.blame import Act, Blame, History, Policy, Verdict, judge
from consumers.core.chunking import LONG_TEXT, Chunker
from consumers.core.flight import Cause, Flight
from consumers.core.learned import LearnedLimits
from consumers.core.shared import Shared
from consumers.providers.lane import Lane
from consumers.providers.profiles import limits_of
from consumers.providers.protocol import Provider, Reply
from schemas.documents import Document
from schemas.errors import ConfigurationError, InputRejected, MalformedReply, ProviderError
from schemas.events import CallFailed, CallFinished, TextsReused
from schemas.index import DocumentKey
from schemas.settings import ProviderSettings
from schemas.status import State

Item = tuple[Flight, int]
"""A flight and the ordinal of one of its chunks."""


class Embedding:
    """Fan documents out to chunks, gather chunks into calls, and bring the vectors home.

    A document leaves by ``complete`` when its last vector has come, or by ``condemn`` when one of its texts can not be
    embedded. While ``held`` no call is sent; those on their way are counted by ``calls``.
    """

    def __init__(
        self,
        provider: Provider,
        chunker: Chunker,
        settings: ProviderSettings,
        dimensions: int,
        shared: Shared,
        *,
        complete: Callable[[Flight], None],
        condemn: Callable[[Flight, Cause], None],
    ) -> None:
        """Wire the stage."""
        self.lane = Lane(provider, settings)
        self._chunker = chunker
        self._dimensions = dimensions
        self._budget = shared.budget
        self._conditions = shared.conditions
        self._observe = shared.observe
        self._complete = complete
        self._condemn = condemn
        self._learned = LearnedLimits(limits_of(settings))
        self._batcher: Batcher[Item] = Batcher(self._learned.limits)
        self._policy = Policy(settings.max_attempts, settings.min_blame_s)
        self._ready: deque[Batch[Item]] = deque()
        self._work = asyncio.Event()
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._released = asyncio.Event()
        self._released.set()
        self._holding = asyncio.Event()
        self._troubled: set[int] = set()

    @property
    def calls(self) -> int:
        """How many calls are on their way."""
        return self.lane.calls

    def hold(self) -> None:
        """Send no further call, and let none wait for a retry."""
        self.lane.hold()
        self._released.clear()
        self._holding.set()

    def release(self) -> None:
        """Go on."""
        self.lane.release()
        self._holding.clear()
        self._released.set()

    def clear(self) -> None:
        """Forget what waits to be sent: its partitions were given up."""
        self._batcher.clear()
        self._ready.clear()

    async def submit(self, flights: Sequence[Flight], stored: Mapping[DocumentKey, frozenset[bytes]]) -> None:
        """Split documents and gather their chunks; a text that is *stored* for the same document is not sent."""
        for flight in flights:
            document = flight.subject
            if not isinstance(document, Document) or not flight.live:
                continue
            cut = self._chunker.chunks
            if len(document.text) > LONG_TEXT:
                chunks = await asyncio.to_thread(cut, document.text, document.content_type)
            else:
                chunks = cut(document.text, document.content_type)
            if not flight.tracker.live:
                continue  # given up while its text was cut
            # Intake has counted one vector, an earlier submission as many as there are chunks.
            growth = 4 * self._dimensions * (len(chunks) - max(1, len(flight.chunks)))
            flight.fan_out(chunks)
            flight.weight += growth
            self._budget.grow(growth)
            self._gather(flight, stored.get((document.tenant, document.id), frozenset()))
        self._work.set()

    def _gather(self, flight: Flight, stored: frozenset[bytes]) -> None:
        now = time.monotonic()
        reused = 0
        for ordinal, chunk in enumerate(flight.chunks):
            if chunk.hash in stored:
                reused += 1
                continue
            size = len(chunk.text.encode())
            self._ready.extend(self._batcher.add((flight, ordinal), tokens_of(size), size, now))
        if reused:
            flight.missing -= reused
            self._observe(TextsReused(reused))
            if flight.missing == 0:
                self._complete(flight)

    async def run(self) -> None:
        """Send batches through the semaphore until cancelled."""
        async with asyncio.TaskGroup() as calls:
            while True:
                await self._slots.acquire()
                await self._released.wait()
                batch = await self._next_batch()
                if not self._learned.allows(len(batch.items), batch.tokens, batch.size):
                    self._halve(batch.items)
                    self._slots.release()
                elif self._released.is_set():
                    calls.create_task(self._travel(batch))
                else:
                    self._ready.appendleft(batch)
                    self._slots.release()

    async def _next_batch(self) -> Batch[Item]:
        while not self._ready:
            self._work.clear()
            wait = self._batcher.until_next(time.monotonic())
            if wait is None or wait > 0:
                try:
                    async with asyncio.timeout(wait):
                        await self._work.wait()
                except TimeoutError:
                    continue
            elif (due := self._batcher.due(time.monotonic())) is not None:
                return due
        return self._ready.popleft()

    async def _travel(self, batch: Batch[Item]) -> None:
        try:
            await self._call_until_judged(batch)
        finally:
            self._slots.release()
            self._work.set()
            self._troubled.discard(id(batch))
            if not self._troubled:
                self._conditions.clear("provider")

    async def _call_until_judged(self, batch: Batch[Item]) -> None:
        history = History(size=len(batch.items), failures=0)
        while True:
            await self.lane.turn(batch.tokens)
            items = [item for item in batch.items if item[0].live and item[0].chunks[item[1]].vector is None]
            if not items:
                self.lane.give_back()
                return
            began = time.monotonic()
            try:
                reply = await self.lane.send([flight.chunks[ordinal].text for flight, ordinal in items])
            except (ProviderError, ConfigurationError) as error:
                verdict, history = await self._judge(error, replace(history, size=len(items)), began)
                self._tell(error, verdict, len(items), began)
                if self._carry_out(verdict, items, error, history) or not await self._wait(batch, verdict, error):
                    return
            else:
                self._came_back(batch, items, reply, began)
                return

    async def _judge(self, error: Exception, before: History, began: float) -> tuple[Verdict, History]:
        """Return the verdict and what is known of the batch now, after a look at the lane where that is asked for."""
        assert isinstance(error, ProviderError | ConfigurationError)  # noqa: S101 - narrows for the type checker
        now = time.monotonic()
        history = replace(
            before,
            failures=before.failures + 1,
            malformed=before.malformed + isinstance(error, MalformedReply),
            lane_well=self.lane.history.well_since(began),
        )
        verdict = judge(error, history, self._policy, now, random.random())  # noqa: S311 - jitter, no secret
        while verdict.act is Act.PROBE:
            well = await self.lane.ask(verdict.probes)
            history = replace(history, probed=True, lane_well=well, sure=well and verdict.probes > 1)
            if not well:  # so the failures before may have been the provider's as well
                history = replace(history, counted=0, first_counted=None)
            verdict = judge(error, history, self._policy, now, random.random())  # noqa: S311 - jitter, no secret
        if verdict.counts:
            first = now if history.first_counted is None else history.first_counted
            history = replace(history, counted=history.counted + 1, first_counted=first)
        return verdict, replace(history, probed=False, sure=False)

    def _carry_out(self, verdict: Verdict, items: list[Item], error: Exception, history: History) -> bool:
        """Split or condemn; say whether that ends the batch."""
        if verdict.act is Act.SPLIT:
            if isinstance(error, InputRejected) and error.oversized:
                self._batcher.limits = self._learned.refused(*_amounts(items))
            self._halve(items)
        elif verdict.act is Act.DEAD_LETTER:
            self._condemn(items[0][0], Cause("embed", verdict.code, str(error), history.failures))
        else:
            return False
        return True

    def _halve(self, items: list[Item]) -> None:
        self._ready.extendleft(reversed(halves(Batch(items), _sizes(items))))
        self._work.set()

    async def _wait(self, batch: Batch[Item], verdict: Verdict, error: Exception) -> bool:
        """Wait for the verdict's delay, with intake held if the batch is not to blame.

        An outage that is over ends the wait early; False where a hold ended it.
        """
        if verdict.blame in (Blame.PROVIDER, Blame.CONFIGURATION):
            state = State.BLOCKED if verdict.act is Act.BLOCK else State.THROTTLED
            self._troubled.add(id(batch))
            self._conditions.set("provider", state, str(error), time.monotonic())
        ends = {asyncio.ensure_future(event.wait()) for event in (self._holding, self.lane.recovered)}
        await asyncio.wait(ends, timeout=verdict.delay, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
        return not self._holding.is_set()

    def _tell(self, error: Exception, verdict: Verdict, texts: int, began: float) -> None:
        seconds = time.monotonic() - began
        name = type(error).__name__
        self._observe(CallFailed(self.lane.model, texts, seconds, name, str(error), verdict.act.value))

    def _came_back(self, batch: Batch[Item], items: list[Item], reply: Reply, began: float) -> None:
        now = time.monotonic()
        if not self.lane.told_to_wait:
            self._conditions.clear("provider")
        tokens, size = batch.tokens, batch.size
        if len(items) != len(batch.items):
            _, tokens, size = _amounts(items)
        self._batcher.limits = self._learned.accepted(len(items), tokens, size)
        fill = len(items) / self._batcher.limits.items
        self._observe(
            CallFinished(self.lane.model, len(items), reply.tokens, size, now - began, batch.closed_by.value, fill)
        )
        for place, ((flight, ordinal), vector) in enumerate(zip(items, reply.vectors, strict=True)):
            if vector is None:
                self._fault(flight, ordinal, reply.faults[place], alone=len(items) == 1)
            elif flight.arrive(ordinal, vector) and flight.live:
                self._complete(flight)

    def _fault(self, flight: Flight, ordinal: int, said: str, *, alone: bool) -> None:
        """One vector of a good reply is unusable: its text is tried once alone, then it is given up."""
        if alone:
            self._condemn(flight, Cause("embed", "bad-vector", said, attempts=2))
            return
        size = len(flight.chunks[ordinal].text.encode())
        self._ready.append(Batch([(flight, ordinal)], tokens_of(size), size, ClosedBy.ALONE))
        self._work.set()


def _sizes(items: list[Item]) -> list[int]:
    return [len(flight.chunks[ordinal].text.encode()) for flight, ordinal in items]


def _amounts(items: list[Item]) -> tuple[int, int, int]:
    """Return the items, tokens and bytes of a call."""
    sizes = _sizes(items)
    return len(items), sum(map(tokens_of, sizes)), sum(sizes)
