"""One simulation from its seed to its verdict."""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from unittest.mock import patch

from compose.service import fingerprint_of
from consumers.core import flight
from consumers.kafka import source, starting
from consumers.kafka.memory_client import MemoryAdmin, MemoryConsumer
from schemas.orders import NO, YES
from tests.simulation.loop import Process, SimulatedLoop, Stuck, simulated
from tests.simulation.plan import SESSION_S, Event, Plan, plan
from tests.simulation.worker import Worker
from tests.simulation.world import World

MAX_STEPS = 400_000
SETTLES_WITHIN_S = 400.0
STOPS_WITHIN_S = 60.0
LEAVES_WITHIN_S = 4.0
OPERATOR_LOOKS_S = 5.0
LOOK_S = 0.5


@dataclass(frozen=True)
class Verdict:
    """What came of a seed: what was wrong, if anything, the hash of all that happened, and what of it how often."""

    seed: int
    wrong: str | None
    trace: str
    steps: int
    met: Counter[str]


class Simulation:
    """The world, its workers and what befalls them."""

    def __init__(self, drawn: Plan, loop: SimulatedLoop, *, loud: bool) -> None:
        self._plan = drawn
        self._loop = loop
        self.world = World(drawn, loop, fingerprint_of(drawn.settings), loud=loud)
        self._workers: dict[int, Worker] = {}
        self._started = 0
        self._keeping = True
        if drawn.group_exists:
            self.world.reset_offsets(dict.fromkeys(range(drawn.partitions), 0))

    async def run(self) -> None:
        """Let everything happen, then let the dust settle, then look."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._publish())
            tasks.create_task(self._disturb())
            keepers = [tasks.create_task(self._keep(slot)) for slot in range(self._plan.slots)]
            await asyncio.sleep(self._plan.calm_at)
            self.world.calm = True
            self.world.say("calm")
            await self.world.give_orders(paused=NO, resume=self._plan.flood)
            tasks.create_task(self._operate())
            for worker in self._workers.values():
                self._loop.thaw(worker.process)
            await self._settle()
            self._keeping = False
            for worker in self._workers.values():
                worker.stop()
            _, running = await asyncio.wait(keepers, timeout=STOPS_WITHIN_S)
            if running:
                self.world.wrong(f"does not stop: {running}")
        self.world.truth.settled_down(self.world.store._rows)
        if self._plan.read_again and not self._plan.flood:
            await self._read_again()

    async def _publish(self) -> None:
        for write in self._plan.writes:
            await asyncio.sleep(max(0.0, write.at - self.world.since))
            self.world.append(write)

    async def _keep(self, slot: int) -> None:
        """Keep a worker running in *slot*."""
        while self._keeping:
            self._started += 1
            worker = self._workers[slot] = Worker(self.world, f"{slot}.{self._started}")
            task = self._loop.start(worker.process, worker.run)
            await asyncio.wait([task])
            if not worker.process.dead and (error := task.exception()) is not None:
                self.world.wrong(f"a worker died of {_innermost(error)!r}")
            self.world.say("ended", worker.process)
            self._see_that_it_stopped_in_time(worker)
            await asyncio.sleep(self.world.chance.choice((0.05, 2.0)))

    def _see_that_it_stopped_in_time(self, worker: Worker) -> None:
        """Hold a worker to its drain timeout, and what the client needs to leave."""
        if worker.stopped_at is None or worker.process.dead or worker.was_frozen:
            return
        took = self._loop.now - worker.stopped_at
        if took > self._plan.settings.kafka.drain_timeout_s + LEAVES_WITHIN_S:
            self.world.wrong(f"a worker took {took:.1f} s to stop")

    async def _disturb(self) -> None:
        for event in self._plan.events:
            await asyncio.sleep(max(0.0, event.at - self.world.since))
            if self.world.calm:
                return
            self.world.say("event", event)
            self.world.met[event.what] += 1
            await self._befall(event)

    async def _operate(self) -> None:
        """Be the operator who looks at dead letters that are held, and lets them be written."""
        while self._keeping:
            await asyncio.sleep(OPERATOR_LOOKS_S)
            await self.world.give_orders(paused=NO, resume=self._plan.flood)

    async def _befall(self, event: Event) -> None:
        worker = self._workers.get(event.slot)
        if event.what == "kill" and worker is not None:
            self._loop.kills.append((self._loop.steps + event.steps, worker.process))
            self._loop.kills.sort(key=lambda kill: kill[0])
        elif event.what == "stop" and worker is not None:
            worker.stop()
        elif event.what == "freeze" and worker is not None:
            worker.was_frozen = True
            self._loop.freeze(worker.process)
            await asyncio.sleep(event.seconds)
            self._loop.thaw(worker.process)
        elif event.what == "freeze all and reset":
            await self._reset_behind_zombies()
        elif event.what in {"pause", "resume"}:
            await self.world.give_orders(paused=YES if event.what == "pause" else NO, resume=event.what == "resume")
        elif event.what == "rebalance":
            self.world.broker.rebalance()
        elif event.what == "snapshot":
            self.world.take_snapshot()
        elif event.what == "restore":
            await self._kill_all()
            self.world.restore_snapshot()

    async def _kill_all(self) -> None:
        processes = [worker.process for worker in self._workers.values()]
        self._loop.kills = [(self._loop.steps, process) for process in processes] + self._loop.kills
        while any(not process.dead for process in processes if process.tasks):
            await asyncio.sleep(0)

    async def _reset_behind_zombies(self) -> None:
        """Stop all workers with a signal until the group is empty, reset it, and let them go on."""
        workers = list(self._workers.values())
        for worker in workers:
            worker.was_frozen = True
            self._loop.freeze(worker.process)
        await asyncio.sleep(SESSION_S * 1.5)
        self.world.broker.expire()
        if not self.world.broker.members:
            if self._plan.forces:
                self.world.force()
            committed = self.world.broker.committed
            self.world.reset_offsets({p: self.world.chance.randint(0, at) for p, (at, _) in committed.items()})
        for worker in workers:
            self._loop.thaw(worker.process)

    async def _settle(self) -> None:
        """Wait until every record is committed and nothing is in flight."""
        until = self._loop.now + SETTLES_WITHIN_S
        while not (self._is_committed() and self._is_owned()):
            await asyncio.sleep(LOOK_S)
            if self._loop.now > until:
                broker = self.world.broker
                states = [
                    (worker.pipeline, worker.source and worker.source.trackers) for worker in self._workers.values()
                ]
                self.world.wrong(f"does not settle: {broker} committed {broker.committed}, {states}")

    def _is_owned(self) -> bool:
        """Say whether every partition has a worker that has read it to its end, and nobody has anything to do."""
        workers = self._workers.values()
        positions = {
            partition: tracker.position
            for worker in workers
            if worker.source is not None
            for partition, tracker in worker.source.trackers.items()
        }
        ends = {partition: len(log) for partition, log in self.world.broker.log.items()}
        return all(worker.is_idle for worker in workers) and positions == ends

    def _is_committed(self) -> bool:
        broker = self.world.broker
        return all(not log or broker.committed.get(p, (0, ""))[0] == len(log) for p, log in broker.log.items())

    async def _read_again(self) -> None:
        """Read the whole topic again: what is stored costs nothing and stays as it is (I8), unless that is wanted."""
        if self.world.store.force_before is not None:
            await self._read_from_the_start()  # a reset in the middle went back by a part only
        await self._read_for_nothing()
        if not (self._plan.forces and self.world.truth.all_ordered):
            return
        self.world.force()
        await self._read_from_the_start(killed_after=self.world.chance.randrange(3_000))
        if old := self.world.truth.older(self.world.store._rows, self.world.store.force_before):
            self.world.wrong(f"forced in vain: {old}")
        await self._read_for_nothing()

    async def _read_for_nothing(self) -> None:
        world = self.world
        rows = world.store._rows
        world.embedded.clear()
        await self._read_from_the_start()
        if not world.truth.all_ordered:
            return
        if paid := world.truth.paid_again(world.embedded):
            world.wrong(f"I8: embedded again: {paid}")
        if world.store._rows != rows:
            world.wrong("I8: rows were written again")

    async def _read_from_the_start(self, *, killed_after: int | None = None) -> None:
        """Read everything from the start with one worker, or with two of which the first is killed."""
        world = self.world
        world.broker.expire()
        world.reset_offsets(dict.fromkeys(world.broker.log, 0))
        if killed_after is not None:
            killed = self._workers[0] = Worker(world, "killed", until_caught_up=True)
            self._loop.kills.append((self._loop.steps + killed_after, killed.process))
            await asyncio.wait([self._loop.start(killed.process, killed.run)])
            world.broker.expire()
        worker = self._workers[0] = Worker(world, "again", until_caught_up=True)
        task = self._loop.start(worker.process, worker.run)
        _, running = await asyncio.wait([task], timeout=SETTLES_WITHIN_S)
        if running:
            world.wrong(f"does not catch up: {worker.source and worker.source.trackers}, {world.broker.committed}")
        elif (error := task.exception()) is not None:
            world.wrong(f"a worker died of {_innermost(error)!r}")


def simulate(seed: int, *, loud: bool = False) -> Verdict:
    """Run one seed and say what was wrong."""
    drawn = plan(seed)
    with ExitStack() as opened:
        opened.enter_context(_quiet(logging.getLogger("aiokafka")))
        loop = opened.enter_context(simulated(seed, drawn.disorder, MAX_STEPS))
        simulation = Simulation(drawn, loop, loud=loud)
        world = simulation.world
        opened.enter_context(patch.object(source, "AIOKafkaConsumer", partial(MemoryConsumer, world.broker)))
        opened.enter_context(patch.object(starting, "AIOKafkaAdminClient", partial(MemoryAdmin, world.broker)))
        opened.enter_context(patch.object(flight, "HUGE", drawn.huge))
        main = loop.start(Process("world"), simulation.run)
        try:
            loop.run_until_complete(main)
        except Stuck as error:
            world.wrongs.append(f"stuck: {error}")
        except RuntimeError:
            if not world.wrongs:
                raise
    world.wrongs += loop.complaints
    wrong = world.wrongs[0] if world.wrongs else None
    return Verdict(seed, wrong, world.trace, loop.steps, world.met)


def simulate_all(first: int, end: int) -> tuple[list[Verdict], Counter[str]]:
    """Run seeds from *first* to *end*, without it; return those that went wrong, and what all of them met."""
    wrong, met = [], Counter[str]()
    for seed in range(first, end):
        verdict = simulate(seed)
        met += verdict.met
        if verdict.wrong is not None:
            wrong.append(verdict)
    return wrong, met


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
