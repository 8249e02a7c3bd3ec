"""Kafka in memory: a topic, and the group that reads it, as a broker keeps them.

``MemoryConsumer`` in ``memory_client.py`` is what ``Source`` talks to it with. Whoever uses it may slow and break each
request by ``Script``.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from aiokafka.errors import CommitFailedError

from schemas.messages import Headers, Message, TimestampType

NO_GENERATION = -1
EXPIRY_LOOK_S = 1.0


async def _at_once(request: str) -> None:
    del request


def _sound(partition: int, offset: int) -> Exception | None:
    del partition, offset
    return None


def _accept(member: str, generation: int, offsets: Mapping[int, int]) -> None:
    del member, generation, offsets


@dataclass
class Script:
    """How the broker behaves; each can be replaced at any time.

    ``meet`` is awaited where a request is on its way (``commit`` before and ``committed`` after it took effect,
    ``heartbeat``, ``start``, ``leave``, ``offsets``, ``list``, ``ends``): it may wait, or raise what the client
    raises. ``parse`` is asked for each record and returns what its parser raises. ``fetch_s`` says how long a fetch
    takes from a new position on, ``fetch_records`` how many records it brings. ``accepted`` is told of each commit
    that took effect.
    """

    meet: Callable[[str], Awaitable[None]] = _at_once
    parse: Callable[[int, int], Exception | None] = _sound
    accepted: Callable[[str, int, Mapping[int, int]], None] = _accept
    fetch_s: Callable[[], float] = float
    fetch_records: int = 1000


@dataclass
class _Member:
    heard: float
    partitions: frozenset[int] = frozenset()
    joining: "asyncio.Future[None] | None" = None


class MemoryBroker:
    """A topic of *partitions* partitions and the group that reads it.

    An entry of ``log`` is a message, or None for an offset that a transaction marker or compaction has taken.
    ``committed`` holds next offset and metadata.
    """

    def __init__(self, topic: str, partitions: int, *, session_s: float = 10.0, rebalance_s: float = 30.0) -> None:
        self.topic = topic
        self.log: dict[int, list[Message | None]] = {partition: [] for partition in range(partitions)}
        self.committed: dict[int, tuple[int, str]] = {}
        self.script = Script()
        self.members: dict[str, _Member] = {}
        self.generation = 0
        self.news: list[asyncio.Event] = []
        """What to set when a record was appended: one a client."""
        self.session_s = session_s
        self._rebalance_s = rebalance_s
        self._joined_by: float | None = None
        self._named = 0

    def __repr__(self) -> str:
        return f"<MemoryBroker {self.topic}, {sum(map(len, self.log.values()))} records, {len(self.members)} members>"

    def append(
        self,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        timestamp: int,
        kind: TimestampType = TimestampType.LOG_APPEND_TIME,
    ) -> Message:
        """Append a record and wake whoever waits for one."""
        log = self.log[partition]
        message = Message(self.topic, partition, len(log), timestamp, kind, key, value, headers)
        log.append(message)
        self._wake()
        return message

    def append_gap(self, partition: int) -> None:
        """Append what is no record for us: a transaction marker."""
        self.log[partition].append(None)
        self._wake()

    def _wake(self) -> None:
        for news in self.news:
            news.set()

    @property
    def rebalancing(self) -> bool:
        """Whether the group waits for its members to join."""
        return self._joined_by is not None

    def expire(self) -> None:
        """Expel members that were silent for longer than the session timeout."""
        moment = now()
        silent = [
            name for name, one in self.members.items() if one.joining is None and moment - one.heard > self.session_s
        ]
        for name in silent:
            self.leave(name)

    def leave(self, name: str) -> None:
        """Let a member go; the others share its partitions."""
        if self.members.pop(name, None) is not None:
            self._prepare()
            self._complete_if_all_joined()

    def rebalance(self) -> None:
        """Let all members join anew, as after a member that came and went."""
        if self.members:
            self._prepare()

    def heartbeat(self, name: str, generation: int) -> str:
        """Return ``ok``, ``rebalance`` or ``unknown``."""
        self.expire()
        member = self.members.get(name)
        if member is None or generation != self.generation:
            return "unknown"
        member.heard = now()
        return "rebalance" if self.rebalancing else "ok"

    async def join(self, name: str) -> tuple[str, int, frozenset[int]]:
        """Wait until all members have joined, or are expelled; return name, generation and partitions."""
        self.expire()
        if name not in self.members:
            self._named += 1
            name = f"member-{self._named}"
            self.members[name] = _Member(now())
        member = self.members[name]
        member.joining = joining = asyncio.get_running_loop().create_future()
        self._prepare()
        self._complete_if_all_joined()
        while not joining.done():
            await asyncio.wait([joining], timeout=EXPIRY_LOOK_S)
            member.heard = now()
            self.expire()
            if self._joined_by is not None and now() > self._joined_by:
                for absent in [other for other, one in self.members.items() if one.joining is None]:
                    self.members.pop(absent)
                self._complete_if_all_joined()
        return name, self.generation, member.partitions

    def _prepare(self) -> None:
        if self._joined_by is None:
            self._joined_by = now() + self._rebalance_s

    def _complete_if_all_joined(self) -> None:
        if any(member.joining is None for member in self.members.values()):
            return
        self._joined_by = None
        self.generation += 1
        count = len(self.members)
        for place, member in enumerate(self.members.values()):
            # Partitions move from member to member with each generation.
            member.partitions = frozenset(p for p in self.log if (p + self.generation) % count == place)
            member.heard = now()
            if member.joining is not None and not member.joining.done():
                member.joining.set_result(None)
            member.joining = None

    def commit(self, name: str, generation: int, offsets: Mapping[int, tuple[int, str]]) -> None:
        """Take a commit as a broker does. Raises CommitFailedError where the group does not count the sender in."""
        self.expire()
        is_simple = not self.members and generation == NO_GENERATION
        if not is_simple and (name not in self.members or generation != self.generation):
            raise CommitFailedError("the group has already rebalanced")
        self.committed.update(offsets)
        self.script.accepted(name, generation, {partition: offset for partition, (offset, _) in offsets.items()})


def now() -> float:
    """Say how late it is, on the clock of whoever waits."""
    return asyncio.get_running_loop().time()
