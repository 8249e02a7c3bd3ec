"""How does a message that can not be stored reach the dead-letter topic? Unchanged, and acknowledged."""

import asyncio
from types import TracebackType
from typing import Self

from producers.publisher import CLOSE_TIMEOUT_S, Publisher
from schemas.dead_letters import DeadLetter, to_record
from schemas.errors import BrokerError, BrokerMisconfigured, BrokerUnavailable
from schemas.events import DeadLettered, DeadLetterFailed, Observer, ignore
from schemas.messages import Origin
from schemas.settings import KafkaSettings

LINGER_MS = 5
PATIENCE_S = 30.0


class DeadLetterProducer:
    """Send dead letters; order per document survives, since partition = origin partition modulo the count.

    A delivery that is waited for in vain goes on by itself: trying the same message again joins it, so that a slow
    broker gets one copy of a dead letter, not one for each try.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        *,
        topic: str | None = None,
        patience_s: float = PATIENCE_S,
        observe: Observer = ignore,
    ) -> None:
        self.topic = topic or kafka.dlq_topic
        self._patience_s = patience_s
        self._observe = observe
        self._publisher = Publisher(kafka, "dead-letters", linger_ms=LINGER_MS, patience_s=None)
        self._deliveries: dict[Origin, asyncio.Task[None]] = {}

    def __repr__(self) -> str:
        return f"<DeadLetterProducer to {self.topic}, {len(self._deliveries)} on their way>"

    async def open(self) -> None:
        """Connect, and see that the topic is there. Raises BrokerUnavailable or BrokerMisconfigured."""
        await self._publisher.open(self.topic)

    async def send(self, letter: DeadLetter) -> None:
        """Return when Kafka has acknowledged the dead letter; only then is its message resolved.

        Raises BrokerUnavailable, after which the same letter may be sent again, or BrokerMisconfigured for what stays
        so: too large for the topic (RecordTooLarge), no rights, no topic. Cancelling does not stop a delivery.
        """
        try:
            await self._send(letter)
        except (BrokerError, BrokerMisconfigured) as error:
            self._observe(DeadLetterFailed(type(error).__name__, str(error)))
            raise
        place = letter.message.place
        failure = letter.failure
        self._observe(
            DeadLettered(failure.stage, failure.code, place.topic, place.partition, place.offset, failure.message)
        )

    async def aclose(self) -> None:
        """Give what is on its way some seconds, then end it: its messages are unresolved and will come again."""
        if self._deliveries:
            await asyncio.wait(self._deliveries.values(), timeout=CLOSE_TIMEOUT_S)
        unfinished = list(self._deliveries.values())
        for delivery in unfinished:
            delivery.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)
        self._deliveries.clear()
        await self._publisher.aclose(0.0 if unfinished else CLOSE_TIMEOUT_S)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _send(self, letter: DeadLetter) -> None:
        place = letter.message.place
        delivery = self._deliveries.get(place)
        if delivery is None:
            delivery = self._deliveries[place] = asyncio.create_task(self._deliver(letter), name=f"dead letter {place}")
        await asyncio.wait([delivery], timeout=self._patience_s)
        if not delivery.done():
            await self._publisher.partitions(self.topic)  # knows better where the topic is gone
            raise BrokerUnavailable(f"sending to {self.topic}: no acknowledgement for {self._patience_s:g} s")
        self._deliveries.pop(place, None)
        delivery.result()

    async def _deliver(self, letter: DeadLetter) -> None:
        count = await self._publisher.partitions(self.topic)
        await self._publisher.deliver(self.topic, to_record(letter), letter.origin.partition % count)
