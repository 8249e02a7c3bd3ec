"""How is a record sent so that it arrives once, or its sender knows why not?

Non-obvious, learnt from aiokafka:

- An idempotent producer numbers its batches per partition. When Kafka refuses one (too large, no rights) there is a
  hole, and every later batch for that partition is refused as out of order. Only a new producer helps: ``renew``.
- An idempotent producer never gives a batch up, so a broker that stays away is known by our patience alone. A record
  we no longer wait for may still arrive.
- ``send`` waits for 30 s for a topic that does not exist, and says the same when the broker is away: ``partitions``
  asks first.
"""

import asyncio
import weakref
from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaTimeoutError, ProducerClosed, TopicAuthorizationFailedError

from producers.connection import START_TIMEOUT_S, client_options, start
from producers.errors import FOREIGN, UNKNOWN_TOPIC, broker_errors, translated
from schemas.dead_letters import Record
from schemas.errors import BrokerMisconfigured, BrokerUnavailable
from schemas.settings import MIB, KafkaSettings

MAX_REQUEST_BYTES = 64 * MIB
"""aiokafka measures a record against it before compression."""

BATCH_BYTES = 256 * 1024
"""Below every sensible max.message.bytes, so that a batch refused as too large is one large record."""

CLOSE_TIMEOUT_S = 10.0
RENEWALS = 3


