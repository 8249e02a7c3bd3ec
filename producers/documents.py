"""How are documents published? In batches, each once, with every result accounted for.

What may be on its way is bounded by count and by bytes: ``publish`` waits while there is no room.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, Self

import msgspec

from producers.errors import OVERSIZED, RecordTooLarge
from producers.publisher import Publisher
from schemas import headers
from schemas.dead_letters import Record
from schemas.documents import DEFAULT_TENANT, Deletion, Document, message_key
from schemas.errors import BrokerMisconfigured, BrokerUnavailable
from schemas.rules import document_id, tenant_of, text_of, version_of
from schemas.settings import MIB, KafkaSettings

MAX_UNACKNOWLEDGED = 10_000
MAX_UNACKNOWLEDGED_BYTES = 32 * MIB
LINGER_MS = 5
PATIENCE_S = 120.0

Refused = Callable[[Document | Deletion, RecordTooLarge], None]

_encode = msgspec.json.Encoder().encode


def record_of(document: Document | Deletion) -> Record:
    """Write a document, or its deletion, as a record of the source topic.

    Raises InvalidDocument where the worker would refuse it: nothing is published to become a dead letter.
    """
    tenant, name = tenant_of(document.tenant), document_id(document.id)
    told = [(headers.TENANT, tenant.encode()), (headers.ID, name.encode())]
    if document.version is not None:
        told.append((headers.VERSION, str(version_of(document.version)).encode()))
    value = _value(document) if isinstance(document, Document) else None
    return Record(message_key(tenant, name), value, tuple(told))


def _value(document: Document) -> bytes:
    said: dict[str, Any] = {"id": document.id, "text": text_of(document.text)}
    if document.tenant != DEFAULT_TENANT:
        said["tenant"] = document.tenant
    if document.version is not None:
        said["version"] = document.version
    if document.title is not None:
        said["title"] = document.title
    if document.content_type is not None:
        said["content_type"] = document.content_type
    if document.metadata is not None:
        said["metadata"] = msgspec.Raw(document.metadata.encode())
    return _encode(said)


class DocumentProducer:
    """Publish documents to the source topic.

    ``published`` counts what Kafka acknowledged, ``refused`` is told of each document that is too large for the topic,
    and ``unacknowledged`` is what nothing is known of yet: it is 0 after ``flush``. Every other failure concerns all
    documents and is raised: BrokerUnavailable when Kafka acknowledged nothing for ``patience_s``, BrokerMisconfigured.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        *,
        refused: Refused,
        patience_s: float = PATIENCE_S,
        max_unacknowledged: int = MAX_UNACKNOWLEDGED,
        max_unacknowledged_bytes: int = MAX_UNACKNOWLEDGED_BYTES,
    ) -> None:
        self.topic = kafka.topic
        self.published = 0
        self._refused = refused
        self._patience_s = patience_s
        self._most = max_unacknowledged
        self._most_bytes = max_unacknowledged_bytes
        self._publisher = Publisher(kafka, "publisher", linger_ms=LINGER_MS, patience_s=patience_s)
        self._count = 0
        self._sent: dict[int, tuple[Document | Deletion, Record]] = {}
        self._sent_bytes = 0
        self._failed: dict[int, tuple[Document | Deletion, Record, BaseException]] = {}
        self._settled = asyncio.Event()

    def __repr__(self) -> str:
        return f"<DocumentProducer to {self.topic}, {self.published} published, {self.unacknowledged} on their way>"

    @property
    def unacknowledged(self) -> int:
        """How many documents were handed over and are neither published nor refused."""
        return len(self._sent) + len(self._failed)

    async def open(self) -> None:
        """Connect, and see that the topic is there."""
        await self._publisher.open(self.topic)

    async def publish(self, document: Document | Deletion) -> None:
        """Hand a document over; waits while too much is on its way. Raises InvalidDocument for one that is none."""
        record = record_of(document)
        size = _size(record)
        while self._sent and (len(self._sent) >= self._most or self._sent_bytes + size > self._most_bytes):
            await self._wait()
        if self._failed:
            await self._recover()
        await self._send(document, record)

    async def flush(self) -> None:
        """Return when every document handed over is published or refused."""
        while self._sent or self._failed:
            if self._sent:
                await self._wait()
            else:
                await self._recover()

    async def aclose(self) -> None:
        """Close the connections; what is not acknowledged within seconds is given up."""
        await self._publisher.aclose()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _send(self, document: Document | Deletion, record: Record) -> None:
        try:
            producer = await self._publisher.producer()
            acknowledged = await self._publisher.enqueue(producer, self.topic, record)
        except RecordTooLarge as error:
            self._refused(document, error)
            return
        self._count += 1
        self._sent[self._count] = (document, record)
        self._sent_bytes += _size(record)
        acknowledged.add_done_callback(partial(self._settle, self._count))

    def _settle(self, place: int, acknowledged: "asyncio.Future[Any]") -> None:
        document, record = self._sent.pop(place)
        self._sent_bytes -= _size(record)
        error = acknowledged.exception()
        if error is None:
            self.published += 1
        else:
            self._failed[place] = (document, record, error)
        self._settled.set()

    async def _wait(self) -> None:
        """Wait until the fate of some document is known."""
        self._settled.clear()
        try:
            async with asyncio.timeout(self._patience_s):
                await self._settled.wait()
        except TimeoutError:
            await self._publisher.partitions(self.topic)  # knows better where the topic is gone
            raise BrokerUnavailable(
                f"sending to {self.topic}: no acknowledgement for {self._patience_s:g} s, "
                f"{self.unacknowledged} documents are on their way"
            ) from None

    async def _recover(self) -> None:
        """Send again, in order and from a new producer, what was refused.

        Of a batch that is too large any record can be the reason, so they go one by one. The others were refused only
        because they came behind it.
        """
        while self._sent:
            await self._wait()
        await self._publisher.renew(await self._publisher.producer())
        for place in sorted(self._failed):
            document, record, error = self._failed[place]
            failed = self._publisher.refusal(error, self.topic)
            if isinstance(failed, BrokerMisconfigured) and not isinstance(failed, RecordTooLarge):
                raise failed from error
            if isinstance(error, OVERSIZED):
                await self._send_alone(document, record)
            else:
                await self._send(document, record)
            del self._failed[place]

    async def _send_alone(self, document: Document | Deletion, record: Record) -> None:
        try:
            await self._publisher.deliver(self.topic, record)
        except RecordTooLarge as error:
            self._refused(document, error)
        else:
            self.published += 1


def _size(record: Record) -> int:
    return len(record.key or b"") + len(record.value or b"")
