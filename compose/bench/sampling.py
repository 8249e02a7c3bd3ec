"""Where does a worker's CPU time go? A program of ours, looked at once in a while from inside.

``python -m compose.bench.sampling FILE WORD...`` is ``python -m compose WORD...`` with a timer beside it. SIGUSR1
begins to look and, sent again, ends it; stacks are written to FILE at the end, a line each with its microseconds,
outermost first: what speedscope and flame graphs read.

A look weighs as much as the CPU time that the main thread has used since the one before, so that waiting weighs
nothing. Python hands a signal over behind the call that it met, or before the first instruction of a function, so what
C code takes is put down to the Python function that called it: to ``LOOP`` what the event loop calls, the protocols of
asyncpg, aiohttp and aiokafka included. Five hundred looks a second cost a few per cent, which are not counted.
"""

import asyncio
import signal
import sys
import time
from collections import Counter
from collections.abc import Coroutine, Generator
from dis import opmap
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import uvloop

EVERY_S = 0.002
LOOP = "event loop, sockets and the protocols in C"
OTHERS = "other threads"
RESUME = opmap["RESUME"]
ROOT = Path(__file__).parents[2]


class Steps(Coroutine[Any, Any, Any]):
    """A coroutine whose every step begins in Python.

    A coroutine that goes on behind an ``await`` does not look for signals: the time of the loop would be its own.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine

    def send(self, value: Any) -> Any:  # noqa: ANN401 - whatever is awaited
        """Go on."""
        return self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:  # noqa: ANN401 - the same
        """Go on with an exception."""
        return self._coroutine.throw(*error)

    def close(self) -> None:
        """End."""
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._coroutine.__await__()


class Loop(uvloop.Loop):
    """The worker's loop, with tasks that can be looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.set_task_factory(_task)


def _task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> "asyncio.Task[Any]":  # noqa: ANN401
    return asyncio.Task(Steps(coroutine), loop=loop, **options)


class Sampler:
    """Collects stacks of the main thread by the CPU time they took."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._spent: Counter[tuple[CodeType, ...]] = Counter()
        self._seen = self._began = self._all_began = self._ours = self._all = 0
        self._on = self._looking = False

    def install(self) -> None:
        """Listen to SIGUSR1."""
        signal.signal(signal.SIGALRM, self._look)
        signal.signal(signal.SIGUSR1, self._turn)
        signal.siginterrupt(signal.SIGALRM, False)  # noqa: FBT003 - as the library calls it

    def write(self) -> None:
        """Write the stacks."""
        lines = [f"{';'.join(_names(stack))} {spent // 1000}\n" for stack, spent in self._spent.most_common()]
        if (others := self._all - self._ours) > 0:
            lines.append(f"{OTHERS} {others // 1000}\n")
        self._file.write_text("".join(lines), encoding="utf-8")

    def _turn(self, _: int, __: FrameType | None) -> None:
        self._on = not self._on
        signal.setitimer(signal.ITIMER_REAL, EVERY_S * self._on, EVERY_S * self._on)
        thread, process = time.thread_time_ns(), time.process_time_ns()
        if self._on:
            self._seen = self._began = thread
            self._all_began = process
        else:
            self._ours += thread - self._began
            self._all += process - self._all_began

    def _look(self, _: int, frame: FrameType | None) -> None:
        if self._looking:  # the next one came due meanwhile
            return
        self._looking = True
        spent = time.thread_time_ns() - self._seen
        if frame is not None and frame.f_code.co_code[frame.f_lasti] == RESUME:
            frame = frame.f_back  # nothing of this function was done yet
        stack: list[CodeType] = []
        while frame is not None:
            stack.append(frame.f_code)
            frame = frame.f_back
        if self._on:
            self._spent[tuple(stack)] += spent
        self._seen = time.thread_time_ns()
        self._looking = False


def _names(stack: tuple[CodeType, ...]) -> list[str]:
    """Return the names of a stack, the outermost first, from what the event loop called on."""
    names: list[str] = []
    for code in stack:
        if code is Steps.send.__code__ or code.co_qualname == "Runner.run":
            break
        names.append(_name(code))
    return names[::-1] or [LOOP]


def _name(code: CodeType) -> str:
    path = Path(code.co_filename)
    parts = path.parts
    if "site-packages" in parts:
        where = "/".join(parts[parts.index("site-packages") + 1 :])
    elif path.is_relative_to(ROOT):
        where = path.relative_to(ROOT).as_posix()
    else:
        where = "/".join(parts[-2:])
    return f"{where}:{code.co_qualname}"


def main(file: str, *words: str) -> None:
    """Run the program under the sampler."""
    from compose.cli import main as command  # noqa: PLC0415 - the program sets up its own imports

    uvloop.Loop = Loop  # type: ignore[misc] # which is what uvloop.run makes
    sampler = Sampler(Path(file))
    sampler.install()
    try:
        command(words)
    finally:
        sampler.write()


if __name__ == "__main__":
    main(*sys.argv[1:])