class Publisher:
    """An idempotent producer with ``acks=all`` that can be renewed while it is used.

    ``patience_s`` is how long one wait for Kafka may take; None is as long as it needs.
    """

    def __init__(self, kafka: KafkaSettings, role: str, *, linger_ms: int, patience_s: float | None) -> None:
        self._kafka = kafka
        self._role = role
        self._linger_ms = linger_ms
        self._patience_s = patience_s
        self._producer: Any = None
        self._gate = asyncio.Lock()
        self._unanswered: weakref.WeakSet[asyncio.Future[Any]] = weakref.WeakSet()

    def __repr__(self) -> str:
        state = "closed" if self._producer is None else "open"
        return f"<Publisher {self._role} to {self._kafka.bootstrap_servers}, {state}>"

    async def open(self, topic: str) -> None:
        """Connect and see that *topic* is there; closed again when one of our broker errors is raised."""
        try:
            await self.partitions(topic)
        except BaseException:
            await self.aclose()
            raise

    async def producer(self) -> Any:  # noqa: ANN401 - aiokafka publishes no types
        """Return the producer of the moment, connected; after a failed renewal it is opened anew."""
        async with self._gate:
            if self._producer is None:
                self._producer = await self._started()
            return self._producer

    async def partitions(self, topic: str) -> int:
        """Return how many partitions *topic* has; BrokerMisconfigured where there is no such topic."""
        client = (await self.producer()).client
        known = client.cluster.partitions_for_topic(topic)
        reached = True
        for pause in (0.0, 0.2, 0.5, 1.0):  # a topic that was just made is not known to every broker at once
            if known:
                return len(known)
            await asyncio.sleep(pause)
            client.add_topic(topic)
            reached = await client.force_metadata_update()
            known = client.cluster.partitions_for_topic(topic)
            if topic in client.cluster.unauthorized_topics:
                raise translated(TopicAuthorizationFailedError(topic), f"looking for topic {topic}")
        if not reached:
            raise BrokerUnavailable(f"looking for topic {topic}: Kafka at {self._kafka.bootstrap_servers} is away")
        if known:
            return len(known)
        raise BrokerMisconfigured(f"there is no topic {topic}: {UNKNOWN_TOPIC}")

    async def enqueue(
        self,
        producer: Any,  # noqa: ANN401 - aiokafka publishes no types
        topic: str,
        record: Record,
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> "asyncio.Future[Any]":
        """Hand a record to *producer* and return the future of its acknowledgement; its time is now if not said.

        Waits while the batch before it is still on its way. Raises BrokerUnavailable when that takes too long, and
        RecordTooLarge; the future fails with aiokafka's own errors.
        """
        with broker_errors(f"sending to {topic}"):
            acknowledged: asyncio.Future[Any] = await producer.send(
                topic, record.value, record.key, partition, timestamp_ms, list(record.headers)
            )
        self._unanswered.add(acknowledged)
        acknowledged.add_done_callback(_look_at)
        return acknowledged

    async def deliver(
        self, topic: str, record: Record, partition: int | None = None, timestamp_ms: int | None = None
    ) -> None:
        """Send one record and return when it is acknowledged.

        Raises BrokerUnavailable when patience ends or Kafka refuses again and again, BrokerMisconfigured for what
        stays so (RecordTooLarge, no such topic, no rights).
        """
        await self.partitions(topic)
        for renewals_left in reversed(range(RENEWALS)):
            producer = await self.producer()
            try:
                acknowledged = await self.enqueue(producer, topic, record, partition, timestamp_ms)
            except BrokerUnavailable as unavailable:
                if isinstance(unavailable.__cause__, ProducerClosed) and renewals_left:
                    continue  # somebody else has renewed it meanwhile
                raise
            await self.wait([acknowledged], topic)
            error = acknowledged.exception()
            if error is None:
                return
            failed = self.refusal(error, topic)
            await self.renew(producer)
            if isinstance(failed, BrokerMisconfigured) or not renewals_left:
                raise failed from error

    async def wait(self, futures: Iterable["asyncio.Future[Any]"], topic: str) -> None:
        """Wait until one of the futures is done; when patience ends, raise what seems to be wrong."""
        done, _ = await asyncio.wait(futures, timeout=self._patience_s, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            await self.partitions(topic)  # knows better where the topic is gone
            raise BrokerUnavailable(f"sending to {topic}: no acknowledgement for {self._patience_s} s")

    @staticmethod
    def refusal(error: BaseException, topic: str) -> BrokerUnavailable | BrokerMisconfigured:
        """Return our error for what a future failed with; a defect of ours is raised as it is."""
        if isinstance(error, FOREIGN):
            return translated(error, f"sending to {topic}")
        raise error

    async def renew(self, failed: Any) -> None:  # noqa: ANN401 - aiokafka publishes no types
        """Put a new producer in the place of *failed*, once its other records have met their fate."""
        async with self._gate:
            if self._producer is failed:
                self._producer = None
                await self._close(failed, self._patience_s or START_TIMEOUT_S)

    async def aclose(self, patience_s: float = CLOSE_TIMEOUT_S) -> None:
        """Send what is still queued, for *patience_s* at most, and close the connections in any case."""
        async with self._gate:
            producer, self._producer = self._producer, None
            if producer is not None:
                await self._close(producer, patience_s)

    async def _close(self, producer: Any, patience_s: float) -> None:  # noqa: ANN401 - aiokafka publishes no types
        unanswered, self._unanswered = self._unanswered, weakref.WeakSet()
        try:
            await _close(producer, patience_s)
        finally:
            for future in unanswered:
                if not future.done():
                    future.set_exception(KafkaTimeoutError("closed before it was acknowledged"))

    async def _started(self) -> Any:  # noqa: ANN401 - aiokafka publishes no types
        producer = AIOKafkaProducer(
            **client_options(self._kafka, self._role),
            acks="all",
            enable_idempotence=True,
            compression_type="zstd",
            linger_ms=self._linger_ms,
            max_batch_size=BATCH_BYTES,
            max_request_size=MAX_REQUEST_BYTES,
        )
        try:
            await start(producer, self._kafka)
        except BaseException:
            await producer.stop()
            raise
        return producer


async def _close(producer: Any, patience_s: float) -> None:  # noqa: ANN401 - aiokafka publishes no types
    flushing = asyncio.ensure_future(producer.flush())
    try:
        await asyncio.wait([flushing], timeout=patience_s)
    finally:
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                if not flushing.done():
                    flushing.cancel()
                    await _give_up(producer)
                await producer.stop()
        except TimeoutError:
            await producer.client.close()


async def _give_up(producer: Any) -> None:  # noqa: ANN401 - aiokafka publishes no types
    """End a sender that would try for ever and that stop() would wait for."""
    await producer._sender.close()  # noqa: SLF001 - nothing public ends it
    producer._message_accumulator._batches.clear()  # noqa: SLF001 - the same


def _look_at(future: "asyncio.Future[Any]") -> None:
    """Take note of a failure that may come when nobody waits any more, or asyncio would log it as forgotten."""
    if not future.cancelled():
        future.exception()
