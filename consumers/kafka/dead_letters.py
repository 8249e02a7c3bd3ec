"""Which dead letters lie in their topic, and what became of them?"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from consumers.core.selection import Filter
from consumers.kafka.admin import KafkaView
from consumers.kafka.reader import read
from schemas.dead_letters import DeadLetter, from_message
from schemas.errors import BrokerMisconfigured, ConfigurationError
from schemas.fates import Fate, from_value
from schemas.settings import KafkaSettings

Ranges = Mapping[int, tuple[int, int]]
"""The first offset of each partition, and the one to end before."""


async def ranges(kafka: KafkaSettings, asked: Filter, last: int | None = None) -> dict[int, tuple[int, int]]:
    """Return where, at this moment, what is asked for may lie; *last* is how many of each partition are enough.

    Raises BrokerMisconfigured where the topic is missing, and ConfigurationError where the partition is.
    """
    topic = kafka.dlq_topic
    async with KafkaView(kafka) as view:
        extents = (await view.extents([topic])).get(topic)
        if extents is None:
            raise BrokerMisconfigured(f"the topic {topic} does not exist: run `headrace init`")
        wanted = [one for one in extents if asked.partition in (None, one.partition)]
        if not wanted:
            raise ConfigurationError(f"{topic} has no partition {asked.partition}, it has {len(extents)}")
        starts: dict[int, int | None] = {one.partition: one.start for one in wanted}
        if asked.since_ms is not None:
            starts = await view.offsets_at(topic, starts, asked.since_ms)
    found = {}
    for one in wanted:
        start = starts[one.partition]
        first, end = (one.end if start is None else start), one.end
        if asked.offset is not None:
            first, end = max(first, asked.offset), min(end, asked.offset + 1)
        found[one.partition] = (max(first, end - last) if last is not None else first, end)
    return found


async def letters(
    kafka: KafkaSettings, where: Ranges, asked: Filter
) -> AsyncGenerator[tuple[int, list[DeadLetter]], None]:
    """Yield how many records were looked at, and those that are asked for, in groups. To be used in ``aclosing``."""
    async with aclosing(read(kafka, kafka.dlq_topic, where)) as groups:
        async for messages in groups:
            yield len(messages), [letter for letter in map(from_message, messages) if asked.takes(letter)]


async def outcome_ranges(kafka: KafkaSettings, topic: str) -> dict[int, tuple[int, int]] | None:
    """Return what the topic of fates holds at this moment; None where there is no such topic."""
    async with KafkaView(kafka) as view:
        extents = (await view.extents([topic])).get(topic)
    return None if extents is None else {one.partition: (one.start, one.end) for one in extents}


async def fates(kafka: KafkaSettings, topic: str, where: Ranges) -> AsyncGenerator[tuple[bytes, Fate], None]:
    """Yield what became of dead letters, by key; the last of a key counts. To be used in ``aclosing``."""
    async with aclosing(read(kafka, topic, where)) as groups:
        async for messages in groups:
            for message in messages:
                fate = from_value(message.value)
                if message.key is not None and fate is not None:
                    yield message.key, fate


async def known_fates(kafka: KafkaSettings, topic: str) -> dict[bytes, Fate]:
    """Return the fate of every dead letter that has one, by key; none where the topic is missing."""
    where = await outcome_ranges(kafka, topic)
    async with aclosing(fates(kafka, topic, where or {})) as found:
        return {key: fate async for key, fate in found}
