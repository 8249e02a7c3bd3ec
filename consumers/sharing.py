"""What part of the provider's quota is ours?

The part of our partitions with lag among all of the topic, looked at now and then and as soon as partitions change
hands; nobody has to be asked for it.
"""

import asyncio
import time
from contextlib import suppress

from consumers.core.rate import Backlog, part_of, share_of
from consumers.embedding import Embedding
from consumers.kafka.source import Source
from consumers.kafka.starting import committed_offsets
from schemas.errors import BrokerError, ConfigurationError
from schemas.settings import Settings

SHARE_EVERY_S = 5.0
LOOK_S = 0.25


class Sharing:
    """Tell the lane which part of the quota, told or learnt, it may use."""

    def __init__(self, source: Source, embedding: Embedding, settings: Settings) -> None:
        """Share by what *source* knows of the topic and of its group."""
        self._source = source
        self._lane = embedding.lane
        self._settings = settings

    async def run(self) -> None:
        """Share until cancelled."""
        share, before = 1.0, list[Backlog]()
        while True:
            if self._lane.has_quota:
                backlogs: list[Backlog] = []
                with suppress(BrokerError, ConfigurationError):  # whoever reads the topic tells what is wrong with it
                    backlogs = await self._backlogs()
                share = share_of(backlogs, share)
                got = part_of(before, backlogs)
                if self._lane.share(share, got) or got is None:
                    before = backlogs
            await self._wait()

    async def _wait(self) -> None:
        until, partitions = time.monotonic() + SHARE_EVERY_S, frozenset(self._source.trackers)
        # A look every now and then is simpler than an event at each assignment.
        while time.monotonic() < until and frozenset(self._source.trackers) == partitions:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_S)

    async def _backlogs(self) -> list[Backlog]:
        """Return every partition's lag: ours as we know it, the others' by what their owners committed."""
        if self._source.rebalancing:
            return []
        trackers, topic = self._source.trackers, self._settings.kafka.topic
        ends, committed = await self._source.end_offsets(), await committed_offsets(self._settings)
        of_others = {place.partition: offset for place, (offset, _) in committed.items() if place.topic == topic}
        positions = of_others | {p: tracker.position for p, tracker in trackers.items()}
        return [
            Backlog(end - positions.get(p, 0), p in trackers, positions.get(p, 0)) for p, end in sorted(ends.items())
        ]
