"""The life of a document on one page: intake, look-up, embedding, writing, settling."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from consumers.core.budget import InFlightBudget
from consumers.core.chunking import Chunker
from consumers.core.conditions import Conditions
from consumers.core.flight import Cause, Flight
from consumers.core.footprint import Footprint
from consumers.core.shared import Shared
from consumers.core.spending import daily_budget, daily_limits
from consumers.core.standing_orders import ORDERS_EVERY_S, StandingOrders
from consumers.embedding import Embedding
from consumers.intake import Intake
from consumers.kafka.source import Source
from consumers.kafka.starting import committed_offsets
from consumers.providers.protocol import Provider
from consumers.settling import DeadLetters, Settling
from consumers.sharing import Sharing
from consumers.stores.protocol import Store
from consumers.watches import Watches
from consumers.writing import Writing
from schemas.dead_letters import DeadLetter
from schemas.errors import BrokerError, ConfigurationError, StoreError
from schemas.events import Observer, Revoked
from schemas.index import DocumentKey, Fingerprint
from schemas.settings import Settings
from schemas.status import State

LOOK_UPS = 2
"""At once: the index is asked of some documents while the answers of others are sorted."""
LOOK_S = 0.005
LAST_COMMIT_S = 5.0
CAUGHT_UP_EVERY_S = 0.1
LEDGER_EVERY_S = 1.0
OTHERS_EVERY_S = 2.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What a pipeline is made of; opened and closed by whoever made them."""

    source: Source
    provider: Provider
    store: Store
    dead_letters: DeadLetters
    chunker: Chunker


