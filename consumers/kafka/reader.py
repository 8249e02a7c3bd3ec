"""What lies in a topic, between two offsets? For looking: joins no group, commits nothing."""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from producers.connection import client_options
from producers.errors import broker_errors
from schemas.errors import BrokerUnavailable
from schemas.messages import Message, TimestampType
from schemas.settings import KafkaSettings

POLL_MS = 250
MAX_RECORDS = 500
PATIENCE_S = 15.0
STOP_TIMEOUT_S = 5.0


async def read(
    kafka: KafkaSettings, topic: str, ranges: Mapping[int, tuple[int, int]]
) -> AsyncGenerator[list[Message], None]:
    """Yield the committed records of a topic in groups; *ranges* are the first offset of each partition and its end.

    Ends also where the last offsets are transaction markers or were compacted away. Raises BrokerUnavailable where
    Kafka says nothing for PATIENCE_S, and BrokerMisconfigured. To be used within ``aclosing``.
    """
    ends = {TopicPartition(topic, partition): end for partition, (start, end) in ranges.items() if start < end}
    if not ends:
        return
    consumer = AIOKafkaConsumer(
        **client_options(kafka, "reader"),
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="none",
    )
    with broker_errors(f"reading {topic}"):
        try:
            async with asyncio.timeout(PATIENCE_S):
                await consumer.start()
            consumer.assign(list(ends))
            for place in ends:
                consumer.seek(place, ranges[place.partition][0])
            heard_at = time.monotonic()
            while ends:
                got = await consumer.getmany(*ends, timeout_ms=POLL_MS, max_records=MAX_RECORDS)
                if records := [
                    _message(one) for place, some in got.items() for one in some if one.offset < ends[place]
                ]:
                    yield records
                before = dict(ends)
                ends = {place: end for place, end in ends.items() if await consumer.position(place) < end}
                if got or ends != before:
                    heard_at = time.monotonic()
                elif time.monotonic() - heard_at > PATIENCE_S:
                    raise BrokerUnavailable(f"reading {topic}: Kafka at {kafka.bootstrap_servers} does not answer")
        finally:
            await _stop(consumer)


async def _stop(consumer: Any) -> None:  # noqa: ANN401 - aiokafka publishes no types
    """Stop within seconds, whatever happens: while Kafka is away the client raises its own tasks' cancellation."""
    stopping = asyncio.ensure_future(consumer.stop())
    try:
        await asyncio.wait([stopping], timeout=STOP_TIMEOUT_S)
    finally:
        stopping.cancel()
        await asyncio.gather(stopping, return_exceptions=True)


def _message(record: ConsumerRecord) -> Message:
    kind = TimestampType.LOG_APPEND_TIME if record.timestamp_type == 1 else TimestampType.CREATE_TIME
    return Message(
        record.topic,
        record.partition,
        record.offset,
        record.timestamp,
        kind,
        record.key,
        record.value,
        tuple(record.headers),
    )
