"""How do texts become vectors? Gather, call, triage."""

import asyncio
import random
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice, repeat
from operator import itemgetter
from typing import Protocol

from consumers.core.batching import Batch, Batcher, ClosedBy, Gathered, halves, size_of, tokens_of
from consumers.core.blame import Act, Blame, History, Policy, Verdict, judge
from consumers.core.chunking import LONG_TEXT, Chunker
from consumers.core.deadlines import cause
from consumers.core.flight import Cause, Flight, is_huge
from consumers.core.footprint import Footprint, grow
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

Place = tuple[Flight, int]
"""A flight and the ordinal of one of its chunks."""
Paid = tuple[Flight, int, bytes]
"""The same with the vector that has come for it."""
Texts = list[list[Place]]
"""The texts of a call, each as all the places that wait for its vector: equal texts are sent once."""


class Index(Protocol):
    """Where vectors go: with their document, or before it where that is huge."""

    def store(self, flights: Iterable[Flight]) -> None:
        """Take documents that have all their vectors."""

    async def stage(self, vectors: Mapping[bytes, bytes]) -> bool:
        """Take vectors of huge documents, by the hashes of their texts; False where one is refused."""

    async def staged(self, hashes: Collection[bytes]) -> frozenset[bytes]:
        """Say which texts have their vectors there."""