class Pipeline:
    """One worker: everything between a poll and a commit.

    ``run`` works until ``stop`` is called, ``until_caught_up`` is reached or an operator sends the group away, then
    drains: calls that were sent, and the writes they feed, are waited for, and what is resolved is committed.
    ``sent_away`` is the operator's word where that was why.
    """

    def __init__(
        self,
        parts: Parts,
        settings: Settings,
        fingerprint: Fingerprint,
        observe: Observer,
        letter: Callable[[Flight, Cause], DeadLetter],
    ) -> None:
        """Wire the stages; *letter* writes the dead letter of a flight."""
        budget = InFlightBudget(settings.worker.in_flight_bytes, settings.worker.in_flight_documents)
        self.shared = shared = Shared(budget, Conditions(), observe, daily_budget(settings.provider))
        footprint = Footprint(parts.chunker, fingerprint.dimensions)
        self.source = source = parts.source
        self._store = parts.store
        self.draining = False
        self.sent_away: str | None = None
        self._settings = settings
        self._stop = asyncio.Event()
        self.settling = Settling(
            source, parts.dead_letters, shared, settings, letter=letter, hold_calls=self._hold_calls
        )
        self.writing = Writing(
            parts.store,
            fingerprint.digest.encode(),
            shared,
            embed=self._embed,
            resolve=self.settling.resolve,
            condemn=self.settling.condemn,
        )
        self.embedding = Embedding(
            parts.provider,
            parts.chunker,
            settings.provider,
            footprint,
            shared,
            index=self.writing,
            condemn=self.settling.condemn,
        )
        self.intake = Intake(
            source,
            shared,
            settings.worker.max_document_bytes,
            footprint,
            accept=self.writing.arrive,
            condemn=self.settling.condemn,
            decoded=self.settling.decoded,
        )
        self.watches = Watches(source, self.intake, self.embedding, shared, settings)
        self._sharing = Sharing(source, self.embedding, settings)
        source.on_revoke = self._give_up

    async def run(self, *, until_caught_up: bool = False) -> None:
        """Work until stopped, then drain and leave the group.

        Raises IndexMismatch, in a group, where the partitions turn out to belong to another index.
        """
        # An order to pause that stands is to be known before the first message is taken in.
        self.shared.conditions.set("operator", State.STARTING, "asking for the orders of operators", time.monotonic())
        try:
            async with asyncio.TaskGroup() as tasks:
                stages = [tasks.create_task(stage, name=name) for name, stage in self._stages(until_caught_up)]
                await self._stop.wait()
                self.draining = True
                await self._drain()
                for stage in stages:
                    stage.cancel()
        finally:
            await self.source.stop()

    def _stages(self, until_caught_up: bool) -> Iterator[tuple[str, Coroutine[None, None, None]]]:  # noqa: FBT001 - one caller
        yield "intake", self.intake.run()
        for number in range(LOOK_UPS):
            yield f"look-up-{number}", self.writing.look_up()
        yield "embedding", self.embedding.run()
        yield "lane", self.embedding.lane.watch()
        yield "writing", self.writing.write()
        yield "dead-letters", self.settling.send_dead_letters()
        yield "commit", self.settling.commit_at_intervals()
        yield "orders", self._follow_orders()
        yield "ledger", self._keep_the_ledger()
        yield "memory", self.watches.memory()
        yield "retention", self.watches.log()
        yield "deadlines", self.watches.late_documents()
        yield "share", self._sharing.run()
        if until_caught_up:
            yield "caught-up", self._stop_when_caught_up()

    def stop(self) -> None:
        """Ask for a drain and the end of ``run``."""
        self._stop.set()

    async def _follow_orders(self) -> None:
        """Do what an operator wants of the group: pause, go on and try again what is blocked, or leave it."""
        standing = StandingOrders(self._settings.group)
        unanswered = False
        while True:
            try:
                wanted = standing.read(await self._store.orders(standing.names), datetime.now(UTC).date())
            except (StoreError, ConfigurationError):
                unanswered = True  # whoever writes to the index tells what is wrong with it
                await asyncio.sleep(ORDERS_EVERY_S)
                continue
            if unanswered:
                unanswered = False
                self.writing.retry.now()
            if wanted.away is not None and not self._stop.is_set():
                self.sent_away = wanted.away
                self.stop()
                return
            if wanted.paused is None:
                self.shared.conditions.clear("operator")
            else:
                self.shared.conditions.set("operator", State.PAUSED, wanted.paused, time.monotonic())
            self.shared.spending.limit(*daily_limits(self._settings.provider, wanted.allowance))
            if wanted.resume:
                self.watches.deadlines.excuse(time.monotonic())  # the next look at them may not see what was blocked
                self.settling.resume()
                self.embedding.lane.retry_now()
                self.writing.retry.now()
            await asyncio.sleep(ORDERS_EVERY_S)

    async def _keep_the_ledger(self) -> None:
        """Save what is spent and learn what the whole fleet has spent today, until cancelled."""
        while True:
            await self._save_spending()
            await asyncio.sleep(LEDGER_EVERY_S)

    async def _save_spending(self) -> None:
        """Bring the ledger up to date; calls wait, and intake with them, while the day's budget is spent."""
        spending = self.shared.spending
        unsaved = spending.take()
        if not (unsaved or spending.limited):
            return
        try:
            spending.learn(await self._store.spend(unsaved))
        except (StoreError, ConfigurationError):
            spending.put_back(unsaved)  # whoever writes to the index tells what is wrong with it
            return
        if spending.refused is None:
            self.shared.conditions.clear("budget")
            self.embedding.lane.look_again()
        else:
            now = time.monotonic()
            self.shared.conditions.set("budget", State.THROTTLED, spending.reason(), now, works=True)

    async def _embed(self, flights: Sequence[Flight], stored: Mapping[DocumentKey, frozenset[bytes]]) -> None:
        await self.embedding.submit(flights, stored)

    def _hold_calls(self, hold: bool) -> None:  # noqa: FBT001 - a switch
        if hold:
            self.embedding.lane.hold()
        elif not self.draining:
            self.embedding.lane.release()

    async def _give_up(self, ours: bool) -> None:  # noqa: FBT001 - a callback
        """Answer a rebalance: drain, commit, and forget everything, since every partition is taken away.

        Where they stay *ours* and only begin again, a part that fails once more meanwhile, as connections do behind a
        restart of the database, is no reason to throw vectors away that are paid for; and what the index could not
        take before is tried again at once, since most often it has just answered.
        """
        began = time.monotonic()
        partitions = tuple(sorted(self.source.trackers))
        if ours:
            self.writing.retry.now()
        await self._drain(patient=ours)
        for tracker in self.source.trackers.values():
            tracker.close()
        self.embedding.clear()
        self.writing.clear()
        self.settling.clear()
        abandoned = self.shared.budget.clear()
        if not self.draining:
            self.intake.held = False
            if not self.settling.flooded:
                self.embedding.release()
        if partitions:
            self.shared.observe(Revoked(partitions, time.monotonic() - began, abandoned))

    async def _drain(self, *, patient: bool = False) -> None:
        """Within one deadline: wait for calls already sent, the writes they feed and dead letters, then commit.

        Nothing is waited for while a part does not work, unless *patient*: what it holds will be delivered again.
        """
        self.intake.held = True
        self.embedding.hold()
        deadline = time.monotonic() + self._settings.kafka.drain_timeout_s - LAST_COMMIT_S
        # Three stages and the conditions end this wait: looking is simpler than an event in each.
        while time.monotonic() < deadline and not self._drained():
            if self.shared.conditions.failing and not patient:
                break
            await asyncio.sleep(LOOK_S)
        try:
            async with asyncio.timeout(LAST_COMMIT_S):
                await self.settling.commit()
                await self._save_spending()
        except TimeoutError:
            return  # the next owner begins at the last commit, and re-reading is free

    def _drained(self) -> bool:
        return self.embedding.calls == 0 and self.writing.idle and self.settling.idle

    async def _stop_when_caught_up(self) -> None:
        """Stop once the ends of all partitions, seen at the start, are committed by us or by others of the group."""
        while self.source.rebalancing:  # noqa: ASYNC110 - once, at the start
            await asyncio.sleep(CAUGHT_UP_EVERY_S)
        ends = await self._ends()
        others_at = 0.0
        waiting = {partition for partition, end in ends.items() if end > 0}
        while waiting:
            await asyncio.sleep(CAUGHT_UP_EVERY_S)
            trackers = self.source.trackers
            ours = {p for p in waiting if p in trackers and trackers[p].position >= ends[p]}
            if ours == waiting & set(trackers) and await self.settling.commit():
                waiting -= ours
            if waiting - set(trackers) and time.monotonic() > others_at:
                others_at = time.monotonic() + OTHERS_EVERY_S
                waiting -= await self._reached_by_others(ends)
        self.stop()

    async def _ends(self) -> dict[int, int]:
        while True:
            try:
                return await self.source.end_offsets()
            except BrokerError:
                await asyncio.sleep(OTHERS_EVERY_S)

    async def _reached_by_others(self, ends: dict[int, int]) -> set[int]:
        try:
            committed = await committed_offsets(self._settings)
        except BrokerError:
            return set()
        topic = self._settings.kafka.topic
        return {
            place.partition
            for place, (offset, _) in committed.items()
            if place.topic == topic and offset >= ends.get(place.partition, offset)
        }
