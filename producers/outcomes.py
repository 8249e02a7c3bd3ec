"""How is it kept what became of a dead letter?"""

from collections.abc import Iterable

from producers.replays import ParcelProducer
from schemas.fates import Fate, Parcel, to_record
from schemas.messages import Origin


class OutcomeProducer:
    """Write fates to the compacted topic, over the connection of *producer*."""

    def __init__(self, topic: str, producer: ParcelProducer) -> None:
        self.topic = topic
        self._producer = producer

    def __repr__(self) -> str:
        return f"<OutcomeProducer to {self.topic}>"

    async def write(self, fates: Iterable[tuple[Origin, Fate]]) -> None:
        """Return when Kafka has acknowledged the fates of the dead letters at these places.

        Raises BrokerUnavailable or BrokerMisconfigured; some of them may have been taken.
        """
        parcels = [Parcel(self.topic, to_record(place, fate)) for place, fate in fates]
        for refusal in await self._producer.send(parcels):
            if refusal is not None:
                raise refusal
