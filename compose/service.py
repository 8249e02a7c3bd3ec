"""How is a worker put together? Settings become objects here, and nowhere else are concrete classes named."""

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import AsyncExitStack

from consumers.core.backoff import backoff
from consumers.core.chunking import Chunker, describe
from consumers.core.flight import Cause, Flight
from consumers.core.standing_orders import ORDERS_EVERY_S, sent_away
from consumers.kafka.commits import Ledger
from consumers.kafka.source import Source
from consumers.pipeline import Parts, Pipeline
from consumers.providers.openai import OpenAIProvider
from consumers.providers.profiles import profile_of
from consumers.stores.pgvector import PgVectorStore
from producers.dead_letters import DeadLetterProducer
from schemas import __version__, headers
from schemas.dead_letters import DeadLetter, Failure, iso
from schemas.errors import (
    BrokerError,
    ConfigurationError,
    IndexMismatch,
    StoreError,
    StoreMisconfigured,
)
from schemas.events import Observer
from schemas.index import Fingerprint
from schemas.orders import leave_of
from schemas.settings import Settings

SOFTWARE = f"headrace/{__version__}"


def fingerprint_of(settings: Settings) -> Fingerprint:
    """Return what these settings make of an index. Raises ConfigurationError where model or dimensions are not set."""
    provider = settings.provider
    if provider.model is None or provider.dimensions is None:
        raise ConfigurationError(
            "set provider.model and provider.dimensions, or start an embedded stack: `headrace up`"
        )
    chunking, tokenizer = describe(settings.chunking)
    return Fingerprint(
        profile_of(provider).family,
        provider.model,
        provider.dimensions,
        settings.store.vector_type,
        chunking,
        tokenizer,
    )


def see_that_it_exists(stored: Fingerprint | None, index: str) -> Fingerprint:
    """Return what is known of an index. Raises StoreMisconfigured where there is none."""
    if stored is None:
        raise StoreMisconfigured(f"the index {index!r} does not exist: run `headrace init`")
    return stored


def see_that_it_fits(stored: Fingerprint | None, wanted: Fingerprint, index: str) -> None:
    """Compare the index with the settings.

    Raises IndexMismatch, naming each difference, and StoreMisconfigured where there is no index.
    """
    stored = see_that_it_exists(stored, index)
    names = Fingerprint.__struct_fields__
    differing = [name for name in names if getattr(stored, name) != getattr(wanted, name)]
    if differing:
        said = ", ".join(f"{name} is {getattr(stored, name)!r}, set is {getattr(wanted, name)!r}" for name in differing)
        raise IndexMismatch(
            f"the index {index!r} holds other vectors ({said}): correct the settings, or name another store.index"
        )


def letter_writer(settings: Settings) -> Callable[[Flight, Cause], DeadLetter]:
    """Return what writes the dead letter of a flight for this group and index."""

    def letter(flight: Flight, cause: Cause) -> DeadLetter:
        now = iso(time.time())
        failure = Failure(cause.stage, cause.code, cause.message, cause.attempts, now, now)
        return DeadLetter(
            flight.message, flight.origin, failure, settings.group, settings.store.index, replays_of(flight), SOFTWARE
        )

    return letter


def replays_of(flight: Flight) -> int:
    """Return how often this message was replayed, as its headers say; 0 where they say nothing sensible.

    A dead letter that a plain Kafka tool copied back tells how often it was replayed before.
    """
    told = dict(flight.message.headers)
    replays, before = told.get(headers.REPLAYS), told.get(headers.DLQ_PREFIX + "replays")
    if replays is not None:
        return int(replays) if replays.isdigit() else 0
    return int(before) + 1 if before is not None and before.isdigit() else 0


class Worker:
    """One worker process: its parts, opened in order and closed in reverse, and the pipeline they make.

    ``run`` waits for parts that do not answer yet, with the reason in ``starting_because``, and goes on by itself.
    While an operator keeps the group's workers away, ``away_because`` says so: nothing is open then but the store.
    """

    def __init__(self, settings: Settings, observe: Observer) -> None:
        """Check the settings. Raises ConfigurationError for what no waiting will mend."""
        self.settings = settings
        self.fingerprint = fingerprint_of(settings)
        self.pipeline: Pipeline | None = None
        self.starting_because = "connecting"
        self.away_because: str | None = None
        self._observe = observe
        self._stop = asyncio.Event()
        try:
            self._chunker = Chunker(settings.chunking)
        except ValueError as error:
            raise ConfigurationError(f"the settings of [chunking] can not be used: {error}") from None

    def stop(self) -> None:
        """Drain and end."""
        self._stop.set()
        if self.pipeline is not None:
            self.pipeline.stop()

    async def run(self, *, until_caught_up: bool = False) -> None:
        """Work until stopped; when sent away from the group, leave it, and open everything anew when called back."""
        while not self._stop.is_set():
            async with AsyncExitStack() as opened:
                pipeline = await self._open(opened)
                if pipeline is None:
                    return
                self.pipeline = pipeline
                if self._stop.is_set():
                    pipeline.stop()
                await pipeline.run(until_caught_up=until_caught_up)
                if pipeline.sent_away is None:
                    return
                self.away_because, self.pipeline = pipeline.sent_away, None

    async def _open(self, opened: AsyncExitStack) -> Pipeline | None:
        """Open every part, each as often as it takes; None when told to stop meanwhile."""
        settings = self.settings
        store = PgVectorStore(settings.store, force_before=settings.worker.force_before)
        opened.push_async_callback(store.aclose)
        provider = OpenAIProvider(settings.provider)
        opened.push_async_callback(provider.aclose)
        dead_letters = DeadLetterProducer(settings.kafka, observe=self._observe)
        opened.push_async_callback(dead_letters.aclose)
        group, topic = settings.group, settings.kafka.topic
        ledger = Ledger(
            load=lambda: store.load_positions(group, topic),
            save=lambda *told: store.advance_positions(group, topic, *told),
            server=store.server,
            has_documents=store.has_documents,
        )
        source = Source(settings, self.fingerprint.digest, ledger, self._observe)

        async def see_the_index() -> None:
            see_that_it_fits(await store.about(), self.fingerprint, settings.store.index)
            await store.see_that_it_is_up_to_date()

        async def stay_away() -> None:
            while not self._stop.is_set():
                self.away_because = sent_away(await store.orders([leave_of(group)]), group)
                if self.away_because is None:
                    return
                await self._wait(ORDERS_EVERY_S)

        for step in (see_the_index, stay_away, dead_letters.open, source.start):
            failures = 0
            while not self._stop.is_set():
                try:
                    await step()
                    break
                except IndexMismatch:
                    raise
                except (StoreError, BrokerError, ConfigurationError) as error:
                    failures += 1
                    self.starting_because = str(error)
                    await self._wait(backoff(failures, random.random(), longest_s=5.0))  # noqa: S311 - jitter
        if self._stop.is_set():
            return None
        parts = Parts(source, provider, store, dead_letters, self._chunker)
        return Pipeline(parts, settings, self.fingerprint, self._observe, letter_writer(settings))

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return
