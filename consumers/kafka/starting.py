"""Where does Kafka say that reading begins? Asks the broker; ``core/positions`` decides."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from consumers.core.positions import PartitionFacts, Start, see_that_the_index_knows, start_of
from producers.connection import client_options
from producers.errors import broker_errors
from schemas.errors import BrokerUnavailable
from schemas.settings import Settings


async def find_starts(
    consumer: Any,  # noqa: ANN401 - aiokafka publishes no types
    settings: Settings,
    places: Iterable[TopicPartition],
    committed: Mapping[TopicPartition, tuple[int, str]],
    stored: Mapping[int, int],
    has_documents: Callable[[], Awaitable[bool]],
) -> dict[TopicPartition, tuple[Start, int]]:
    """Return for each place where to start, and its end offset.

    *committed* is what the group has committed, asked for before *stored*, which the index remembers of our commits:
    each is told the index first, so that what was asked for later is never behind. Where *stored* is nothing,
    *has_documents* tells whether the index is empty. Raises BrokerUnavailable, BrokerMisconfigured, and IndexMismatch
    where the group belongs to another index.
    """
    wanted = list(places)
    if not wanted:
        return {}
    if not stored and not await has_documents():
        see_that_the_index_knows(settings.store.index, [committed[place][1] for place in wanted if place in committed])
    with broker_errors("finding where to start"):
        for place in wanted:
            if place not in committed and await consumer.committed(place) is not None:
                # The admin client takes an error of the whole answer for a group without commits.
                raise BrokerUnavailable(f"the offsets of the group {settings.group} can not be read yet")
        starts = await consumer.beginning_offsets(wanted)
        ends = await consumer.end_offsets(wanted)
    group_is_new = not any(place.topic == settings.kafka.topic for place in committed)
    found = {}
    for place in wanted:
        offset, metadata = committed.get(place, (None, ""))
        facts = PartitionFacts(offset, metadata, stored.get(place.partition), starts[place], ends[place])
        policy = settings.kafka.auto_offset_reset
        found[place] = (start_of(facts, settings.store.index, policy=policy, group_is_new=group_is_new), ends[place])
    return found


async def committed_offsets(settings: Settings) -> dict[TopicPartition, tuple[int, str]]:
    """Return next offset and metadata of every partition that the group has committed.

    Raises BrokerUnavailable or BrokerMisconfigured.
    """
    admin = AIOKafkaAdminClient(**client_options(settings.kafka, "positions"))
    with broker_errors(f"reading the offsets of the group {settings.group}"):
        try:
            await admin.start()
            found = await admin.list_consumer_group_offsets(settings.group)
        finally:
            await admin.close()
    return {place: (told.offset, told.metadata) for place, told in found.items() if told.offset >= 0}
