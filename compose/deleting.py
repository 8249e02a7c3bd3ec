"""How is a document deleted? A tombstone goes through the topic like any other word about it.

So the log decides: what is published later stays, every index that reads the topic hears of it, and the tombstone that
a worker stores keeps an older record from bringing the document back.

A whole tenant is what its index holds, and what the topic holds of it ahead of the workers is not known. Whoever waits
gets that as well: once the workers are past what lay in the topic at the beginning, what of it is there now is deleted
in a second round.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import NoReturn

from consumers.kafka.admin import Extent, KafkaView, lags
from consumers.stores.tombstones import Tombstones
from producers.documents import DocumentProducer
from producers.errors import RecordTooLarge
from schemas.documents import Deletion, Document
from schemas.errors import BrokerMisconfigured, HeadraceError
from schemas.settings import Settings

LOOK_S = 0.5
DESERTED_S = 30.0
"""How long nobody may be there to do what is waited for."""


@dataclass
class Tally:
    """How far it has come. ``total`` tombstones are to be published, for ``stored`` of them something is stored.

    ``ahead`` records lie in the topic that the workers have not resolved; ``left`` documents are there after all, since
    something newer was published meanwhile; None while nobody has looked.
    """

    total: int = 0
    stored: int = 0
    published: int = 0
    ahead: int = 0
    left: int | None = None
    seconds: float = 0.0
    interrupted: bool = False


class Removal:
    """Delete documents of a tenant by their ids, or all of them where *ids* is None.

    ``tally`` can be looked at meanwhile; ``stop`` ends it early: what was published is waited for.
    """

    def __init__(self, settings: Settings, tenant: str, ids: Sequence[str] | None) -> None:
        self.tally = Tally()
        self._settings = settings
        self._tenant = tenant
        self._ids = None if ids is None else list(dict.fromkeys(ids))
        self._ends: dict[int, int] = {}

    def stop(self) -> None:
        """Publish nothing more, and wait for nothing more."""
        self.tally.interrupted = True

    async def prepare(self) -> None:
        """Count what would be deleted, and fix what "before" means."""
        kafka = self._settings.kafka
        async with KafkaView(kafka) as view:
            extents = await self._extents(view)
            committed = await view.committed(self._settings.group, kafka.topic)
        self._ends = {one.partition: one.end for one in extents}
        self.tally.ahead = sum(one.lag for one in lags(extents, committed))
        async with Tombstones(self._settings.store) as tombstones:
            if self._ids is None:
                self.tally.total = self.tally.stored = await tombstones.count_live(self._tenant)
            else:
                self.tally.total = len(self._ids)
                self.tally.stored = await tombstones.live_among(self._tenant, self._ids)

    async def run(self, *, wait: bool) -> Tally:
        """Publish, and *wait* for the workers if that is wanted. Raises what the absence of a part raises."""
        began = time.monotonic()
        try:
            async with Tombstones(self._settings.store) as tombstones:
                await self._publish(self._all_ids(tombstones))
                if wait:
                    await self._see_it_done(tombstones)
        finally:
            self.tally.seconds = time.monotonic() - began
        return self.tally

    async def _see_it_done(self, tombstones: Tombstones) -> None:
        await self._workers_are_past()
        if self._ids is None:
            before = self._settings.kafka.topic, self._ends
            if await self._publish(tombstones.live_ids(self._tenant, before)):
                await self._workers_are_past()
        if self.tally.interrupted:
            return
        if self._ids is None:
            self.tally.left = await tombstones.count_live(self._tenant)
        else:
            self.tally.left = await tombstones.live_among(self._tenant, self._ids)

    async def _publish(self, ids: AsyncGenerator[str, None]) -> int:
        """Publish a tombstone for each, and return how many once all are acknowledged."""
        async with DocumentProducer(self._settings.kafka, refused=_refused) as producer, aclosing(ids):
            before = self.tally.published
            async for one in ids:
                if self.tally.interrupted:
                    break
                await producer.publish(Deletion(self._tenant, one))
                self.tally.published = before + producer.published
            await producer.flush()
            self.tally.published = before + producer.published
            self.tally.total = max(self.tally.total, self.tally.published)
            return producer.published

    async def _all_ids(self, tombstones: Tombstones) -> AsyncGenerator[str, None]:
        if self._ids is None:
            async with aclosing(tombstones.live_ids(self._tenant)) as ids:
                async for one in ids:
                    yield one
        for one in self._ids or ():
            yield one

    async def _workers_are_past(self) -> None:
        """Wait until the group has resolved all that the topic holds now."""
        kafka, group = self._settings.kafka, self._settings.group
        deserted_at = time.monotonic() + DESERTED_S
        async with KafkaView(kafka) as view:
            extents = await self._extents(view)
            while not self.tally.interrupted:
                self.tally.ahead = sum(one.lag for one in lags(extents, await view.committed(group, kafka.topic)))
                if not self.tally.ahead:
                    return
                if (await view.group(group, kafka.topic)).members:
                    deserted_at = time.monotonic() + DESERTED_S
                elif time.monotonic() > deserted_at:
                    raise HeadraceError(
                        f"the tombstones are published, but no worker of the group {group} is there to delete "
                        "anything: start one with `headrace run`"
                    )
                await asyncio.sleep(LOOK_S)

    async def _extents(self, view: KafkaView) -> list[Extent]:
        topic = self._settings.kafka.topic
        extents = (await view.extents([topic])).get(topic)
        if extents is None:
            raise BrokerMisconfigured(f"the topic {topic} does not exist: run `headrace init`")
        return extents


def _refused(_: Document | Deletion, error: RecordTooLarge) -> NoReturn:
    """Give up: a topic that takes no tombstone takes nothing."""
    raise error
