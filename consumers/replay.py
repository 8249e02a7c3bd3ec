"""How do dead letters leave their topic? Each once, in order, and what became of it is kept.

A group at a time: read, publish, wait for the acknowledgements, keep the fates, wait for those. Whoever is killed in
between has published one group at most of which nothing is known; the next run publishes that group again, and the
worker resolves the second copy as the redelivery of one origin. Nothing is ever left out.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import datetime
from uuid import uuid4

from consumers.core.reckoning import Preview, Tally
from consumers.core.replaying import Bookkeeping, Order, Plan, is_unguarded, plan, prospect
from consumers.kafka.dead_letters import Ranges, fates, known_fates, letters, outcome_ranges, ranges
from producers.outcomes import OutcomeProducer
from producers.replays import ITS_OWN, ParcelProducer, Refusal
from schemas.dead_letters import DeadLetter, iso
from schemas.errors import InvalidDocument
from schemas.fates import Fate, FateKind, fate_key
from schemas.settings import MIB, Settings

GROUP = 100
GROUP_BYTES = 8 * MIB
PULSE_S = 0.25
"""A limited rate is kept over so short a time."""


class Run:
    """One go through the dead-letter topic, as far as it reaches at ``prepare``.

    ``tally`` can be looked at meanwhile; ``stop`` ends it behind the group that is on its way. *purged_before* is the
    time from before which tombstones may be missing in the index.
    """

    def __init__(self, settings: Settings, order: Order, purged_before: datetime | None = None) -> None:
        self.tally = Tally()
        self._settings = settings
        self._order = order
        self._purged_before_ms = 0 if purged_before is None else int(purged_before.timestamp() * 1000)
        self._name = uuid4().hex
        self._ranges: Ranges = {}
        self._outcomes: Ranges | None = None
        self._known: dict[bytes, Fate] = {}
        self._handled: set[bytes] = set()
        self._stop = asyncio.Event()
        kafka = settings.kafka
        self._topics = Bookkeeping(kafka.dlq_topic, kafka.parked_topic, settings.outcomes_topic)

    def stop(self) -> None:
        """Take no further group."""
        self.tally.interrupted = True
        self._stop.set()

    async def prepare(self) -> None:
        """Fix what is looked at, and learn what was dealt with before. Raises what Kafka's absence raises."""
        kafka, topic = self._settings.kafka, self._settings.outcomes_topic
        self._ranges = await ranges(kafka, self._order.asked)
        self._outcomes = await outcome_ranges(kafka, topic)
        self._known = await known_fates(kafka, topic)
        self.tally.total = sum(end - start for start, end in self._ranges.values() if end > start)

    async def preview(self) -> Preview:
        """Say what ``run`` would do, and do nothing."""
        found, tally, unguarded = Preview(), Tally(), 0
        max_bytes = self._settings.worker.max_document_bytes
        async with aclosing(self._groups(tally)) as groups:
            async for group in groups:
                now_ms = _now_ms()
                for letter in group:
                    planned = plan(letter, self._order, self._topics, now_ms)
                    # A correction that is still wrong makes no plan.
                    wrong = not planned.edited and isinstance(prospect(letter, now_ms, max_bytes), InvalidDocument)
                    found.count(letter.failure.code or "unknown", planned, wrong=wrong)
                    unguarded += self._is_unguarded(letter, planned, now_ms)
        found.before, found.unguarded = tally.before, unguarded
        return found

    async def run(self) -> Tally:
        """Do it. Raises BrokerUnavailable or BrokerMisconfigured; ``tally`` says how far it came."""
        began = time.monotonic()
        try:
            async with ParcelProducer(self._settings.kafka) as producer:
                await producer.see(*self._needed())
                outcomes = OutcomeProducer(self._settings.outcomes_topic, producer)
                async with aclosing(self._groups(self.tally)) as groups:
                    async for group in groups:
                        await self._keep_the_rate(began)
                        if self._stop.is_set():
                            break
                        await self._deal_with(group, producer, outcomes)
            self.tally.meanwhile = await self._by_others()
        finally:
            self.tally.seconds = time.monotonic() - began
        return self.tally

    def _needed(self) -> list[str]:
        """Return the topics that have to be there before anything is sent."""
        order, topics = self._order, self._topics
        parked = [topics.parked] if order.kind is not FateKind.DISCARDED else []
        return [topics.outcomes, *parked, *filter(None, [order.to])]

    async def _groups(self, tally: Tally) -> AsyncGenerator[list[DeadLetter], None]:
        """Yield what is to be dealt with, in the order of its partition, in groups that bound what is in doubt."""
        most = GROUP if self._order.rate is None else min(GROUP, max(1, int(self._order.rate * PULSE_S)))
        group: list[DeadLetter] = []
        size = 0
        async with aclosing(letters(self._settings.kafka, self._ranges, self._order.asked)) as found:
            async for looked_at, some in found:
                tally.looked_at += looked_at - len(some)
                for letter in some:
                    tally.looked_at += 1
                    if self._stop.is_set() or tally.taken == self._order.limit:
                        break
                    if not self._order.again and self._is_settled(letter):
                        tally.before += 1
                        continue
                    tally.taken += 1
                    group.append(letter)
                    size += letter.message.size
                    if len(group) >= most or size >= GROUP_BYTES:
                        yield group
                        group, size = [], 0
                if self._stop.is_set() or tally.taken == self._order.limit:
                    break
        if group and not self._stop.is_set():
            yield group
        else:
            tally.taken -= len(group)

    def _is_settled(self, letter: DeadLetter) -> bool:
        fate = self._known.get(fate_key(letter.message.place))
        return fate is not None and fate.settles

    def _is_unguarded(self, letter: DeadLetter, planned: Plan, now_ms: int) -> bool:
        if planned.kind is not FateKind.REPLAYED or planned.edited:
            return False
        settled, group = self._is_settled(letter), self._settings.group
        return is_unguarded(letter, self._purged_before_ms, now_ms, group, settled=settled)

    async def _deal_with(
        self, group: Sequence[DeadLetter], producer: ParcelProducer, outcomes: OutcomeProducer
    ) -> None:
        """Publish a group and keep what became of each: first the acknowledgements, then the fates."""
        plans = [plan(letter, self._order, self._topics, _now_ms()) for letter in group]
        sent = [place for place, planned in enumerate(plans) if planned.parcel is not None]
        answers: dict[int, Refusal | None] = dict(
            zip(
                sent,
                await producer.send([one for planned in plans if (one := planned.parcel) is not None]),
                strict=True,
            )
        )
        common = [one for one in answers.values() if one is not None and not isinstance(one, ITS_OWN)]
        known = [
            (letter.message.place, self._fate(planned, answers.get(place)))
            for place, (letter, planned) in enumerate(zip(group, plans, strict=True))
            if answers.get(place) not in common
        ]
        if known:
            await outcomes.write(known)
        for place, fate in known:
            self._handled.add(fate_key(place))
            self.tally.done[fate.kind] += 1
            if fate.kind is FateKind.SKIPPED:
                self.tally.skipped[fate.reason] += 1
        if common:
            raise common[0]

    def _fate(self, planned: Plan, refusal: Refusal | None) -> Fate:
        now = iso(time.time())
        if refusal is not None:
            return Fate(FateKind.SKIPPED, now, self._name, str(refusal))
        to = planned.parcel.topic if planned.parcel is not None else ""
        return Fate(planned.kind, now, self._name, planned.reason, to, planned.edited)

    async def _keep_the_rate(self, began: float) -> None:
        if self._order.rate is None:
            return
        early = self.tally.done.total() / self._order.rate - (time.monotonic() - began)
        if early > 0:
            try:
                async with asyncio.timeout(early):
                    await self._stop.wait()
            except TimeoutError:
                return

    async def _by_others(self) -> int:
        """Return how many of ours another run dealt with since we began."""
        topic = self._settings.outcomes_topic
        now, before = await outcome_ranges(self._settings.kafka, topic), self._outcomes or {}
        since = {partition: (before.get(partition, extent)[1], extent[1]) for partition, extent in (now or {}).items()}
        doubled = set()
        async with aclosing(fates(self._settings.kafka, topic, since)) as found:
            async for key, fate in found:
                if fate.run != self._name and key in self._handled:
                    doubled.add(key)
        return len(doubled)


def _now_ms() -> int:
    return int(time.time() * 1000)
