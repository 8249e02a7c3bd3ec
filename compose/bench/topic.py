"""How do documents come to a program that waits for them? All at once, or at a given rate.

A transaction that is open holds back every record behind it from whoever reads what is committed. So a program can
start, join its group and wait in front of a full topic; the clock starts when the transaction ends.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from aiokafka import AIOKafkaProducer

from compose.bench.results import Case
from compose.bench.texts import documents
from producers.connection import client_options
from producers.documents import DocumentProducer
from producers.errors import RecordTooLarge
from producers.topics import ensure_topics
from schemas.documents import Deletion, Document
from schemas.errors import BrokerMisconfigured
from schemas.settings import Settings

TRANSACTION_MS = 15 * 60 * 1000
"""The most that a broker takes without being asked for more."""
TELL_EVERY_S = 2.0

Tell = Callable[[str], None]
"""Takes a line of progress."""


class Topic(Protocol):
    """A topic in front of which a program waits.

    ``due`` is when each document ought to have been published, by its id, in seconds since the epoch: empty where that
    was before ``open``.
    """

    due: dict[str, float]

    async def fill(self, case: Case, tell: Tell) -> None:
        """Create the topic, and publish what is to be there. Raises BrokerUnavailable or BrokerMisconfigured."""

    async def open(self) -> float:
        """Let documents come; return when that was, in seconds since the epoch."""

    def end(self, case: Case) -> int:
        """Return the sum of the end offsets once everything was published."""

    async def aclose(self) -> None:
        """Close the connections."""


class GatedTopic:
    """A topic with every document in it, that nobody can read before ``open``.

    One record in each partition belongs to the transaction; it is aborted with it, and read by nobody.
    """

    def __init__(self, settings: Settings) -> None:
        self.due: dict[str, float] = {}
        self._settings = settings
        self._gate = AIOKafkaProducer(
            **client_options(settings.kafka, "gate"),
            transactional_id=f"gate-{settings.kafka.topic}",
            transaction_timeout_ms=TRANSACTION_MS,
        )

    async def fill(self, case: Case, tell: Tell) -> None:
        """Create the topic, close the gate and publish. Raises BrokerUnavailable or BrokerMisconfigured."""
        kafka = self._settings.kafka
        await ensure_topics(self._settings)
        await self._gate.start()
        await self._gate.begin_transaction()
        for partition in range(kafka.partitions):
            await self._gate.send_and_wait(kafka.topic, b"", partition=partition)
        await publish(self._settings, case, tell)

    def end(self, case: Case) -> int:
        """Return the sum of the end offsets once the gate is open: a record of ours and a marker in each partition."""
        return case.published + 2 * self._settings.kafka.partitions

    async def open(self) -> float:
        """Let everybody read; return when that was, in seconds since the epoch."""
        opened = time.time()
        await self._gate.abort_transaction()
        return opened

    async def aclose(self) -> None:
        """Close the connection; a gate that is still closed stays so until its transaction times out."""
        await self._gate.stop()


class Arrivals:
    """Documents that arrive one after the other at a given rate, whatever becomes of those before: an open loop."""

    def __init__(self, settings: Settings) -> None:
        self.due: dict[str, float] = {}
        self._settings = settings
        self._producer = DocumentProducer(settings.kafka, refused=_refused)
        self._publishing: asyncio.Task[None] | None = None
        self._case = Case()

    async def fill(self, case: Case, tell: Tell) -> None:
        """Create the topic. Raises BrokerUnavailable or BrokerMisconfigured."""
        del tell
        self._case = case
        await ensure_topics(self._settings)
        await self._producer.open()

    async def open(self) -> float:
        """Begin to publish."""
        began = time.time()
        self._publishing = asyncio.create_task(self._publish(began, self._case.rate or 1.0))
        return began

    async def _publish(self, began: float, rate: float) -> None:
        for n, document in enumerate(documents(self._case)):
            self.due[document.id] = due = began + n / rate
            if (wait := due - time.time()) > 0:
                await asyncio.sleep(wait)
            await self._producer.publish(document)
        await self._producer.flush()

    def end(self, case: Case) -> int:
        """Return the sum of the end offsets. Raises what went wrong with publishing."""
        if self._publishing is not None and self._publishing.done():
            self._publishing.result()
        return case.published

    async def aclose(self) -> None:
        """Publish no more, and close the connections."""
        if self._publishing is not None:
            self._publishing.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self._publishing
        await self._producer.aclose()


async def publish(settings: Settings, case: Case, tell: Tell) -> None:
    """Publish every document. Raises BrokerUnavailable or BrokerMisconfigured."""
    told_at = time.monotonic()
    async with DocumentProducer(settings.kafka, refused=_refused) as producer:
        for document in documents(case):
            await producer.publish(document)
            if time.monotonic() - told_at > TELL_EVERY_S:
                told_at = time.monotonic()
                tell(f"published {producer.published:,} of {case.published:,} documents")
        await producer.flush()


def _refused(document: Document | Deletion, error: RecordTooLarge) -> None:
    raise BrokerMisconfigured(f"the document {document.id} was refused: {error}")
