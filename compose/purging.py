"""Which tombstones may be forgotten?

A tombstone keeps records that are older than the deletion from bringing the document back. Those may still come:

- dead letters of which nothing was decided yet: who replays one publishes it under its first origin
- records that the workers have not resolved, among them replays that were published a moment ago

So a tombstone stays whose time (``fence_ts``) is not before that of the oldest such record: what is newer than it would
win against it as well. One with a version stays while there is any such dead letter, since a lower version loses
whatever its time is.

The order is what makes it safe: first how far the workers are, then what lies in the dead-letter topic. A record that
becomes a dead letter in between was not resolved before, and counts as that.

An operator's reset to the start of the topic needs no tombstone row: it reads the older records of a document and then
its tombstone again.
"""

import time
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime

import msgspec

from compose.dead_letters import lying
from consumers.core.replaying import fence_time
from consumers.core.selection import Filter
from consumers.kafka.admin import Commit, Extent, KafkaView, lags
from consumers.kafka.reader import read
from consumers.stores.pgvector import PgVectorStore
from consumers.stores.tombstones import Guard, Old, Tombstones
from schemas.errors import BrokerMisconfigured
from schemas.fates import Fate, FateKind
from schemas.settings import Settings

NEVER_MS = 2**63 - 1
CLOCKS_MS = 5 * 60 * 1000
"""How far the clock of who replayed may be from the broker's."""
LOOKED_AT = 100
"""Offsets in which a record is looked for: a transaction marker or a compacted one is none."""


class Needed(msgspec.Struct, frozen=True):
    """What tombstones are needed for. Times are milliseconds since the epoch, None where there is no such record.

    ``letters`` were not dealt with, or replayed so lately that the copy may be on its way.
    """

    letters: int
    oldest_letter_ms: int | None
    unresolved: int
    oldest_unresolved_ms: int | None

    @property
    def guard(self) -> Guard:
        """What has to stay."""
        times = [one for one in (self.oldest_letter_ms, self.oldest_unresolved_ms) if one is not None]
        return Guard(min(times, default=NEVER_MS), versions=self.letters > 0)


@dataclass
class Tally:
    """How far it has come."""

    purged: int = 0
    seconds: float = 0.0
    interrupted: bool = False


class Purge:
    """Remove the tombstones that are older than *seconds* and guard against nothing any more.

    ``tally`` can be looked at meanwhile; ``stop`` ends it behind the batch that is on its way.
    """

    def __init__(self, settings: Settings, seconds: float) -> None:
        self.tally = Tally()
        self.settings = settings
        self._seconds = seconds
        self._stopped = False

    def stop(self) -> None:
        """Take no further batch."""
        self.tally.interrupted = self._stopped = True

    async def prepare(self, tombstones: Tombstones) -> "Plan":
        """Say what may go; nothing is changed. Raises what the absence of Kafka or its topics raises."""
        needed = await needs(self.settings)
        before = await tombstones.time_ago(self._seconds)
        return Plan(before, needed, await tombstones.count_old(before, needed.guard))

    async def run(self, tombstones: Tombstones, plan: "Plan") -> None:
        """Do it."""
        began = time.monotonic()
        try:
            if plan.old.going:
                await tombstones.note_purge(plan.before)
                async with aclosing(tombstones.purge(plan.before, plan.needed.guard)) as batches:
                    async for gone in batches:
                        self.tally.purged += gone
                        if self._stopped:
                            return
        finally:
            self.tally.seconds = time.monotonic() - began


class Plan(msgspec.Struct, frozen=True):
    """Tombstones from ``before`` this time: how many may go, how many stay, and what they are needed for."""

    before: datetime
    needed: Needed
    old: Old


async def needs(settings: Settings) -> Needed:
    """Look at what may still come, in the order that the module tells."""
    unresolved, since_ms = await _unresolved(settings)
    times, now_ms = [], int(time.time() * 1000)
    async with aclosing(lying(settings, Filter(), settled=True)) as found:
        async for letter, fate in found:
            if _may_come(fate, since_ms):
                times.append(fence_time(letter, now_ms))
    return Needed(len(times), min(times, default=None), unresolved, since_ms)


def _may_come(fate: Fate | None, since_ms: int | None) -> bool:
    if fate is None or not fate.settles:
        return True
    replayed_ms = datetime.fromisoformat(fate.at).timestamp() * 1000
    return fate.kind is FateKind.REPLAYED and since_ms is not None and replayed_ms + CLOCKS_MS >= since_ms


async def _unresolved(settings: Settings) -> tuple[int, int | None]:
    """Return how many records the group has not resolved, and the time of the oldest; 0 where none tells it."""
    kafka, topic = settings.kafka, settings.kafka.topic
    async with KafkaView(kafka) as view:
        extents = (await view.extents([topic])).get(topic)
        if extents is None:
            raise BrokerMisconfigured(f"the topic {topic} does not exist: run `headrace init`")
        committed = await view.committed(settings.group, topic)
    async with PgVectorStore(settings.store) as store:
        stored = await store.load_positions(settings.group, topic)
    # A database that was restored knows less than Kafka: its worker will go back to what it knows.
    at = {p: Commit(min(told.offset, stored.get(p, told.offset)), "") for p, told in committed.items()}
    waiting = [one for one in lags(extents, at) if one.lag]
    places = {one.partition: Extent(one.partition, one.end - one.lag, one.end) for one in waiting}
    times: dict[int, int] = {}
    ranges = {p: (at.start, min(at.end, at.start + LOOKED_AT)) for p, at in places.items()}
    async with aclosing(read(kafka, topic, ranges)) as groups:
        async for messages in groups:
            for message in messages:
                times[message.partition] = min(message.timestamp, times.get(message.partition, NEVER_MS))
    oldest = min((times.get(partition, 0) for partition in places), default=None)
    return sum(one.lag for one in waiting), oldest
