"""What a source reads after a record that can not be read, and what it commits when the index is not what it was."""

import asyncio
from collections.abc import Callable
from functools import partial

import pytest
from aiokafka.errors import CorruptRecordException

from consumers.core.positions import commit_metadata
from consumers.kafka import source, starting
from consumers.kafka.commits import Ledger
from consumers.kafka.memory import MemoryBroker
from consumers.kafka.memory_client import MemoryAdmin, MemoryConsumer
from consumers.kafka.source import Delivery, Source
from consumers.stores.memory import MemoryStore
from schemas.errors import StoreUnavailable
from schemas.events import Event, Rewound
from schemas.messages import TimestampType
from schemas.settings import Settings

SETTINGS = Settings()
GROUP, TOPIC = SETTINGS.group, SETTINGS.kafka.topic
OURS = commit_metadata(SETTINGS.store.index, "digest")
VALUE = bytes(1000)
RECORDS = 50


class Bench:
    """A broker with a partition of fifty records, an index, and the only member of the group."""

    def __init__(self) -> None:
        self.broker = MemoryBroker(TOPIC, 1)
        self.store = MemoryStore()
        self.told: list[Event] = []
        for _ in range(RECORDS):
            self.broker.append(0, b"key", VALUE, (), 0, TimestampType.CREATE_TIME)

    async def join(self) -> Source:
        """Return a member of the group whose partition is assigned."""
        store = self.store
        ledger = Ledger(
            load=partial(store.load_positions, GROUP, TOPIC),
            save=partial(store.advance_positions, GROUP, TOPIC),
            server=store.server,
            has_documents=_yes,
        )
        member = Source(SETTINGS, "digest", ledger, self.told.append)
        await member.start()
        async with asyncio.timeout(5):
            while member.rebalancing:
                await asyncio.sleep(0)  # a poll that finds something lets nobody else run
                await member.poll(max_records=1, max_bytes=1)
        return member

    def unreadable(self, place: int) -> None:
        """Let the record at *place* be one that no client can parse."""
        self.broker.script.parse = lambda _, offset: CorruptRecordException() if offset == place else None

    async def saved(self) -> dict[int, int]:
        """Return what the index remembers."""
        return await self.store.load_positions(GROUP, TOPIC)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Let every client be one of a broker in memory."""
    made = Bench()
    monkeypatch.setattr(source, "AIOKafkaConsumer", partial(MemoryConsumer, made.broker))
    monkeypatch.setattr(starting, "AIOKafkaAdminClient", partial(MemoryAdmin, made.broker))
    return made


async def _yes() -> bool:
    return True


def _offsets(deliveries: list[Delivery]) -> list[int]:
    return [message.offset for delivery in deliveries for message in delivery.messages]


def _resolve(member: Source, upto: int) -> None:
    tracker = member.trackers[0]
    for offset in range(tracker.position, upto):
        tracker.resolve(offset)


async def _read(member: Source, upto: int) -> None:
    """Poll until what is before *upto* came, and resolve it."""
    async with asyncio.timeout(5):
        while member.trackers[0].expected < upto:
            await member.poll(max_records=upto - member.trackers[0].expected)
    _resolve(member, upto)


async def test_what_is_read_record_by_record_ends_at_the_bytes_that_there_is_room_for(bench: Bench) -> None:
    bench.unreadable(45)
    bench.broker.committed[0] = (0, OURS)
    member = await bench.join()
    came: list[int] = []
    start = member.trackers[0].expected
    while member.trackers[0].expected < 45:
        polled = _offsets(await member.poll(max_bytes=10 * len(VALUE)))
        assert 0 < len(polled) <= 10, "ten fill the room"
        came += polled
    assert came == list(range(start, 45)), "each once, in order"
    assert await member.poll(max_bytes=10 * len(VALUE)) == []
    assert "at or behind offset 45" in member.unreadable[0]
    await member.stop()


async def test_what_lies_behind_a_record_that_can_be_read_after_all_is_bounded_as_well(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.unreadable(2)
    bench.broker.committed[0] = (0, OURS)
    member = await bench.join()
    while 0 not in member.unreadable:
        await member.poll()
    bench.unreadable(RECORDS)
    monkeypatch.setattr(source, "UNREADABLE_AGAIN_S", -1.0)
    assert _offsets(await member.poll(max_bytes=10 * len(VALUE))) == list(range(2, 12))
    await member.stop()


async def test_a_position_that_is_saved_late_does_not_go_back_behind_the_next_owner(bench: Bench) -> None:
    """A worker that was frozen between its check of membership and the update: the update comes at last."""
    bench.broker.committed[0] = (0, OURS)
    zombie = await bench.join()
    await _read(zombie, 10)
    await zombie.commit()
    assert zombie._commits is not None
    server, known = await bench.store.server(), dict(zombie._commits.known)
    await zombie.stop()

    successor = await bench.join()
    await _read(successor, 30)
    await successor.commit()
    assert not await bench.store.advance_positions(GROUP, TOPIC, {0: 20}, known, server)
    assert await bench.saved() == {0: 30}
    await successor.stop()

    await (await bench.join()).stop()
    assert not [one for one in bench.told if isinstance(one, Rewound)], "no database was restored"


def _put_back(store: MemoryStore, position: int) -> None:
    store._positions[GROUP, TOPIC] = {0: position}


def _restarted(store: MemoryStore, position: int) -> None:
    del position
    store.run = "another"


@pytest.mark.parametrize(("what", "begins_at"), [(_put_back, 5), (_restarted, 20)])
async def test_a_worker_that_runs_begins_again_where_the_index_is_not_what_it_was(
    bench: Bench, what: Callable[[MemoryStore, int], None], begins_at: int
) -> None:
    bench.broker.committed[0] = (0, OURS)
    member = await bench.join()
    await _read(member, 20)
    await member.commit()
    await _read(member, 30)
    what(bench.store, 5)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="going on at what it knows"):
            await member.commit()
    assert bench.broker.committed[0] == (20, OURS), "nothing is said to be stored that may be gone"
    async with asyncio.timeout(5):
        first = _offsets(await member.poll(max_records=1))
        while not first:
            first = _offsets(await member.poll(max_records=1))
    assert first == [begins_at]
    rewound = [(one.committed, one.position) for one in bench.told if isinstance(one, Rewound)]
    assert rewound == ([(20, 5)] if begins_at == 5 else [])
    await _read(member, 40)
    await member.commit()
    assert (await bench.saved(), bench.broker.committed[0]) == ({0: 40}, (40, OURS))
    await member.stop()
