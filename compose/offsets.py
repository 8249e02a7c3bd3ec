"""Where does a group stand?"""

from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack, aclosing
from types import TracebackType
from typing import Self

import msgspec

from consumers.core.positions import writer_of
from consumers.kafka.admin import Commit, Extent, Group, KafkaView, lags
from consumers.kafka.reader import read
from consumers.stores.pgvector import PgVectorStore
from schemas.dead_letters import iso
from schemas.errors import BrokerMisconfigured, ConfigurationError
from schemas.settings import Settings

UNKNOWN_GROUP = "Dead"
"""What Kafka says of a group of which it knows nothing."""


class PartitionOffsets(msgspec.Struct, frozen=True):
    """A partition as a group sees it.

    ``time`` is that of the last record below the committed offset, where it is still there; ``by`` says in words who
    committed, ``owner`` which member has the partition.
    """

    partition: int
    start: int
    committed: int | None
    end: int
    lag: int
    time: str | None
    by: str | None
    owner: str | None


class Offsets(msgspec.Struct, frozen=True):
    """A group in a topic."""

    group: str
    state: str
    topic: str
    partitions: list[PartitionOffsets]


class Facts(msgspec.Struct, frozen=True):
    """What Kafka says of a group and its topic in one moment."""

    extents: list[Extent]
    committed: dict[int, Commit]
    group: Group

    @property
    def members(self) -> list[str]:
        """Who is in the group, in words."""
        return [f"{one.client_id} on {one.host}" for one in self.group.members]


class GroupOffsets:
    """The configured group, its topic and its index, for as long as ``async with`` lasts."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.view = KafkaView(settings.kafka)
        self.store = PgVectorStore(settings.store)
        self._opened = AsyncExitStack()

    def __repr__(self) -> str:
        return f"<GroupOffsets of {self.settings.group} in {self.settings.kafka.topic}>"

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opened:
            await opened.enter_async_context(self.view)
            await opened.enter_async_context(self.store)
            self._opened = opened.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._opened.aclose()

    async def facts(self, *, any_group: bool = False) -> Facts:
        """Ask Kafka. Raises ConfigurationError where there is no such topic or, save *any_group*, no such group."""
        group, topic = self.settings.group, self.settings.kafka.topic
        extents = (await self.view.extents([topic])).get(topic)
        if extents is None:
            raise BrokerMisconfigured(f"the topic {topic} does not exist: correct kafka.topic, or run `headrace init`")
        committed = await self.view.committed(group, topic)
        described = await self.view.group(group, topic)
        if described.state == UNKNOWN_GROUP and not (committed or any_group):
            raise ConfigurationError(
                f"Kafka knows no group {group}: it has no member and has committed nothing; name another by --group"
            )
        return Facts(extents, committed, described)

    async def look(self) -> Offsets:
        """Say where the group stands."""
        facts = await self.facts()
        owners = {p: f"{one.client_id} on {one.host}" for one in facts.group.members for p in one.partitions}
        times = await self._times(facts.extents, facts.committed)
        partitions = [
            PartitionOffsets(
                one.partition,
                one.start,
                one.committed,
                one.end,
                one.lag,
                times.get(one.partition),
                writer_of(facts.committed[one.partition].metadata) if one.partition in facts.committed else None,
                owners.get(one.partition),
            )
            for one in lags(facts.extents, facts.committed)
        ]
        return Offsets(facts.group.name, facts.group.state, self.settings.kafka.topic, partitions)

    async def _times(self, extents: Iterable[Extent], committed: Mapping[int, Commit]) -> dict[int, str]:
        held = {one.partition: one for one in extents}
        ranges = {
            p: (one.offset - 1, one.offset)
            for p, one in committed.items()
            if p in held and held[p].start < one.offset <= held[p].end
        }
        async with aclosing(read(self.settings.kafka, self.settings.kafka.topic, ranges)) as groups:
            return {one.partition: iso(one.timestamp / 1000) async for messages in groups for one in messages}
