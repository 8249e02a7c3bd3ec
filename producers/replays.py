"""How do dead letters leave again? In groups, in order, each acknowledged or refused by itself."""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from producers.errors import RecordTooLarge
from producers.publisher import Publisher
from schemas.errors import BrokerMisconfigured, BrokerUnavailable
from schemas.fates import Parcel
from schemas.settings import KafkaSettings

LINGER_MS = 5
PATIENCE_S = 20.0

Refusal = BrokerUnavailable | BrokerMisconfigured


class NoSuchTopic(BrokerMisconfigured):
    """The topic of this parcel is not there; those of others may well be."""


ITS_OWN = (RecordTooLarge, NoSuchTopic)
"""Refusals that concern one parcel alone."""


class ParcelProducer:
    """Send parcels to whatever topics they name.

    Parcels for one partition arrive in the order in which they were given. After a failure of the connection some may
    arrive twice, or late: what they carry has to bear that, as replays and fates do.
    """

    def __init__(self, kafka: KafkaSettings, *, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._publisher = Publisher(kafka, "replays", linger_ms=LINGER_MS, patience_s=patience_s)
        self._missing: dict[str, NoSuchTopic] = {}

    def __repr__(self) -> str:
        return f"<ParcelProducer over {self._publisher!r}>"

    async def see(self, *topics: str) -> None:
        """See that topics are there. Raises BrokerUnavailable or BrokerMisconfigured."""
        for topic in topics:
            await self._publisher.partitions(topic)

    async def send(self, parcels: Sequence[Parcel]) -> list[Refusal | None]:
        """Return, for each parcel, None when Kafka has acknowledged it, or why it has not.

        RecordTooLarge and NoSuchTopic concern that parcel alone; anything else will befall the next one as well.
        """
        answers: list[Refusal | None] = [None] * len(parcels)
        waiting: dict[int, asyncio.Future[Any]] = {}
        producer = await self._publisher.producer()
        for place, parcel in enumerate(parcels):
            try:
                partition = await self._partition(parcel)
                waiting[place] = await self._publisher.enqueue(
                    producer, parcel.topic, parcel.record, partition, parcel.timestamp
                )
            except (BrokerUnavailable, BrokerMisconfigured) as refusal:
                answers[place] = refusal
                if not isinstance(refusal, ITS_OWN):
                    answers[place + 1 :] = [refusal] * (len(parcels) - place - 1)
                    break
        await self._settle(producer, parcels, waiting, answers)
        return answers

    async def aclose(self) -> None:
        """Close the connections."""
        await self._publisher.aclose()

    async def __aenter__(self) -> Self:
        await self._publisher.producer()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _settle(
        self,
        producer: Any,  # noqa: ANN401 - aiokafka publishes no types
        parcels: Sequence[Parcel],
        waiting: "dict[int, asyncio.Future[Any]]",
        answers: list[Refusal | None],
    ) -> None:
        """Wait for the acknowledgements; send again, one by one and in order, what was refused."""
        if not waiting:
            return
        _, silent = await asyncio.wait(waiting.values(), timeout=self._patience_s)
        failed = [place for place, future in waiting.items() if future in silent or future.exception() is not None]
        if silent:
            away = BrokerUnavailable(f"no acknowledgement from Kafka for {self._patience_s:g} s")
            for place in failed:
                answers[place] = away
        elif failed:
            # Of a batch that is too large any record can be the reason; the others were refused with it.
            await self._publisher.renew(producer)
            for place in failed:
                answers[place] = await self._alone(parcels[place])

    async def _alone(self, parcel: Parcel) -> Refusal | None:
        try:
            partition = await self._partition(parcel)
            await self._publisher.deliver(parcel.topic, parcel.record, partition, parcel.timestamp)
        except (BrokerUnavailable, BrokerMisconfigured) as refusal:
            return refusal
        return None

    async def _partition(self, parcel: Parcel) -> int | None:
        """Return the partition that a parcel asks for, if its topic has it."""
        if parcel.topic in self._missing:
            raise self._missing[parcel.topic]
        try:
            count = await self._publisher.partitions(parcel.topic)
        except BrokerMisconfigured as error:
            # To find out takes seconds: once is enough.
            self._missing[parcel.topic] = NoSuchTopic(str(error))
            raise self._missing[parcel.topic] from None
        return parcel.partition if parcel.partition is not None and parcel.partition < count else None
