"""How do documents get from a reader to the topic, and what became of each?"""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from compose.feeding import Feed
from compose.reading import Found, Item, Refusal
from producers.documents import DocumentProducer
from producers.errors import RecordTooLarge
from schemas.documents import Deletion, Document
from schemas.settings import KafkaSettings

GRACE_S = 15.0
"""How long an interrupted publication waits for the acknowledgements of what it sent."""


@dataclass
class Tally:
    """What became of the items so far. ``sent`` was handed to the producer, ``unacknowledged`` is not known of."""

    published: int = 0
    refused: int = 0
    skipped: int = 0
    unacknowledged: int = 0
    size: int = 0
    seconds: float = 0.0
    interrupted: bool = False

    @property
    def rate(self) -> float:
        """Documents a second."""
        return self.published / self.seconds if self.seconds else 0.0


class Publication:
    """Publish what a reader yields; ``tally`` can be looked at meanwhile, ``refused`` is told of each refusal.

    ``stop`` ends it early: nothing more is read, and what was sent is still waited for.
    """

    def __init__(self, kafka: KafkaSettings, refused: Callable[[Refusal], None], *, dry_run: bool = False) -> None:
        self.tally = Tally()
        self._kafka = kafka
        self._tell = refused
        self._dry_run = dry_run
        self._feed: Feed[Item] | None = None
        self._limit: asyncio.Timeout | None = None
        self._producer: DocumentProducer | None = None

    def stop(self) -> None:
        """Read nothing more, and end within seconds."""
        self.tally.interrupted = True
        if self._feed is not None:
            self._feed.close()
        if self._limit is not None:
            self._limit.reschedule(asyncio.get_running_loop().time() + GRACE_S)

    async def run(self, items: Iterator[Item]) -> Tally:
        """Publish all of them. Raises BrokerUnavailable or BrokerMisconfigured; ``tally`` says how far it came."""
        began = time.monotonic()
        try:
            if self._dry_run:
                await self._all(items, None)
            else:
                async with DocumentProducer(self._kafka, refused=self._too_large) as producer:
                    self._producer = producer
                    await self._all(items, producer)
        finally:
            self.tally.seconds = time.monotonic() - began
            self._look()
        return self.tally

    async def _all(self, items: Iterator[Item], producer: DocumentProducer | None) -> None:
        self._feed = feed = Feed(items, _weight)
        self._limit = limit = asyncio.timeout(None)
        try:
            async with limit:
                async for group in feed:
                    for item in group:
                        if self.tally.interrupted:
                            break
                        await self._one(item, producer)
                    self._look()
                if producer is not None:
                    await producer.flush()
        except TimeoutError:
            if not limit.expired():
                raise
        finally:
            feed.close()

    async def _one(self, item: Item, producer: DocumentProducer | None) -> None:
        if isinstance(item, Found):
            if producer is not None:
                await producer.publish(item.document)
            else:
                self.tally.published += 1
            self.tally.size += item.size
        elif isinstance(item, Refusal):
            self._refuse(item)
        else:
            self.tally.skipped += 1

    def _too_large(self, document: Document | Deletion, error: RecordTooLarge) -> None:
        self._refuse(Refusal(f"document {document.id}", None, "too-large-for-topic", str(error)))

    def _refuse(self, refusal: Refusal) -> None:
        self.tally.refused += 1
        self._tell(refusal)

    def _look(self) -> None:
        if self._producer is not None:
            self.tally.published = self._producer.published
            self.tally.unacknowledged = self._producer.unacknowledged


def _weight(item: Item) -> int:
    return item.size if isinstance(item, Found) else 0
