"""One worker: the real pipeline, put together as ``compose/service.py`` does it, on ports to the world."""

import asyncio

from compose.service import fingerprint_of, letter_writer
from consumers.core.chunking import Chunker
from consumers.kafka.commits import Ledger
from consumers.kafka.source import Source
from consumers.pipeline import Parts, Pipeline
from schemas.errors import BrokerError, ConfigurationError
from schemas.events import Event
from schemas.settings import ChunkingSettings
from tests.simulation.loop import Process
from tests.simulation.plan import CHUNK_TOKENS
from tests.simulation.ports import LettersPort, ProviderPort, StorePort
from tests.simulation.world import World

_chunker = Chunker(ChunkingSettings(max_tokens=CHUNK_TOKENS))


class Worker:
    """One process: a real pipeline on ports to the world."""

    def __init__(self, world: World, name: str, *, until_caught_up: bool = False) -> None:
        self.process = Process(name)
        self.pipeline: Pipeline | None = None
        self.source: Source | None = None
        self._world = world
        self.was_frozen = False
        self.stopped_at: float | None = None
        self._until_caught_up = until_caught_up

    async def run(self) -> None:
        """Start as ``compose/service.py`` does, and work until stopped."""
        world, settings = self._world, self._world.plan.settings
        store = StorePort(world)
        group, topic = settings.group, settings.kafka.topic
        ledger = Ledger(
            load=lambda: store.load_positions(group, topic),
            save=lambda *told: store.advance_positions(group, topic, *told),
            server=store.server,
            has_documents=store.has_documents,
        )
        fingerprint = fingerprint_of(settings)
        source = Source(settings, fingerprint.digest, ledger, self._observe)
        while self.stopped_at is None:
            try:
                await source.start()
                break
            except (BrokerError, ConfigurationError):
                await asyncio.sleep(1.0)
        if self.stopped_at is not None:
            await source.stop()
            return
        parts = Parts(source, ProviderPort(world), store, LettersPort(world), _chunker)  # type: ignore[arg-type]  # StorePort passes on what it lacks
        pipeline = Pipeline(parts, settings, fingerprint, self._observe, letter_writer(settings))
        self.source, self.pipeline = source, pipeline
        await pipeline.run(until_caught_up=self._until_caught_up)

    def stop(self) -> None:
        """Drain and end."""
        self.stopped_at = self._world.loop.now
        if self.pipeline is not None:
            self.pipeline.stop()

    def _observe(self, event: Event) -> None:
        """Record what is told, and hold the budget to its bound: I9."""
        self._world.observe(event)
        if self.pipeline is None:
            return
        self._world.met["flood is held"] += self.pipeline.shared.conditions.has("flood")
        budget = self.pipeline.shared.budget
        documents, size = self._world.fetch
        if not 0 <= budget.documents <= budget.max_documents + documents:
            self._world.wrong(f"I9: {budget}")
        if not 0 <= budget.size <= budget.max_size + size:
            self._world.wrong(f"I9: {budget}")

    @property
    def is_idle(self) -> bool:
        """Whether nothing is in flight and nothing is amiss."""
        if self.pipeline is None or self.source is None or self.process.dead or self.source.rebalancing:
            return False
        shared = self.pipeline.shared
        return (shared.budget.documents, shared.budget.size, shared.conditions.foremost()) == (0, 0, None)
