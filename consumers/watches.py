"""What goes wrong slowly? The memory of the process, records that the topic is about to lose, documents that wait."""

import asyncio
import time

from consumers.core.deadlines import DEADLINES_EVERY_S, Deadlines
from consumers.core.retention import Retention
from consumers.core.shared import Shared
from consumers.core.watermark import Watermark
from consumers.embedding import Embedding
from consumers.intake import Intake
from consumers.kafka.source import Source
from consumers.telemetry.memory import memory_limit, resident_bytes
from schemas.errors import BrokerError, ConfigurationError
from schemas.events import DeadlinePassed, RetentionNears
from schemas.settings import Settings
from schemas.status import State

MEMORY_EVERY_S = 1.0
RETENTION_EVERY_S = 5.0


class Watches:
    """Looks that are taken now and then while a worker runs; ``retention`` and ``deadlines`` say what was seen last."""

    def __init__(
        self, source: Source, intake: Intake, embedding: Embedding, shared: Shared, settings: Settings
    ) -> None:
        """Watch the parts of one pipeline."""
        self.retention = Retention()
        self.deadlines = Deadlines(settings.provider)
        self._source = source
        self._intake = intake
        self._embedding = embedding
        self._shared = shared
        self._settings = settings

    async def memory(self) -> None:
        """Hold intake while the process holds too much memory for more; returns where nothing is known of it."""
        limit, worker = memory_limit(), self._settings.worker
        if limit is None:
            return
        watermark = Watermark(limit // worker.workers, worker.max_memory_percent)
        while (resident := resident_bytes()) is not None:
            reason = watermark.reason(resident, self._shared.budget.documents)
            if reason is None:
                self._shared.conditions.clear("memory")
            else:
                self._shared.conditions.set("memory", State.THROTTLED, reason, time.monotonic(), works=True)
            await asyncio.sleep(MEMORY_EVERY_S)

    async def log(self) -> None:
        """Warn of unread records that the topic is about to lose, until cancelled."""
        source, retention = self._source, self.retention
        while True:
            await asyncio.sleep(RETENTION_EVERY_S)
            try:
                extents = await source.log_extents()
            except (BrokerError, ConfigurationError):
                continue  # whoever reads the topic tells what is wrong with it
            trackers = source.trackers
            retention.keep(frozenset(trackers))
            for partition, (start, end) in extents.items():
                if (tracker := trackers.get(partition)) is None:
                    continue
                position = tracker.position
                if retention.look(partition, start=start, position=position, end=end):
                    self._shared.observe(RetentionNears(partition, start, position, end))

    async def late_documents(self) -> None:
        """Say which partitions have late documents, and give up those that the settings want given up.

        No more at once than make a flood: the others wait until it is known to be none.
        """
        deadlines, conditions = self.deadlines, self._shared.conditions
        while True:
            await asyncio.sleep(DEADLINES_EVERY_S)
            now = time.monotonic()
            before = deadlines.before(now)
            late = {partition: tracker.late(before) for partition, tracker in self._source.trackers.items()}
            for partition, documents in deadlines.look(late).items():
                self._shared.observe(DeadlinePassed(partition, documents, deadlines.seconds))
            given_up = deadlines.given_up_before(now, excused=conditions.operator_awaited or self._intake.held)
            if given_up is not None and any(late.values()):
                self._embedding.give_up(given_up, self._settings.flood.run)
