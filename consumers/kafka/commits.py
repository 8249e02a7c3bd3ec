"""What may an assignment commit?

To the index first, then to the group. An expelled member still commits, with generation -1, and an empty group accepts
that: a commit is sent only with the generation of its assignment, checked in the moment its request is built.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError
from aiokafka.structs import OffsetAndMetadata

from consumers.core.tracking import PartitionTracker
from producers.errors import FOREIGN, translated
from schemas.errors import StoreUnavailable
from schemas.events import CommitRefused, Committed, Observer

COMMIT_TIMEOUT_S = 10.0
IN_DOUBT = "the index was put back to an earlier time, restarted, or fed by another worker: going on at what it knows"


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the index remembers of our commits: methods of the store, bound to one group and topic.

    ``save`` takes positions, those that are known to stand there, and the ``server`` that told them.
    """

    load: Callable[[], Awaitable[Mapping[int, int]]]
    save: Callable[[Mapping[int, int], Mapping[int, int], str], Awaitable[bool]]
    server: Callable[[], Awaitable[str]]
    has_documents: Callable[[], Awaitable[bool]]


class Commits:
    """The commits of one assignment, until the group refuses one or ``close`` is called.

    ``in_doubt`` says that the index does not hold what was left there: what it has acknowledged since may be gone.
    """

    def __init__(
        self,
        consumer: Any,  # noqa: ANN401 - aiokafka publishes no types
        generation: int,
        topic: str,
        metadata: str,
        ledger: Ledger,
        observe: Observer,
    ) -> None:
        """Commit for a member of this *generation*, with *metadata* beside each offset."""
        self.in_doubt = False
        self._consumer = consumer
        self._generation = generation
        self._topic = topic
        self._metadata = metadata
        self._ledger = ledger
        self._observe = observe
        self._open = True
        self.committed: dict[int, int] = {}
        self.known: dict[int, int] = {}
        self.server = ""
        """Positions as the index holds them if nothing has happened to it, and the run of its server that told them."""

    def __repr__(self) -> str:
        return f"<Commits {self._topic} generation {self._generation} {self.committed}>"

    @property
    def allowed(self) -> bool:
        """Whether the group still counts us in, as of this assignment."""
        generation: int = self._consumer._coordinator.generation  # noqa: SLF001 - not public
        return self._open and generation == self._generation

    def close(self) -> None:
        """Commit nothing more."""
        self._open = False

    async def commit(self, trackers: Iterable[PartitionTracker]) -> None:
        """Commit every position that moved. Raises StoreUnavailable or BrokerUnavailable."""
        if self.in_doubt:
            raise StoreUnavailable(IN_DOUBT)
        moved = {
            tracker.partition: tracker.position
            for tracker in trackers
            if tracker.live and tracker.position != self.committed.get(tracker.partition)
        }
        if not moved or not self.allowed:
            return
        began = time.monotonic()
        if not await self._ledger.save(moved, self.known, self.server):
            self.in_doubt = True
            raise StoreUnavailable(IN_DOUBT)
        self.known.update(moved)
        if await self._send(moved):
            self.committed.update(moved)
            self._observe(Committed(moved, time.monotonic() - began))

    async def _send(self, moved: Mapping[int, int]) -> bool:
        offsets = {
            TopicPartition(self._topic, partition): OffsetAndMetadata(position, self._metadata)
            for partition, position in moved.items()
        }
        try:
            async with asyncio.timeout(COMMIT_TIMEOUT_S):
                await self._consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError) as error:
            self.close()
            self._observe(CommitRefused(f"{type(error).__name__}: {error}"))
            return False
        except FOREIGN as error:
            raise translated(error, "committing offsets") from error
        return True


def fence(consumer: Any, allowed: Callable[[], bool]) -> None:  # noqa: ANN401 - aiokafka publishes no types
    """Put a check before the client's own commit, without a chance to change in between.

    The client tries a commit again by itself, be it after a rebalance: the assignment has to be the one in force.
    """
    send = consumer._coordinator._do_commit_offsets  # noqa: SLF001 - not public

    async def commit(assignment: Any, offsets: object) -> None:  # noqa: ANN401 - aiokafka publishes no types
        if not (allowed() and assignment.active):
            raise CommitFailedError
        await send(assignment, offsets)

    consumer._coordinator._do_commit_offsets = commit  # noqa: SLF001 - not public