class Embedding:
    """Fan documents out to chunks, gather chunks into calls, and bring the vectors home.

    A document leaves by ``index.store`` when its last vector has come, or by ``condemn`` when one of its texts can not
    be embedded. While ``held`` no call is sent; those on their way are counted by ``calls``.
    """

    def __init__(
        self,
        provider: Provider,
        chunker: Chunker,
        settings: ProviderSettings,
        footprint: Footprint,
        shared: Shared,
        *,
        index: Index,
        condemn: Callable[[Flight, Cause], None],
    ) -> None:
        """Wire the stage."""
        self.lane = Lane(provider, settings, shared.spending)
        self._chunker = chunker
        self._footprint = footprint
        self._budget = shared.budget
        self._conditions = shared.conditions
        self._observe = shared.observe
        self._spending = shared.spending
        self._index = index
        self._condemn = condemn
        self._learned = LearnedLimits(limits_of(settings))
        self._batcher: Batcher[Place] = Batcher(self._learned.limits)
        self._settings = settings
        self._policy = Policy(settings.max_attempts, settings.min_blame_s)
        self._ready: deque[Batch[Place]] = deque()
        self._work = asyncio.Event()
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._released = asyncio.Event()
        self._released.set()
        self._holding = asyncio.Event()
        self._troubled: set[int] = set()
        self._waiting: dict[int, tuple[Batch[Place], int]] = {}
        """Batches that wait to be sent, each with its failures so far."""

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

    def give_up(self, before: float, most: int) -> None:
        """Condemn at *most* so many documents that wait for the provider and were polled *before* a time.

        Those of which a text is on its way in a call are left alone: its vector is paid for.
        """
        late = self._late(before)
        now, said = time.monotonic(), self._conditions.reason("provider")
        for flight, failures in islice(late.items(), most):
            self._condemn(flight, cause(now - flight.received, self._settings, failures, said))
        if late:
            self._batcher.keep(lambda place: place[0].live)

    def _late(self, before: float) -> dict[Flight, int]:
        """Return documents that were polled *before* a time and of which nothing is under way, with their failures."""
        tried = [(flight, failed) for batch, failed in self._waiting.values() for flight in _flights(batch)]
        untried = chain(map(_first, self._batcher.items()), *map(_flights, self._ready))
        places, failures = Counter[Flight](), dict[Flight, int]()
        for flight, failed in chain(tried, zip(untried, repeat(0))):
            if flight.received <= before and flight.live:
                places[flight] += 1
                failures[flight] = max(failed, failures.get(flight, 0))
        # Each missing vector is waited for in one place: where they are not all here, some are in a call.
        return {flight: failed for flight, failed in failures.items() if places[flight] == flight.missing}

    async def submit(self, flights: Sequence[Flight], stored: Mapping[DocumentKey, frozenset[bytes]]) -> None:
        """Split documents and gather their chunks; a text that is *stored* for the same document is not sent."""
        gathered: defaultdict[str, list[Gathered[Place]]] = defaultdict(list)
        cut, now = self._chunker.chunks, time.monotonic()
        for flight in flights:
            document = flight.subject
            if not isinstance(document, Document) or not flight.live:
                continue
            if len(document.text) > LONG_TEXT:
                self._hand_over(gathered)
                chunks = await asyncio.to_thread(cut, document.text, document.content_type)
                now = time.monotonic()
            else:
                chunks = cut(document.text, document.content_type, flight.digest)
            known = stored.get((document.tenant, document.id), NOTHING) if stored else NOTHING
            if is_huge(len(chunks)):
                known |= await self._index.staged({chunk.hash for chunk in chunks} - known)
                now = time.monotonic()
            if not flight.tracker.live:
                continue  # given up while its text was cut
            if len(chunks) > 1:  # one is counted since the poll
                grow(flight, self._footprint.of(flight, document, len(chunks)) - flight.weight, self._budget)
            flight.fan_out(chunks)
            self._gather(flight, known, gathered[document.tenant], now)
        self._hand_over(gathered)

    def _gather(self, flight: Flight, stored: frozenset[bytes], gathered: list[Gathered[Place]], now: float) -> None:
        reused = 0
        for ordinal, chunk in enumerate(flight.chunks):
            if chunk.hash in stored:
                reused += 1
            else:
                gathered.append((size_of(chunk.text), now, chunk.hash, (flight, ordinal)))
        if reused:
            flight.missing -= reused
            self._observe(TextsReused(reused))
            if flight.missing == 0:
                self._index.store((flight,))

    def _hand_over(self, gathered: defaultdict[str, list[Gathered[Place]]]) -> None:
        for tenant, texts in gathered.items():
            self._batcher.add(tenant, texts)
        gathered.clear()
        self._work.set()

    async def run(self) -> None:
        """Send batches through the semaphore until cancelled.

        One batch at most waits for the lane: what is not composed yet can still make room for another tenant's.
        """
        async with asyncio.TaskGroup() as calls:
            while True:
                await self._slots.acquire()
                await self._released.wait()
                batch = await self._next_batch()
                self._waiting[id(batch)] = batch, 0
                await self.lane.turn(batch.tokens)
                if self._learned.allows(len(batch.texts), batch.tokens, batch.size):
                    calls.create_task(self._travel(batch))
                else:
                    del self._waiting[id(batch)]
                    self.lane.give_back(batch.tokens)
                    self._halve(batch.texts)
                    self._slots.release()

    async def _next_batch(self) -> Batch[Place]:
        while not self._ready:
            self._work.clear()
            now = time.monotonic()
            if (batch := self._batcher.next(now)) is not None:
                return batch
            try:
                async with asyncio.timeout(self._batcher.until_next(now)):
                    await self._work.wait()
            except TimeoutError:
                continue
        return self._ready.popleft()

    async def _travel(self, batch: Batch[Place]) -> None:
        try:
            await self._call_until_judged(batch)
        finally:
            self._slots.release()
            self._work.set()
            self._waiting.pop(id(batch), None)
            self._troubled.discard(id(batch))
            if not self._troubled:
                self._conditions.clear("provider")

    async def _call_until_judged(self, batch: Batch[Place]) -> None:
        """Send a batch, whose turn it is, as often as it takes."""
        history = History(size=len(batch.texts), failures=0)
        while True:
            self._waiting.pop(id(batch), None)
            texts = _wanted(batch.texts)
            if not texts:
                self.lane.give_back(batch.tokens)
                return
            began = time.monotonic()
            try:
                asked = [flight.chunks[ordinal].text for flight, ordinal in map(_first, texts)]
                reply = await self.lane.send(asked, batch.tokens)
            except (ProviderError, ConfigurationError) as error:
                if isinstance(error, MalformedReply):
                    self._charge(texts, batch.tokens)  # it is billed all the same
                verdict, history = await self._judge(error, replace(history, size=len(texts)), began)
                self._tell(error, verdict, len(texts), began)
                if self._carry_out(verdict, texts, error, history) or not await self._wait(
                    batch, history.failures, verdict, error
                ):
                    return
                await self.lane.turn(batch.tokens)
            else:
                if paid := self._came_back(batch, texts, reply, began):
                    await self._keep(paid)
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

    def _carry_out(self, verdict: Verdict, texts: Texts, error: Exception, history: History) -> bool:
        """Split or condemn; say whether that ends the batch."""
        if verdict.act is Act.SPLIT:
            if isinstance(error, InputRejected) and error.oversized:
                self._batcher.limits = self._learned.refused(*_amounts(texts))
            self._halve(texts)
        elif verdict.act is Act.DEAD_LETTER:
            self._give_up(texts[0], Cause("embed", verdict.code, str(error), history.failures))
        else:
            return False
        return True

    def _give_up(self, places: list[Place], cause: Cause) -> None:
        """Condemn every document that a text occurs in."""
        for flight, _ in places:
            self._condemn(flight, cause)

    def _halve(self, texts: Texts) -> None:
        self._ready.extendleft(reversed(halves(texts, _sizes(texts))))
        self._work.set()

    async def _wait(self, batch: Batch[Place], failures: int, verdict: Verdict, error: Exception) -> bool:
        """Wait for the verdict's delay, with intake held if the batch is not to blame.

        An outage that is over ends the wait early; False where a hold ended it.
        """
        self._waiting[id(batch)] = batch, failures
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

    def _came_back(self, batch: Batch[Place], texts: Texts, reply: Reply, began: float) -> list[Paid]:
        """Bring vectors home; return those of huge documents, which are to be staged."""
        now = time.monotonic()
        if not self.lane.told_to_wait:
            self._conditions.clear("provider")
        tokens, size = batch.tokens, batch.size
        if len(texts) != len(batch.texts):
            _, tokens, size = _amounts(texts)
        self._batcher.limits = self._learned.accepted(len(texts), tokens, size)
        fill = len(texts) / self._batcher.limits.items
        self._observe(
            CallFinished(self.lane.model, len(texts), reply.tokens, size, now - began, batch.closed_by.value, fill)
        )
        self._charge(texts, reply.tokens)
        alone, again = len(texts) == 1, 0
        paid: list[Paid] = []
        complete: list[Flight] = []
        for place, (places, vector) in enumerate(zip(texts, reply.vectors, strict=True)):
            if vector is None:
                self._fault(places, reply.faults[place], alone=alone)
                continue
            again += len(places) - 1
            for flight, ordinal in places:
                if flight.is_huge:
                    paid.append((flight, ordinal, vector))
                elif flight.arrive(ordinal, vector) and flight.live:
                    complete.append(flight)
        self._index.store(complete)
        if again:
            self._observe(TextsReused(again))
        return paid

    async def _keep(self, paid: list[Paid]) -> None:
        """Stage the vectors of huge documents; those that the index refuses stay here, for the write to be judged."""
        counted = [(flight, len(vector)) for flight, _, vector in paid if flight.counted]
        for flight, size in counted:
            grow(flight, size, self._budget)
        kept = await self._index.stage({flight.chunks[ordinal].hash: vector for flight, ordinal, vector in paid})
        if kept:
            for flight, size in counted:
                if flight.counted:
                    grow(flight, -size, self._budget)
        for flight, ordinal, vector in paid:
            if (flight.arrive_in_index() if kept else flight.arrive(ordinal, vector)) and flight.live:
                self._index.store((flight,))

    def _charge(self, texts: Texts, tokens: int) -> None:
        """Charge a call to the tenants of its texts."""
        firsts = [places[0] for places in texts]
        texts_of = Counter([flight.subject.tenant for flight, _ in firsts])
        weights: Mapping[str, int] = texts_of
        if len(texts_of) > 1:
            weights = dict.fromkeys(texts_of, 0)
            for flight, ordinal in firsts:
                weights[flight.subject.tenant] += flight.chunks[ordinal].tokens
        self._spending.spend(tokens, texts_of, weights)

    def _fault(self, places: list[Place], said: str, *, alone: bool) -> None:
        """One vector of a good reply is unusable: its text is tried once alone, then it is given up."""
        if alone:
            self._give_up(places, Cause("embed", "bad-vector", said, attempts=2))
            return
        _, tokens, size = _amounts([places])
        self._ready.append(Batch([places], tokens, size, ClosedBy.ALONE))
        self._work.set()


NOTHING: frozenset[bytes] = frozenset()
_first = itemgetter(0)


def _flights(batch: Batch[Place]) -> Iterator[Flight]:
    return (flight for places in batch.texts for flight, _ in places)


def _wanted(texts: Texts) -> Texts:
    """Return the texts whose vector is still waited for, each with the places that wait."""
    wanted = []
    for places in texts:
        for flight, ordinal in places:
            if not flight.live or flight.chunks[ordinal].vector is not None:
                break
        else:
            wanted.append(places)
            continue
        if left := [(flight, n) for flight, n in places if flight.live and flight.chunks[n].vector is None]:
            wanted.append(left)
    return wanted


def _sizes(texts: Texts) -> list[int]:
    return [size_of(flight.chunks[ordinal].text) for flight, ordinal in map(_first, texts)]


def _amounts(texts: Texts) -> tuple[int, int, int]:
    """Return the texts, tokens and bytes of a call."""
    sizes = _sizes(texts)
    return len(texts), sum(map(tokens_of, sizes)), sum(sizes)
