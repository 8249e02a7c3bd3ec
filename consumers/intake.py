"""What is taken in, and when? Poll, budget, decode."""

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Sequence

from consumers.core.backoff import backoff
from consumers.core.decoding import decode
from consumers.core.flight import Cause, Flight
from consumers.core.footprint import LARGE, Footprint, grow, heaviest
from consumers.core.shared import Shared
from consumers.kafka.source import Delivery, Source
from schemas.documents import Document
from schemas.errors import BrokerError, ConfigurationError, IndexMismatch, InvalidDocument, StoreError
from schemas.events import OddInput, Polled
from schemas.status import State

PATIENCE_S = 0.5
"""A hold that ends this soon does not pause the consumer: a pause throws away what was fetched."""
LOOK_S = 0.01


class Intake:
    """Poll while there is room and nothing is wrong; hand on what was decoded, and what was not.

    ``held`` stops it between two polls; a paused consumer goes on polling, since a silent member is expelled.
    """

    def __init__(
        self,
        source: Source,
        shared: Shared,
        max_document_bytes: int,
        footprint: Footprint,
        *,
        accept: Callable[[Sequence[Flight]], None],
        condemn: Callable[[Flight, Cause], None],
        decoded: Callable[[int, int], None],
    ) -> None:
        """Wire the stage: *accept* takes what can be stored, *condemn* what can not.

        *decoded* is told of a partition how many messages were documents, before each that was none.
        """
        self.held = False
        self._source = source
        self._budget = shared.budget
        self._conditions = shared.conditions
        self._observe = shared.observe
        self._max_document_bytes = max_document_bytes
        self._footprint = footprint
        self._accept = accept
        self._condemn = condemn
        self._decoded = decoded
        self._paused = False
        self._failures = 0

    async def run(self) -> None:
        """Take in until cancelled."""
        while True:
            await self._wait_for_room()
            try:
                deliveries = await self._source.poll(self._budget.room, self._budget.room_bytes)
            except IndexMismatch:
                raise
            except (BrokerError, StoreError, ConfigurationError) as error:
                await self._wait_after(error)
                continue
            if self._failures:
                self._failures = 0
                self._conditions.clear("broker")
            self._note("record", "; ".join(self._source.unreadable.values()))
            self._note("membership", self._source.contested)
            if deliveries:
                self._take(deliveries)
            else:
                await asyncio.sleep(0)

    def _take(self, deliveries: Sequence[Delivery]) -> None:
        began = time.monotonic()
        size = sum([delivery.size for delivery in deliveries])
        count = sum([len(delivery.messages) for delivery in deliveries])
        self._budget.take(size + count * self._footprint.vector_bytes, count)
        accepted: list[Flight] = []
        for delivery in deliveries:
            accepted += self._read(delivery, began)
        self._observe(Polled(count, size, time.monotonic() - began))
        if accepted:
            self._accept(accepted)

    def _read(self, delivery: Delivery, now: float) -> list[Flight]:
        """Return what can be stored, and condemn what can not."""
        tracker, now_ms = delivery.tracker, int(time.time() * 1000)
        vector_bytes = self._footprint.vector_bytes
        read: list[Flight] = []
        told = 0
        for message in delivery.messages:
            try:
                decoded = decode(message, now_ms, self._max_document_bytes, tracker)
            except InvalidDocument as error:
                self._decoded(tracker.partition, len(read) - told)
                told = len(read)
                cause = Cause("decode", error.code, str(error))
                self._condemn(Flight(tracker, message, None, now, vector_bytes), cause)
                continue
            for oddity in decoded.oddities:
                self._observe(OddInput(oddity))
            read.append(Flight(tracker, message, decoded, now, vector_bytes))
        self._decoded(tracker.partition, len(read) - told)
        if heaviest(read) > self._footprint.short:
            self._grow(read)
        return read

    def _grow(self, flights: Iterable[Flight]) -> None:
        """Count what long documents will hold."""
        for flight in flights:
            if flight.weight > self._footprint.short and isinstance(flight.subject, Document):
                expected = self._footprint.expected(flight, flight.subject)
                grow(flight, expected - flight.weight, self._budget)

    async def _wait_for_room(self) -> None:
        """Hold back for a moment without a pause, then pause; resume as soon as there is room.

        Large documents pause at once: what would be fetched meanwhile is as large.
        """
        patience = PATIENCE_S if self._budget.each < LARGE else 0.0
        while self._is_held() and patience > 0 and not self._paused:
            await asyncio.sleep(LOOK_S)
            patience -= LOOK_S
        held = self._is_held()
        if held and not self._paused:
            self._source.pause()
        elif self._paused and not held:
            self._source.resume()
        self._paused = held

    def _is_held(self) -> bool:
        return self.held or self._budget.is_full() or self._conditions.hold

    async def _wait_after(self, error: Exception) -> None:
        self._failures += 1
        state = State.BLOCKED if isinstance(error, ConfigurationError) else State.THROTTLED
        self._conditions.set("broker", state, str(error), time.monotonic(), holds=False)
        await asyncio.sleep(backoff(self._failures, random.random()))  # noqa: S311 - jitter, no secret

    def _note(self, part: str, reason: str | None) -> None:
        """Tell what the source can not mend by itself."""
        if reason:
            self._conditions.set(part, State.BLOCKED, reason, time.monotonic(), holds=False)
        else:
            self._conditions.clear(part)
