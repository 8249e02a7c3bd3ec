"""Does the index hold what the topic says? Both are read as they are at one moment, and what differs can be mended.

The order of the looks is what keeps a worker at work from being called wrong:

1. what became of dead letters: a letter that is dealt with later still counts as open, and excuses its record
2. the ends of the topic and the positions of the group: what lies behind a position is not due
3. the records, reduced by the fence to the one of each document that stays
4. the index, in one snapshot: everything before the positions had been resolved by then
5. the ends again: a row from behind the first ends came since
6. the dead letters: whatever was condemned before the positions were committed lies there by now
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from consumers.core.decoding import decode, origin_of
from consumers.core.flight import hash_of
from consumers.core.mending import again, removal, runs
from consumers.core.reconciling import (
    REPAIRABLE,
    Bounds,
    Finding,
    Letter,
    Pair,
    Sighting,
    finding_of,
    is_taken_for_redelivery,
    sighting_of,
)
from consumers.core.selection import Filter
from consumers.core.tracking import PartitionTracker
from consumers.kafka.admin import KafkaView
from consumers.kafka.dead_letters import Ranges, known_fates, letters, ranges
from consumers.kafka.reader import read
from consumers.stores.reconciliation import Comparison, Seen
from producers.replays import ITS_OWN, ParcelProducer
from schemas.dead_letters import DeadLetter
from schemas.documents import Deletion
from schemas.errors import BrokerMisconfigured, InvalidDocument
from schemas.fates import Fate, FateKind, Parcel, fate_key
from schemas.index import Fingerprint
from schemas.messages import Message
from schemas.settings import Settings

NOTED_AT_ONCE = 2_000
GROUP = 100
PULSE_S = 0.25
"""A limited rate is kept over so short a time."""


@dataclass
class Tally:
    """What it is doing, and how far that has come: ``looked_at`` of ``total``, which is 0 where nobody knows.

    ``published`` were sent again, ``deleted`` are deletions of orphans; ``skipped`` counts, by the reason, what was to
    be published and could not be.
    """

    doing: str = "starting"
    total: int = 0
    looked_at: int = 0
    published: int = 0
    deleted: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    interrupted: bool = False

    @property
    def done(self) -> int:
        """How many records were published."""
        return self.published + self.deleted


@dataclass(frozen=True)
class Account:
    """What a look found: documents by finding, and how much of everything there was."""

    findings: Counter[Finding]
    seen: Seen
    records: int
    wrong_model: int


class Reconciliation:
    """One look at topic and index, for as long as ``async with`` lasts, and the repair of what it found.

    ``tally`` can be looked at meanwhile; ``stop`` ends a look at once and a repair behind the group that is on its way.
    Raises BrokerUnavailable, BrokerMisconfigured and what a Store raises.
    """

    def __init__(self, settings: Settings, stored: Fingerprint, wanted: Fingerprint) -> None:
        """Prepare; *stored* is the fingerprint of the index, *wanted* what the settings say."""
        self.tally = Tally()
        self._settings = settings
        self._digest = stored.digest.encode()
        self._fits = stored == wanted
        self._comparison = Comparison(settings.store)
        self._bounds: dict[int, Bounds] = {}
        self._stop = asyncio.Event()
        self._opened = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._opened.enter_async_context(self._comparison)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._opened.aclose()

    def stop(self) -> None:
        """Look at nothing more, publish no further group."""
        self.tally.interrupted = True
        self._stop.set()

    async def look(self) -> Account | None:
        """Compare; None when it was stopped meanwhile."""
        began = time.monotonic()
        known = await known_fates(self._settings.kafka, self._settings.outcomes_topic)
        where, positions = await self._where()
        self._begin("reading the topic", sum(end - start for start, end in where.values()))
        await self._note_topic(where, positions)
        if self._stop.is_set():
            return None
        records = self.tally.looked_at
        self._begin("comparing with the index", 0)
        seen = await self._comparison.compare()
        now = await self._extents()
        self._bounds = {p: Bounds(start, end, max(now.get(p, (0, end))[1], end)) for p, (start, end) in where.items()}
        await self._note_letters(known)
        findings: Counter[Finding] = Counter()
        in_topic = 0
        async with aclosing(self.found()) as pages:
            async for page in pages:
                findings.update(finding for finding, _ in page)
                in_topic += sum(pair.sighting is not None for _, pair in page)
        findings[Finding.RIGHT] += seen.sightings - in_topic
        self.tally.seconds = time.monotonic() - began
        return Account(findings, seen, records, 0 if self._fits else seen.live)

    async def found(self) -> AsyncGenerator[list[tuple[Finding, Pair]], None]:
        """Yield what was found of every document that is not simply right. To be used within ``aclosing``."""
        topic = self._settings.kafka.topic
        async with aclosing(self._comparison.pages()) as pages:
            async for page in pages:
                yield [(finding_of(pair, topic, self._bounds), pair) for pair in page]

    def _begin(self, doing: str, total: int) -> None:
        self.tally.doing, self.tally.total, self.tally.looked_at = doing, total, 0

    async def repair(self, *, orphans: bool, rate: float | None) -> None:
        """Publish again what mends what was found, and with *orphans* their deletions; ``tally`` counts them."""
        began = time.monotonic()
        self.tally.doing = "publishing"
        pace = _Pace(rate, self._stop)
        try:
            async with ParcelProducer(self._settings.kafka) as producer, aclosing(self.found()) as pages:
                await producer.see(self._settings.kafka.topic)
                async for page in pages:
                    mendable = [pair for finding, pair in page if finding in REPAIRABLE]
                    removable = [pair for finding, pair in page if finding is Finding.ORPHAN and orphans]
                    async with aclosing(self._parcels(mendable, removable, pace.most)) as groups:
                        async for group in groups:
                            if not await pace.keep(self.tally.done):
                                return
                            await self._send(group, producer)
        finally:
            self.tally.seconds = time.monotonic() - began

    async def _where(self) -> tuple[dict[int, tuple[int, int]], dict[int, int]]:
        """Return what each partition holds, and up to where the group has resolved it."""
        settings = self._settings
        where = await self._extents()
        async with KafkaView(settings.kafka) as view:
            committed = await view.committed(settings.group, settings.kafka.topic)
        return where, {partition: told.offset for partition, told in committed.items()}

    async def _extents(self) -> dict[int, tuple[int, int]]:
        topic = self._settings.kafka.topic
        async with KafkaView(self._settings.kafka) as view:
            extents = (await view.extents([topic])).get(topic)
        if extents is None:
            raise BrokerMisconfigured(f"the topic {topic} does not exist: run `headrace init`")
        return {one.partition: (one.start, one.end) for one in extents}

    async def _note_topic(self, where: Ranges, positions: Mapping[int, int]) -> None:
        """Read the topic as the worker would, and note what it says of each document."""
        trackers = {partition: PartitionTracker(partition, start) for partition, (start, _) in where.items()}
        waiting: list[Sighting] = []
        async with aclosing(read(self._settings.kafka, self._settings.kafka.topic, where)) as groups:
            async for messages in groups:
                undecodable = []
                for message in messages:
                    due = message.offset < positions.get(message.partition, 0)
                    sighting = self._sighting(message, trackers[message.partition], due=due)
                    if sighting is None:
                        undecodable.append((message.partition, message.offset))
                    else:
                        waiting.append(sighting)
                if undecodable:
                    await self._comparison.note_undecodable(undecodable)
                if len(waiting) >= NOTED_AT_ONCE:
                    await self._comparison.note(waiting)
                    waiting = []
                self.tally.looked_at += len(messages)
                if self._stop.is_set():
                    return
        await self._comparison.note(waiting)

    def _sighting(self, message: Message, tracker: PartitionTracker, *, due: bool) -> Sighting | None:
        now_ms = _now_ms()
        try:
            decoded = decode(message, now_ms, self._settings.worker.max_document_bytes, tracker)
        except InvalidDocument:
            return None
        subject = decoded.subject
        digest = None if isinstance(subject, Deletion) else hash_of(self._digest, subject)
        return sighting_of(decoded, message, digest, now_ms, due=due)

    async def _note_letters(self, known: Mapping[bytes, Fate]) -> None:
        kafka = self._settings.kafka
        where = await ranges(kafka, Filter())
        async with aclosing(letters(kafka, where, Filter())) as groups:
            async for _, some in groups:
                told = [(letter.origin, state) for letter in some if (state := self._state(letter, known)) is not None]
                if told:
                    await self._comparison.note_letters(told)

    def _state(self, letter: DeadLetter, known: Mapping[bytes, Fate]) -> Letter | None:
        """Say what became of a dead letter of this index; None where it went back to the topic as it was."""
        if letter.index not in ("", self._settings.store.index):
            return None
        fate = known.get(fate_key(letter.message.place))
        if fate is None or not fate.settles:
            return Letter.OPEN
        came_back = fate.kind is FateKind.REPLAYED and not fate.edited and fate.to == self._settings.kafka.topic
        return None if came_back else Letter.GIVEN_UP

    async def _parcels(
        self, mendable: Sequence[Pair], removable: Sequence[Pair], most: int
    ) -> AsyncGenerator[list[tuple[Pair, Parcel]], None]:
        """Yield what is to be published, in groups; a record that the topic has lost since is left out."""
        kafka = self._settings.kafka
        group = [(pair, removal(pair, kafka.topic, _now_ms())) for pair in removable]
        wanted = {(one.partition, one.offset): pair for pair in mendable if (one := pair.sighting) is not None}
        for where in runs(wanted):
            async with aclosing(read(kafka, kafka.topic, where)) as groups:
                async for messages in groups:
                    for message in messages:
                        pair = wanted.get((message.partition, message.offset))
                        origin = origin_of(message)[0]
                        if pair is not None and pair.sighting is not None and pair.sighting.origin == origin:
                            group.append((pair, again(message, origin, kafka.topic, _now_ms())))
                            del wanted[message.partition, message.offset]
                    while len(group) >= most:
                        yield group[:most]
                        group = group[most:]
        if wanted:
            self.tally.skipped["the topic has lost the record since"] += len(wanted)
        while group:
            yield group[:most]
            group = group[most:]

    async def _send(self, group: Sequence[tuple[Pair, Parcel]], producer: ParcelProducer) -> None:
        """Publish a group. Rows that claim to come from these very records are told first that they do not."""
        await self._comparison.forget([pair for pair, _ in group if is_taken_for_redelivery(pair)])
        answers = await producer.send([parcel for _, parcel in group])
        for (pair, _), refusal in zip(group, answers, strict=True):
            if refusal is None and pair.sighting is None:
                self.tally.deleted += 1
            elif refusal is None:
                self.tally.published += 1
            elif isinstance(refusal, ITS_OWN):
                self.tally.skipped[str(refusal)] += 1
        self.tally.looked_at = self.tally.done + self.tally.skipped.total()
        if common := [one for one in answers if one is not None and not isinstance(one, ITS_OWN)]:
            raise common[0]


class _Pace:
    """So many a second, and an end when one is asked for."""

    def __init__(self, rate: float | None, stop: asyncio.Event) -> None:
        self.most = GROUP if rate is None else min(GROUP, max(1, int(rate * PULSE_S)))
        self._rate = rate
        self._stop = stop
        self._began = time.monotonic()

    async def keep(self, done: int) -> bool:
        """Wait until the next group is due after *done*; False when it was stopped."""
        early = 0.0 if self._rate is None else done / self._rate - (time.monotonic() - self._began)
        if early > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(early):
                    await self._stop.wait()
        return not self._stop.is_set()


def _now_ms() -> int:
    return int(time.time() * 1000)
