"""How are a group's offsets written from outside? Kafka takes them while the group has no member, and not else.

aiokafka's admin client can not: a consumer that joins no group commits them, and what is to be as if it had never been
committed is deleted by a request of our own.
"""

import asyncio
from collections.abc import Collection, Mapping
from contextlib import AsyncExitStack
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    CommitFailedError,
    IllegalGenerationError,
    NoError,
    RebalanceInProgressError,
    UnknownMemberIdError,
    for_code,
)
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Int16, Int32, Schema, String
from aiokafka.structs import OffsetAndMetadata

from consumers.kafka.admin import Commit, patiently
from producers.connection import client_options
from producers.errors import broker_errors
from schemas.errors import GroupIsLive
from schemas.settings import KafkaSettings

WITHIN_S = 20.0
NOT_EMPTY = (CommitFailedError, IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError)
NON_EMPTY_GROUP, SUBSCRIBED = 68, 86
"""Codes of Kafka for a group that has members; this client knows no exceptions for them."""


async def write_offsets(kafka: KafkaSettings, group: str, topic: str, wanted: Mapping[int, Commit]) -> None:
    """Commit for *group* in one request, of which Kafka takes all or nothing.

    Raises GroupIsLive, BrokerUnavailable or BrokerMisconfigured.
    """
    places = {TopicPartition(topic, p): OffsetAndMetadata(one.offset, one.metadata) for p, one in wanted.items()}
    if not places:
        return
    consumer = AIOKafkaConsumer(**client_options(kafka, "offsets"), group_id=group, enable_auto_commit=False)
    async with AsyncExitStack() as opened:
        opened.push_async_callback(consumer.stop)
        with broker_errors(f"committing offsets of the group {group}"):
            async with asyncio.timeout(WITHIN_S):
                await consumer.start()
                consumer.assign(list(places))
                try:
                    await consumer.commit(places)
                except NOT_EMPTY:
                    raise _live(group) from None


async def delete_offsets(kafka: KafkaSettings, group: str, topic: str, partitions: Collection[int]) -> None:
    """Let it be as if the group had never committed these partitions.

    Raises GroupIsLive, BrokerUnavailable or BrokerMisconfigured.
    """
    if not partitions:
        return
    admin = AIOKafkaAdminClient(**client_options(kafka, "offsets"))
    with broker_errors(f"deleting offsets of the group {group}"):
        async with AsyncExitStack() as opened:
            opened.push_async_callback(admin.close)
            async with asyncio.timeout(WITHIN_S):
                await admin.start()
                coordinator = await patiently(lambda: admin.find_coordinator(group))
                request = OffsetDeleteRequest(group, topic, sorted(partitions))
                answer = await admin._send_request_to_node(coordinator, request)  # noqa: SLF001 - it sends what it has no method for
    codes = [answer.error_code, *(code for _, told in answer.topics for _, code in told)]
    for code in codes:
        if code in (NON_EMPTY_GROUP, SUBSCRIBED):
            raise _live(group)
        if (error := for_code(code)) is not NoError:
            with broker_errors(f"deleting offsets of the group {group}"):
                raise error(f"code {code}")


def _live(group: str) -> GroupIsLive:
    return GroupIsLive(f"the group {group} got a member in this moment: Kafka takes offsets for an empty group only")


class OffsetDeleteResponse_v0(Response):  # type: ignore[misc]  # noqa: N801 - named as Kafka and its client do
    """What became of each partition."""

    API_KEY = 47
    API_VERSION = 0
    SCHEMA = Schema(
        ("error_code", Int16),
        ("throttle_time_ms", Int32),
        ("topics", Array(("topic", String("utf-8")), ("partitions", Array(("partition", Int32), ("code", Int16))))),
    )


class OffsetDeleteRequest_v0(RequestStruct):  # type: ignore[misc]  # noqa: N801 - the same
    """Which offsets of a group are to be deleted."""

    API_KEY = 47
    API_VERSION = 0
    RESPONSE_TYPE = OffsetDeleteResponse_v0
    SCHEMA = Schema(
        ("group", String("utf-8")),
        ("topics", Array(("topic", String("utf-8")), ("partitions", Array(Int32)))),
    )


class OffsetDeleteRequest(Request[OffsetDeleteRequest_v0]):  # type: ignore[misc]
    """Delete a group's offsets (KIP-496)."""

    API_KEY = 47

    def __init__(self, group: str, topic: str, partitions: Collection[int]) -> None:
        self._told = (group, [(topic, list(partitions))])

    def build(self, request_struct_class: Any) -> Any:  # noqa: ANN401 - aiokafka publishes no types
        """Return what goes over the wire."""
        return request_struct_class(*self._told)
