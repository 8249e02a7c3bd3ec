"""How do documents reach the index? Look-up, group, write."""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import TypeVar

from consumers.core.blame import Act, History, Policy, judge
from consumers.core.fair import FairQueue
from consumers.core.flight import Cause, Flight
from consumers.core.footprint import LARGE, heaviest
from consumers.core.groups import GroupSize, Writers
from consumers.core.shared import Shared
from consumers.retry import Retry
from consumers.stores.protocol import Store
from schemas.documents import Deletion
from schemas.errors import ConfigurationError, RowRejected, StoreError
from schemas.events import LookedUp, WriteFailed, Written
from schemas.index import Change, DocumentKey, Outcome, Standing
from schemas.status import State

MAX_GROUP = 500
MAX_GROUP_BYTES = 8 * 1024 * 1024
QUANTUM = 16_384
"""Bytes of a tenant's documents, with their vectors, before it is the next tenant's turn."""
NO_POLICY = Policy(max_attempts=1, min_blame_s=0.0)

Pending = tuple[int, Flight, Change]
"""A document that may be written, with what it costs a group."""
Answer = TypeVar("Answer")
Kind = TypeVar("Kind", Standing, Outcome)


class Writing:
    """Ask the index what it knows, then write whole documents, many a transaction.

    ``arrive`` takes what was decoded, ``store`` what has its vectors. A document leaves by ``embed`` when it needs
    vectors, by ``resolve`` when the index has it, by ``condemn`` when the database refuses its row.
    """

    def __init__(
        self,
        store: Store,
        fingerprint: bytes,
        shared: Shared,
        *,
        embed: Callable[[Sequence[Flight], Mapping[DocumentKey, frozenset[bytes]]], Awaitable[None]],
        resolve: Callable[[Iterable[Flight], Outcome], None],
        condemn: Callable[[Flight, Cause], None],
    ) -> None:
        """Wire the stage; *fingerprint* is the index's digest, which the content hashes begin with."""
        self._store = store
        self._fingerprint = fingerprint
        self._conditions = shared.conditions
        self._observe = shared.observe
        self._embed = embed
        self._resolve = resolve
        self._condemn = condemn
        self.retry = Retry()
        """Of what the index could not do."""
        self._arrived: FairQueue[tuple[int, Flight]] = FairQueue(QUANTUM)
        self._pending: FairQueue[Pending] = FairQueue(QUANTUM)
        self._something_arrived = asyncio.Event()
        self._something_pending = asyncio.Event()
        self._free = asyncio.Event()
        self._large = asyncio.Lock()
        self._staging = 0
        self._writing = 0
        self.group_size = GroupSize()
        # One connection is left for what is asked meanwhile.
        self.writers = Writers(max(1, store.connections - 1), time.monotonic())

    @property
    def idle(self) -> bool:
        """Whether everything that had its vectors is written, and what was to be staged is."""
        return not self._pending and self._writing == self._staging == 0

    def arrive(self, flights: Iterable[Flight]) -> None:
        """Take decoded messages."""
        arrived: defaultdict[str, list[tuple[int, Flight]]] = defaultdict(list)
        for flight in flights:
            if isinstance(flight.subject, Deletion):
                self._put([(flight, flight.removal())])
            else:
                arrived[flight.subject.tenant].append((flight.weight, flight))
        for tenant, theirs in arrived.items():
            self._arrived.extend(tenant, theirs)
        self._something_arrived.set()

    def store(self, flights: Iterable[Flight]) -> None:
        """Take documents that have all their vectors."""
        self._put([(flight, flight.put()) for flight in flights])

    async def staged(self, hashes: Collection[bytes]) -> frozenset[bytes]:
        """Ask which texts of a huge document are paid for already."""
        return await self._persist(lambda: self._store.staged(hashes))

    async def stage(self, vectors: Mapping[bytes, bytes]) -> bool:
        """Put vectors of huge documents into the index, by the hashes of their texts; False where it refuses one."""
        self._staging += 1
        try:
            await self._persist(lambda: self._store.stage(vectors), len(vectors))
        except RowRejected:
            return False
        finally:
            self._staging -= 1
        return True

    def clear(self) -> None:
        """Forget what waits: its partitions were given up."""
        self._arrived.clear()
        self._pending.clear()

    def _put(self, changes: Iterable[tuple[Flight, Change]]) -> None:
        put: defaultdict[str, list[Pending]] = defaultdict(list)
        for flight, change in changes:
            # A huge document fills a group by itself: others are not to wait for it.
            cost = MAX_GROUP_BYTES if flight.is_huge else flight.weight
            put[change.tenant].append((cost, flight, change))
        for tenant, theirs in put.items():
            self._pending.extend(tenant, theirs)
            self._something_pending.set()

    async def look_up(self) -> None:
        """Sort arrivals by what the index knows of them, until cancelled; several may do so at once."""
        while True:
            await self._something_arrived.wait()
            flights = [flight for _, flight in self._arrived.take(MAX_GROUP, MAX_GROUP_BYTES) if flight.live]
            if not self._arrived:
                self._something_arrived.clear()
            if heaviest(flights) > LARGE:
                async with self._large:
                    await self._sort(flights)
            elif flights:
                await self._sort(flights)

    async def _sort(self, flights: list[Flight]) -> None:
        began = time.monotonic()
        candidates, fingerprint = [flight.candidate() for flight in flights], self._fingerprint
        standings = await self._persist(
            lambda: self._store.look_up(candidates, lambda n: flights[n].hashed(fingerprint))
        )
        self._observe(LookedUp(len(flights), time.monotonic() - began))
        by_standing = _grouped(flights, standings)
        self._resolve(by_standing.get(Standing.REDELIVERED, ()), Outcome.UNCHANGED)
        self._resolve(by_standing.get(Standing.SUPERSEDED, ()), Outcome.SUPERSEDED)
        if unchanged := by_standing.get(Standing.UNCHANGED):
            self._put([(flight, flight.touch()) for flight in unchanged])
        if changed := by_standing.get(Standing.CHANGED):
            keys = [(flight.subject.tenant, flight.subject.id) for flight in changed]
            await self._embed(changed, await self._persist(lambda: self._store.stored_hashes(keys)))
        if absent := by_standing.get(Standing.ABSENT):
            for flight in absent:
                flight.hashed(fingerprint)
            await self._embed(absent, {})

    async def write(self) -> None:
        """Write group after group until cancelled, as many at once as the database is fast with."""
        async with asyncio.TaskGroup() as groups:
            while True:
                await self._something_pending.wait()
                while self._writing >= self.writers.count:
                    self._free.clear()
                    await self._free.wait()
                group = self._group()
                if not self._pending:
                    self._something_pending.clear()
                if group:
                    self._writing += 1
                    groups.create_task(self._write_one(group))

    async def _write_one(self, group: list[Pending]) -> None:
        try:
            await self._write(group)
        finally:
            self._writing -= 1
            self._free.set()

    def _group(self) -> list[Pending]:
        group: list[Pending] = []
        size = rows = 0
        for pending in self._pending.served():
            if len(group) >= MAX_GROUP or size >= MAX_GROUP_BYTES or rows >= self.group_size.rows:
                break
            if pending[1].live:
                group.append(pending)
                size += pending[0]
                rows += 1 + len(pending[2].chunks)
        return group

    async def _write(self, group: list[Pending]) -> None:
        if not group:
            return
        began = time.monotonic()
        changes = [change for _, _, change in group]
        chunks = sum([len(change.chunks) for change in changes])
        try:
            outcomes = await self._persist(lambda: self._timed(changes, len(group) + chunks), len(group))
        except RowRejected as error:
            await self._triage(group, error)
            return
        self._observe(Written(len(group), chunks, time.monotonic() - began))
        by_outcome = _grouped([flight for _, flight, _ in group], outcomes)
        again = by_outcome.pop(Outcome.AGAIN, [])
        for outcome, flights in by_outcome.items():
            self._resolve(flights, outcome)
        self.arrive(again)

    async def _timed(self, changes: Sequence[Change], rows: int) -> list[Outcome]:
        began = time.monotonic()
        outcomes = await self._store.write(changes)
        now = time.monotonic()
        self.group_size.wrote(rows, now - began)
        if self._pending:
            self.writers.wrote(rows, now)
        else:
            self.writers.starved(now)
        return outcomes

    async def _triage(self, group: list[Pending], error: RowRejected) -> None:
        """Split a group with a row that the database refuses, down to that row; its neighbours are stored."""
        verdict = judge(error, History(size=len(group), failures=1), NO_POLICY, time.monotonic(), 0.0)
        self._tell(error, len(group), verdict.act)
        if verdict.act is Act.SPLIT:
            middle = len(group) // 2
            await self._write(group[:middle])
            await self._write(group[middle:])
        else:
            self._condemn(group[0][1], Cause("write", verdict.code, f"SQLSTATE {error.sqlstate}: {error}"))

    async def _persist(self, ask: Callable[[], Awaitable[Answer]], size: int = 0) -> Answer:
        """Ask the store until it answers; intake is held meanwhile. RowRejected is the caller's to judge."""
        failures = in_vain = 0
        while True:
            word = self.retry.word
            try:
                answer = await ask()
            except RowRejected:
                self._answers()
                raise
            except (StoreError, ConfigurationError) as error:
                failures += 1
                history = History(size=max(size, 1), failures=failures)
                verdict = judge(error, history, NO_POLICY, time.monotonic(), random.random())  # noqa: S311 - jitter
                state = State.BLOCKED if verdict.act is Act.BLOCK else State.THROTTLED
                self._conditions.set("store", state, str(error), time.monotonic())
                self._tell(error, size, verdict.act)
                in_vain += await self.retry.wait(word, verdict.delay, in_vain)
            else:
                self._answers()
                return answer

    def _answers(self) -> None:
        """Note that the index works; where it did not, all who wait for it go on."""
        if self._conditions.has("store"):
            self._conditions.clear("store")
            self.retry.now()

    def _tell(self, error: StoreError | ConfigurationError, size: int, act: Act) -> None:
        sqlstate = error.sqlstate if isinstance(error, StoreError) else None
        self._observe(WriteFailed(size, type(error).__name__, str(error), sqlstate, act.value))


def _grouped(flights: list[Flight], answers: Sequence[Kind]) -> dict[Kind, list[Flight]]:
    """Collect flights by what was answered of each; most often that is the same of all."""
    if answers.count(answers[0]) == len(flights):
        return {answers[0]: flights}
    groups: dict[Kind, list[Flight]] = {}
    for flight, answer in zip(flights, answers, strict=True):
        groups.setdefault(answer, []).append(flight)
    return groups
