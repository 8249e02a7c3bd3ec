"""What lies in a topic, to the last byte?"""

from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.messages import Message, TimestampType


def told(message: Message) -> dict[str, bytes]:
    """Return the headers by name, those without a value left out."""
    return {name: value for name, value in message.headers if value is not None}


async def everything(bootstrap_servers: str, topic: str) -> list[Message]:
    """Return all messages of *topic*, partition by partition in order."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap_servers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        partitions = [
            TopicPartition(topic, number) for number in sorted(await consumer._client._wait_on_metadata(topic))
        ]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        found = []
        for partition in partitions:
            while await consumer.position(partition) < ends[partition]:
                records = (await consumer.getmany(partition, timeout_ms=1000)).get(partition, [])
                found += [
                    Message(
                        topic,
                        partition.partition,
                        record.offset,
                        record.timestamp,
                        (TimestampType.CREATE_TIME, TimestampType.LOG_APPEND_TIME)[record.timestamp_type],
                        record.key,
                        record.value,
                        tuple(record.headers),
                    )
                    for record in records
                ]
        return found
    finally:
        await consumer.stop()
