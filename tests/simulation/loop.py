"""An event loop without time and without chance: its clock jumps, and a seed decides who runs next.

Virtual time goes on when nobody is ready, to the next timer, and by a little with every step, so that a busy loop
gets old. Tasks belong to a process by a context variable: a process can be frozen, as by SIGSTOP, and killed between
any two steps. Nothing of a killed process runs on, but for the unwinding of its coroutines, during which every port
to the world is closed.
"""

import asyncio
import heapq
import random
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from itertools import count
from typing import Any
from unittest.mock import patch

STEP_S = 0.00001
EPOCH_S = 1_760_000_000.0
START_S = 1_000.0


class Stuck(Exception):
    """The simulation does not come to its end."""


class Process:
    """What can be frozen and killed as one: the tasks that were started from it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dead = False
        self.frozen = False
        self.tasks: list[Numbered] = []
        self.waiting: list[asyncio.Handle] = []
        """What became ready while it was frozen."""

    def __repr__(self) -> str:
        return self.name


PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)


class Numbered(asyncio.Task[Any]):
    """A task whose hash is its number, so that a set of tasks has the same order in every run."""

    _numbers = count()

    def __init__(self, coro: Coroutine[Any, Any, Any], **options: Any) -> None:  # noqa: ANN401 - as asyncio.Task has it
        self.number = next(Numbered._numbers)
        super().__init__(coro, **options)
        process = PROCESS.get()
        if process is not None:
            process.tasks.append(self)

    def __hash__(self) -> int:
        return self.number

    def __eq__(self, other: object) -> bool:
        return self is other


class SimulatedLoop(asyncio.BaseEventLoop):
    """Run one ready callback at a time: any of them with the chance *disorder*, else the oldest."""

    def __init__(self, chance: random.Random, disorder: float, max_steps: int) -> None:
        super().__init__()
        self.now = START_S
        self.steps = 0
        self.kills: list[tuple[int, Process]] = []
        """When to kill whom, in steps."""
        self.complaints: list[str] = []
        self.processes: list[Process] = []
        self._chance = chance.random
        self._disorder = disorder
        self._max_steps = max_steps
        self._ready: list[asyncio.Handle] = []
        self._scheduled: list[asyncio.TimerHandle] = []
        self._stopping = False
        Numbered._numbers = count()
        self.set_task_factory(_task)
        self.set_exception_handler(self._complain)

    def time(self) -> float:
        """Say how late it is."""
        return self.now

    def _complain(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        del loop
        self.complaints.append(f"{context.get('message')}: {context.get('exception')!r}")

    def _write_to_self(self) -> None:
        """Wake nobody: there are no threads."""

    def run_in_executor(self, *arguments: object) -> Any:  # noqa: ANN401 - never returns
        """Refuse: a thread would bring chance in."""
        raise AssertionError(f"a simulation has no threads: {arguments}")

    def _run_once(self) -> None:
        while not self._stopping:
            handle = self._next()
            if handle is None or handle._cancelled:
                continue
            handle._run()
            self.now += STEP_S
            self.steps += 1
            if self.kills and self.kills[0][0] <= self.steps:
                self.kill(self.kills.pop(0)[1])
            if self.steps > self._max_steps:
                raise Stuck(f"after {self.steps} steps and {self.now - START_S:.0f} s")
        if self._stopping:
            return

    def _next(self) -> asyncio.Handle | None:
        ready, scheduled = self._ready, self._scheduled
        if not ready:
            if not scheduled:
                raise Stuck("nobody waits for anything")
            self.now = max(self.now, scheduled[0].when())
        while scheduled and scheduled[0].when() <= self.now:
            timer = heapq.heappop(scheduled)
            timer._scheduled = False  # type: ignore[attr-defined]  # the stubs leave it out
            if not timer._cancelled:
                ready.append(timer)
        if not ready:
            return None
        place = 0
        if len(ready) > 1 and self._disorder and self._chance() < self._disorder:
            place = int(self._chance() * len(ready))
        handle = ready.pop(place)
        process = handle._context.get(PROCESS)  # type: ignore[attr-defined]  # as above
        if process is not None and (process.frozen or process.dead):
            if not process.dead:
                process.waiting.append(handle)
            return None
        return handle

    def start(self, process: Process, work: Callable[[], Coroutine[Any, Any, Any]]) -> "asyncio.Task[Any]":
        """Start *work* as the main task of *process*."""
        self.processes.append(process)
        context: Context = copy_context()
        context.run(PROCESS.set, process)
        return context.run(lambda: self.create_task(work(), context=context))

    def freeze(self, process: Process) -> None:
        """Let nothing of *process* run."""
        process.frozen = True

    def thaw(self, process: Process) -> None:
        """Let it go on, with all its timers late."""
        process.frozen = False
        self._ready.extend(process.waiting)
        process.waiting = []

    def kill(self, process: Process) -> None:
        """End *process* here and now: unwind its coroutines, none of which can reach the world any more."""
        if process.dead:
            return
        process.dead = True
        for _ in range(10):  # whoever swallows one CancelledError is not spared for that
            for task in process.tasks:
                task.cancel()
            self._unwind(process)
            if all(task.done() for task in process.tasks):
                break
        else:
            self.complaints.append(f"killed, but lives on: {[task for task in process.tasks if not task.done()]}")
            self.stop()
        process.tasks.clear()

    def _unwind(self, process: Process) -> None:
        """Run what is ready of *process* alone, until nothing of it is."""
        mine, process.waiting = process.waiting, []
        while True:
            others: list[asyncio.Handle] = []
            for handle in self._ready:
                is_ours = handle._context.get(PROCESS) is process  # type: ignore[attr-defined]  # as above
                (mine if is_ours else others).append(handle)
            self._ready[:] = others
            if not mine:
                return
            for handle in mine:
                if not handle._cancelled:
                    handle._run()
            mine = []


def _task(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> "asyncio.Task[Any]":  # noqa: ANN401 - its shape
    return Numbered(coro, loop=loop, **options)


@contextmanager
def simulated(seed: int, disorder: float, max_steps: int) -> Iterator[SimulatedLoop]:
    """Put a loop, its clock and its chance in the place of the real ones."""
    loop = SimulatedLoop(random.Random(f"{seed}/order"), disorder, max_steps)
    state = random.getstate()
    random.seed(seed)
    with (
        patch.object(time, "monotonic", lambda: loop.now),
        patch.object(time, "time", lambda: EPOCH_S + loop.now),
    ):
        try:
            yield loop
        finally:
            random.setstate(state)
            asyncio.events._set_running_loop(loop)
            for process in loop.processes:
                loop.kill(process)
            asyncio.events._set_running_loop(None)
            loop.close()
