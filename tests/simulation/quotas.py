"""How much of a provider's quota does a fleet use? The real pipeline on a clock that jumps, a provider with limits.

Every worker is a whole pipeline in one consumer group on a broker in memory, with more documents waiting than it can
embed. The provider keeps a book of its calls, from which use and refusals of any span of time are read.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol
from unittest.mock import patch

from compose.service import fingerprint_of, letter_writer
from consumers.core.chunking import Chunker
from consumers.kafka import commits, source, starting
from consumers.kafka.memory import MemoryBroker
from consumers.kafka.memory_client import MemoryAdmin, MemoryConsumer
from consumers.pipeline import Parts, Pipeline
from consumers.providers.deterministic import vector_of
from consumers.providers.protocol import Reply
from consumers.stores.memory import MemoryStore
from producers.documents import record_of
from schemas.dead_letters import DeadLetter
from schemas.documents import Document
from schemas.errors import RateLimited
from schemas.messages import TimestampType
from schemas.settings import KafkaSettings, ProviderSettings, Settings, StoreSettings, WorkerSettings
from tests.simulation.loop import EPOCH_S, START_S, Process, SimulatedLoop, simulated

DIMENSIONS, PARTITIONS, TEXTS_A_CALL = 4, 12, 2
BACKLOG, BEHIND = 60, 30
"""Documents of each partition that wait at first; so many are added where fewer are left."""
FEED_EVERY_S = 0.25
SESSION_S = 10.0
MAX_STEPS = 20_000_000


class Limit(Protocol):
    """What a provider admits. ``per_second`` is what it admits in the long run."""

    per_second: float

    def admits(self, now: float, amount: float, at_once: int) -> bool:
        """Take a call of so many requests or tokens, or refuse it."""


@dataclass
class Bucket:
    """A bucket that fills evenly and holds *burst*."""

    per_second: float
    burst: float
    _level: float = field(init=False)
    _at: float = 0.0

    def __post_init__(self) -> None:
        self._level = self.burst

    def admits(self, now: float, amount: float, at_once: int) -> bool:
        """Take from the bucket, if it holds so much."""
        del at_once
        self._level, self._at = min(self.burst, self._level + (now - self._at) * self.per_second), now
        if self._level < amount:
            return False
        self._level -= amount
        return True


class Sliding:
    """At most *most* in any span of *seconds*."""

    def __init__(self, most: float, seconds: float) -> None:
        self.per_second = most / seconds
        self._most, self._seconds = most, seconds
        self._taken: deque[tuple[float, float]] = deque()
        self._sum = 0.0

    def admits(self, now: float, amount: float, at_once: int) -> bool:
        """Look back."""
        del at_once
        while self._taken and self._taken[0][0] <= now - self._seconds:
            self._sum -= self._taken.popleft()[1]
        if self._sum + amount > self._most:
            return False
        self._taken.append((now, amount))
        self._sum += amount
        return True


class Minutes:
    """At most *most* from each full minute to the next."""

    def __init__(self, most: float) -> None:
        self.per_second = most / 60.0
        self._most = most
        self._minute, self._sum = -1, 0.0

    def admits(self, now: float, amount: float, at_once: int) -> bool:
        """Begin to count anew with every minute."""
        del at_once
        if int(now // 60) != self._minute:
            self._minute, self._sum = int(now // 60), 0.0
        if self._sum + amount > self._most:
            return False
        self._sum += amount
        return True


@dataclass
class AtOnce:
    """So many calls at once, each of which takes so long."""

    most: int
    latency_s: float

    @property
    def per_second(self) -> float:
        """What that makes a second."""
        return self.most / self.latency_s

    def admits(self, now: float, amount: float, at_once: int) -> bool:
        """Look how many are under way, with this one."""
        del now, amount
        return at_once <= self.most


@dataclass(frozen=True)
class Entry:
    """A call: when it came, its requests or tokens, and whether it was admitted."""

    at: float
    amount: float
    admitted: bool


class LimitedProvider:
    """Admits what its limit does, a call a unit or a token a unit; a storm refuses everything."""

    model = "limited"

    def __init__(self, limit: Limit | None, latency_s: float, *, tokens: bool, retry_after: float | None) -> None:
        self.limit = limit
        self.storms: list[tuple[float, float]] = []
        self.book: list[Entry] = []
        self._latency_s, self._tokens, self._retry_after = latency_s, tokens, retry_after
        self._random = random.Random(7)
        self._under_way = 0

    async def embed(self, texts: Sequence[str]) -> Reply:
        """Answer, or refuse at once, on the way there and back."""
        await asyncio.sleep(self._random.uniform(0.001, 0.004))
        now = asyncio.get_running_loop().time() - START_S
        tokens = sum((len(text) + 3) // 4 for text in texts)
        amount = tokens if self._tokens else 1
        stormy = any(begin <= now < end for begin, end in self.storms)
        self._under_way += 1
        try:
            admitted = not stormy and (self.limit is None or self.limit.admits(now, amount, self._under_way))
            self.book.append(Entry(now, amount, admitted))
            if not admitted:
                raise RateLimited("too many", status=429, retry_after=self._retry_after)
            await asyncio.sleep(self._latency_s * self._random.uniform(0.8, 1.2))
        finally:
            self._under_way -= 1
        return Reply([vector_of(text, DIMENSIONS) for text in texts], tokens)

    async def aclose(self) -> None:
        """Close nothing."""

    def used(self, begin: float, end: float) -> float:
        """Return the share of the limit that was used in a span."""
        assert self.limit is not None
        taken = sum(one.amount for one in self.book if begin <= one.at < end and one.admitted)
        return taken / (self.limit.per_second * (end - begin))

    def refused(self, begin: float, end: float) -> float:
        """Return the share of calls that were refused in a span."""
        calls = [one for one in self.book if begin <= one.at < end]
        return sum(not one.admitted for one in calls) / max(1, len(calls))

    def rate(self, begin: float, end: float) -> float:
        """Return the admitted calls a second in a span."""
        return sum(begin <= one.at < end and one.admitted for one in self.book) / (end - begin)

    def calls(self, begin: float, end: float) -> int:
        """Return all calls of a span."""
        return sum(begin <= one.at < end for one in self.book)


class Fleet:
    """Workers of one group, and what they share."""

    def __init__(self, loop: SimulatedLoop, provider: LimitedProvider, settings: ProviderSettings) -> None:
        self.loop = loop
        self.provider = provider
        self.processes: list[Process] = []
        self.pipelines: list[Pipeline] = []
        self.broker = MemoryBroker("docs.raw", PARTITIONS, session_s=SESSION_S, rebalance_s=SESSION_S + 10.0)
        self.settings = Settings(
            kafka=KafkaSettings(topic="docs.raw", group="fleet"),
            provider=settings,
            store=StoreSettings(index="fleet"),
            worker=WorkerSettings(in_flight_documents=100),
        )
        self._fingerprint = fingerprint_of(self.settings)
        self._store = MemoryStore(self._fingerprint)
        self._random = random.Random(11)
        self._published = 0

    async def run(self, seconds: float, workers: int, befalls: Callable[["Fleet"], None], at: float) -> None:
        """Run for so long; at a moment something *befalls* the fleet."""
        feeding = asyncio.create_task(self._feed())
        tasks = [self._start(f"worker-{n}") for n in range(workers)]
        await asyncio.sleep(at)
        befalls(self)
        await asyncio.sleep(seconds - at)
        feeding.cancel()
        for task, process in zip(tasks, self.processes, strict=True):
            assert process.dead or not task.done(), task.exception()

    def _start(self, name: str) -> "asyncio.Task[None]":
        process = Process(name)
        self.processes.append(process)
        return self.loop.start(process, self._work)

    def kill(self, place: int = 0) -> None:
        """End a worker as by kill -9."""
        self.loop.kills.append((self.loop.steps, self.processes[place]))

    async def _feed(self) -> None:
        """Let nobody run out of documents."""
        while True:
            for partition, log in self.broker.log.items():
                if len(log) - self.broker.committed.get(partition, (0, ""))[0] < BEHIND + 100:
                    for _ in range(BACKLOG):
                        self._publish(partition)
            await asyncio.sleep(FEED_EVERY_S)

    def _publish(self, partition: int) -> None:
        self._published += 1
        text = f"{self._published} ".ljust(self._random.randrange(100, 800), "w")
        record = record_of(Document("default", f"document-{self._published}", text))
        now = int((EPOCH_S + self.loop.now) * 1000)
        self.broker.append(partition, record.key, record.value, record.headers, now, TimestampType.LOG_APPEND_TIME)

    async def _work(self) -> None:
        settings, store = self.settings, self._store
        topic = settings.kafka.topic
        ledger = commits.Ledger(
            load=lambda: store.load_positions(settings.group, topic),
            save=lambda *told: store.advance_positions(settings.group, topic, *told),
            server=store.server,
            has_documents=store.has_documents,
        )
        origin = source.Source(settings, self._fingerprint.digest, ledger, _unheard)
        await origin.start()
        parts = Parts(origin, self.provider, store, _NoLetters(), Chunker(settings.chunking))
        pipeline = Pipeline(parts, settings, self._fingerprint, _unheard, letter_writer(settings))
        self.pipelines.append(pipeline)
        await pipeline.run()


class _NoLetters:
    async def send(self, letter: DeadLetter) -> None:
        raise AssertionError(f"a dead letter: {letter}")


def _unheard(_: object) -> None:
    """Tell nobody."""


def _nothing(_: Fleet) -> None:
    """Nothing befalls the fleet."""


def run(  # noqa: PLR0913 - what a case is made of
    limit: Limit | None,
    *,
    seconds: float,
    workers: int = 1,
    rpm: int | None = None,
    tpm: int | None = None,
    concurrency: int = 8,
    latency_s: float = 0.05,
    tokens: bool = False,
    retry_after: float | None = None,
    storms: Sequence[tuple[float, float]] = (),
    befalls: Callable[[Fleet], None] = _nothing,
    at: float = 0.0,
    seed: int = 0,
) -> LimitedProvider:
    """Run a fleet for so many seconds of its own clock; return the provider with its book."""
    provider = LimitedProvider(limit, latency_s, tokens=tokens, retry_after=retry_after)
    provider.storms += storms
    settings = ProviderSettings(
        base_url="http://127.0.0.1/v1",
        model="limited",
        dimensions=DIMENSIONS,
        rpm=rpm,
        tpm=tpm,
        concurrency=concurrency,
        max_items=TEXTS_A_CALL,
    )
    with ExitStack() as opened:
        loop = opened.enter_context(simulated(seed, 0.0, MAX_STEPS))
        fleet = Fleet(loop, provider, settings)
        opened.enter_context(patch.object(source, "AIOKafkaConsumer", partial(MemoryConsumer, fleet.broker)))
        opened.enter_context(patch.object(starting, "AIOKafkaAdminClient", partial(MemoryAdmin, fleet.broker)))
        loop.run_until_complete(loop.start(Process("world"), lambda: fleet.run(seconds, workers, befalls, at)))
        assert loop.complaints == []
    return provider
