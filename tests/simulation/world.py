"""The world around the workers: a broker, a database, a provider and a dead-letter topic that fail by a plan.

What is here outlives a worker, which reaches it by the ports of ``ports.py`` alone.
"""

import asyncio
import hashlib
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from copy import copy
from datetime import UTC, datetime

from aiokafka.errors import CorruptRecordException, KafkaConnectionError, KafkaTimeoutError, RequestTimedOutError

from consumers.core.footprint import CHUNK_BYTES
from consumers.kafka.memory import MemoryBroker
from consumers.providers.memory import MemoryProvider
from consumers.stores.memory import MemoryStore
from schemas.dead_letters import DeadLetter
from schemas.errors import (
    BrokerMisconfigured,
    BrokerUnavailable,
    HeadraceError,
    InputRejected,
    MalformedReply,
    ProviderMisconfigured,
    ProviderUnavailable,
    RateLimited,
    StoreUnavailable,
)
from schemas.events import Event, Resolved
from schemas.index import Fingerprint
from schemas.messages import TimestampType
from schemas.orders import YES, pause_of, resume_of
from tests.simulation.loop import EPOCH_S, PROCESS, START_S, Process, SimulatedLoop
from tests.simulation.plan import (
    BROKEN,
    CHUNK_TOKENS,
    DIMENSIONS,
    FETCH_RECORDS,
    KILLER,
    POISON,
    SESSION_S,
    Plan,
    Write,
)
from tests.simulation.truth import Truth

LARGEST_CALL = 6
OPERATOR = "an operator"


