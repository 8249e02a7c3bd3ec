"""A dead letter is noted as replayed only behind the acknowledgement of its replay."""

from collections.abc import Iterable, Sequence
from typing import cast

import pytest
from msgspec.structs import replace

from consumers.core.replaying import Order
from consumers.core.selection import Filter
from consumers.replay import Run
from producers.outcomes import OutcomeProducer
from producers.replays import NoSuchTopic, ParcelProducer, Refusal
from schemas.dead_letters import DeadLetter, Failure
from schemas.errors import BrokerUnavailable
from schemas.fates import Fate, FateKind, Parcel
from schemas.messages import Message, Origin, TimestampType
from schemas.settings import Settings

FAILURE = Failure("embed", "input-rejected", "no", 1, "", "")
AWAY = BrokerUnavailable("away")


class Topics:
    """Both producers in one, with a diary; *answers* are what Kafka says to each parcel."""

    def __init__(self, *answers: Refusal | None) -> None:
        self.diary: list[tuple[str, object]] = []
        self._answers = answers

    async def send(self, parcels: Sequence[Parcel]) -> list[Refusal | None]:
        self.diary += [("sent", parcel.record.value) for parcel in parcels]
        return list(self._answers)

    async def write(self, fates: Iterable[tuple[Origin, Fate]]) -> None:
        self.diary += [(fate.kind, place.offset) for place, fate in fates]


def letter(number: int) -> DeadLetter:
    message = Message("docs.dlq", 0, number, 1, TimestampType.CREATE_TIME, b"k", b"%d" % number)
    return DeadLetter(message, replace(message.place, topic="docs.raw"), FAILURE, "", "", 0, "")


async def deal(kafka: Topics, count: int) -> Run:
    run = Run(Settings(), Order(FateKind.REPLAYED, Filter(), 100))
    producers = cast("ParcelProducer", kafka), cast("OutcomeProducer", kafka)
    await run._deal_with([letter(number) for number in range(count)], *producers)
    return run


async def test_the_fates_of_a_group_are_kept_behind_its_acknowledgements() -> None:
    kafka = Topics(None, NoSuchTopic("gone"), None)
    run = await deal(kafka, 3)
    assert kafka.diary == [
        *(("sent", b"%d" % number) for number in range(3)),
        (FateKind.REPLAYED, 0),
        (FateKind.SKIPPED, 1),
        (FateKind.REPLAYED, 2),
    ]
    assert run.tally.done == {FateKind.REPLAYED: 2, FateKind.SKIPPED: 1}
    assert run.tally.skipped == {"gone": 1}


async def test_what_was_not_acknowledged_gets_no_fate_and_ends_the_run() -> None:
    kafka = Topics(None, AWAY, AWAY)
    with pytest.raises(BrokerUnavailable):
        await deal(kafka, 3)
    assert kafka.diary[3:] == [(FateKind.REPLAYED, 0)]