class World:
    """Everything outside of the workers, and the record of what happened."""

    def __init__(self, plan: Plan, loop: SimulatedLoop, fingerprint: Fingerprint, *, loud: bool = False) -> None:
        self.plan = plan
        self.loop = loop
        self.calm = False
        self.wrongs: list[str] = []
        provider = plan.settings.provider
        patience_s = provider.deadline_s if provider.on_deadline == "dead-letter" else None
        self.truth = Truth(self.wrong, lambda: self.since, patience_s)
        self.chance = random.Random(f"{plan.seed}/faults")
        self.store = MemoryStore(fingerprint)
        self.provider = MemoryProvider(DIMENSIONS, spoil=lambda text: "never finite" if BROKEN in text else None)
        self.letters: list[DeadLetter] = []
        self.embedded: Counter[str] = Counter()
        self._saved: dict[tuple[Process | None, int], int] = {}
        """The next offset of each partition that a process told the index last."""
        self.unusable: set[str] = set()
        self.snapshot: tuple[MemoryStore, set[int], dict[int, int]] | None = None
        self.broker = MemoryBroker(
            plan.settings.kafka.topic, plan.partitions, session_s=SESSION_S, rebalance_s=SESSION_S + 10.0
        )
        script = self.broker.script
        script.meet, script.parse, script.accepted = self._meet_broker, self._parse, self._accepted
        script.fetch_s = self._latency
        script.fetch_records = FETCH_RECORDS
        sizes = [len(write.value or b"") for write in plan.writes]
        fetched = plan.partitions * FETCH_RECORDS
        self.fetch = (fetched, fetched * _most_held(max(sizes, default=0)))
        """Documents, and the bytes that they hold, that one fetch of each partition may bring."""
        self.met: Counter[str] = Counter()
        self._hash = hashlib.blake2b(digest_size=16)
        self._loud = loud

    def say(self, what: str, *told: object) -> None:
        """Record what happened."""
        process = PROCESS.get()
        line = (
            f"{self.loop.now - START_S:10.5f} {process.name if process else '-':10} {what} {' '.join(map(str, told))}"
        )
        self._hash.update(line.encode())
        if self._loud:
            print(line)  # noqa: T201 - this is what was asked for

    @property
    def trace(self) -> str:
        """The hash of everything that happened."""
        return self._hash.hexdigest()

    def wrong(self, what: str) -> None:
        """Note what must not be, and end."""
        self.say("WRONG:", what)
        self.wrongs.append(what)
        self.loop.stop()

    def observe(self, event: Event) -> None:
        """Put what the workers tell into the record."""
        self.say("told", event)
        self.met[
            f"{type(event).__name__} {event.outcome.value}" if isinstance(event, Resolved) else type(event).__name__
        ] += 1

    # How it fails.

    @property
    def since(self) -> float:
        """Seconds since the beginning."""
        return self.loop.now - START_S

    def _latency(self) -> float:
        return 0.001 if self.calm else self.chance.expovariate(1 / self.plan.latency_s)

    def _fails(self, fault: str) -> bool:
        probability = self.plan.faults.get(fault)
        fails = probability is not None and not self.calm and self.chance.random() < probability
        self.met[fault] += fails
        return fails

    def _is_out(self, part: str) -> bool:
        out = not self.calm and any(part == out and a <= self.since < b for out, a, b in self.plan.outages)
        self.met[f"{part} is out"] += out
        return out

    async def pass_time(self) -> None:
        """Take as long as a request takes; whoever is dead gets no further."""
        self.see_that_it_lives()
        await asyncio.sleep(self._latency())

    def see_that_it_lives(self) -> None:
        """Close every port to a process that was killed."""
        process = PROCESS.get()
        if process is not None and process.dead:
            raise asyncio.CancelledError

    # Kafka.

    async def _meet_broker(self, request: str) -> None:
        await self.pass_time()
        if self._fails(request) or self._is_out("broker"):
            self.say("broker fails", request)
            if request in {"commit", "committed"} and self.chance.random() < 0.3:
                await asyncio.sleep(20.0)  # aiokafka tries by itself for longer than anybody waits
            raise self.chance.choice((KafkaConnectionError, RequestTimedOutError, KafkaTimeoutError))(request)

    def _parse(self, partition: int, offset: int) -> Exception | None:
        # One record can not be read for a while; the client's parser raises what it meets.
        if self._fails("parse") or (self._is_out("unreadable") and offset % 5 == 3 and partition == 0):
            self.say("can not be parsed", partition, offset)
            return self.chance.choice((CorruptRecordException("crc"), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x")))
        return None

    def _accepted(self, member: str, generation: int, offsets: Mapping[int, int]) -> None:
        self.say("committed", member, generation, dict(sorted(offsets.items())))
        held = self.broker.members.get(member)
        process = PROCESS.get()
        for partition, position in sorted(offsets.items()):
            if held is None or generation < 0 or partition not in held.partitions:
                self.wrong(f"I4: {member or 'an expelled member'} committed {partition} at {position}")
            told = self._saved.get((process, partition))
            if told is None or told < position:
                self.wrong(f"I11: {partition} committed at {position}, the index was told {told}")
            if position > len(self.broker.log[partition]):
                self.wrong(f"I1: {partition} committed at {position}, beyond its end")
            self.truth.committed(partition, position, self.store._rows)

    def append(self, write: Write) -> None:
        """Append what the plan says."""
        if write.is_gap:
            self.broker.append_gap(write.partition)
            return
        now = int((EPOCH_S + self.loop.now) * 1000)
        kind = TimestampType.LOG_APPEND_TIME if write.created is None else TimestampType.CREATE_TIME
        log = [message for message in self.broker.log[write.partition] if message is not None]
        last = log[-1].timestamp if log and log[-1].timestamp_type is kind else 0
        timestamp = now // 100 * 100 if write.created is None else now + write.created
        if write.created is None:
            timestamp = max(last, timestamp)
        message = self.broker.append(write.partition, write.key, write.value, write.headers, timestamp, kind)
        self.truth.appended(message)
        self.say("appended", message)

    def reset_offsets(self, positions: Mapping[int, int]) -> None:
        """Do what an operator's tool does to a group without members."""
        self.say("operator resets", positions)
        self.broker.committed = {partition: (position, OPERATOR) for partition, position in positions.items()}

    async def give_orders(self, *, paused: str, resume: bool) -> None:
        """Do what ``headrace pause`` and ``headrace resume`` do."""
        group = self.plan.settings.group
        await self.store.give_orders({pause_of(group): paused} | ({resume_of(group): YES} if resume else {}), OPERATOR)

    # The database.

    def force(self) -> None:
        """Have everything embedded again that was embedded until now: every worker is told the same moment."""
        self.store.force_before = datetime.fromtimestamp(EPOCH_S + self.loop.now, UTC)
        self.say("forces")
        self.met["forced"] += 1

    def take_snapshot(self) -> None:
        """Keep what the database holds now."""
        store = copy(self.store)
        store._positions = {name: dict(positions) for name, positions in self.store._positions.items()}
        settled = {id(known) for known in self.truth._all() if known.settled}
        self.snapshot = (store, settled, dict(self.truth.verified))
        self.say("snapshot")

    def restore_snapshot(self) -> None:
        """Put the database back to what was kept, while no worker is there."""
        if self.snapshot is None:
            return
        forced = self.store.force_before
        self.store, settled, self.truth.verified = self.snapshot
        self.store.force_before = forced
        self.snapshot = None
        for known in self.truth._all():
            known.settled = id(known) in settled
        self.say("restored")
        if not (self.store._rows or any(self.store._positions.values())):
            # An empty index refuses the positions of its workers: the operator does what the refusal says.
            self.reset_offsets(dict.fromkeys(self.broker.committed, 0))

    async def ask_store(self, what: str) -> None:
        """Reach the database, or do not."""
        await self.pass_time()
        if self._fails("store before") or self._is_out("store"):
            self.say("store fails before", what)
            raise StoreUnavailable("no connection", sqlstate=self.chance.choice((None, "40001", "57P01")))

    async def answer_store(self, what: str) -> None:
        """Bring the answer home, or do not."""
        await self.pass_time()
        if self._fails("store after") or self._is_out("store"):
            self.say("store fails after", what)
            raise StoreUnavailable("the connection is gone", sqlstate="08006")

    def told_the_index(self, positions: Mapping[int, int]) -> None:
        """Remember what a worker says of its positions."""
        for partition, position in positions.items():
            self._saved[PROCESS.get(), partition] = position

    # The provider.

    def refusal(self, texts: Sequence[str]) -> HeadraceError | None:
        """Say what a call with these texts runs into."""
        if self._is_out("provider misconfigured"):
            return ProviderMisconfigured("no quota")
        if self._is_out("provider") or self._fails("provider") or any(KILLER in text for text in texts):
            return ProviderUnavailable("503", status=503)
        if self._fails("rate limit"):
            return RateLimited("429", status=429, retry_after=self.chance.choice((None, 0.5, 3.0)))
        oversized = len(texts) > LARGEST_CALL and self.plan.seed % 2 == 1
        if oversized or any(POISON in text for text in texts):
            return InputRejected("400", status=400, oversized=oversized)
        return MalformedReply("half of it") if self._fails("malformed") else None

    def misses_a_vector(self, text: str) -> bool:
        """Say whether the vector of a good text is unusable, which happens once to a text."""
        if text not in self.unusable and self._fails("vector"):
            self.unusable.add(text)
            return True
        return False

    # Dead letters.

    async def take_letter(self, letter: DeadLetter) -> None:
        """Append a dead letter, and acknowledge that, or do not."""
        await self.pass_time()
        if self._is_out("dead letters") or self._fails("dead letters before"):
            self.say("dead letter fails before", letter.message.place)
            raise self.chance.choice((BrokerUnavailable, BrokerUnavailable, BrokerMisconfigured))("no topic")
        self.letters.append(letter)
        self.say("dead letter", letter.message.place, letter.failure.code)
        self.met["given up at its deadline"] += letter.failure.code == "deadline"
        self.truth.dead_lettered(letter)
        await self.pass_time()
        if self._fails("dead letters after"):
            self.say("dead letter fails after", letter.message.place)
            raise BrokerUnavailable("no acknowledgement")


def _most_held(size: int) -> int:
    """Return the most that a message can hold: itself, its text twice in the widest characters, and its chunks."""
    chunks = 1 + size // CHUNK_TOKENS
    return size + 2 * (4 * size + 100) + chunks * (CHUNK_BYTES + 4 * DIMENSIONS)
