"""How does a blocking reader feed the event loop? From a thread of its own, a few megabytes ahead at most.

Standard input may be silent for hours: the loop goes on meanwhile, and what was read is passed on at once.
"""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

MOST = 2_000
MOST_BYTES = 32 * 1024 * 1024


class Feed(Generic[T]):
    """Iterate asynchronously over what a blocking iterator yields, in lists of all there is at the moment.

    ``weigh`` tells the bytes of an item. The thread is a daemon: it can not be woken from a read, so it is left to
    wait, and takes nothing more once the feed is closed.
    """

    def __init__(self, items: Iterator[T], weigh: Callable[[T], int]) -> None:
        self._items = items
        self._weigh = weigh
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        self._room = threading.Condition()
        self._held: deque[T] = deque()
        self._held_bytes = 0
        self._error: BaseException | None = None
        self._done = False
        self._closed = False
        threading.Thread(target=self._read, name="reader", daemon=True).start()

    async def __aiter__(self) -> AsyncIterator[list[T]]:
        while True:
            await self._ready.wait()
            with self._room:
                taken, self._held_bytes = list(self._held), 0
                self._held.clear()
                done = self._done
                self._ready.clear()
                self._room.notify()
            if self._closed:
                return
            if taken:
                yield taken
            if done:
                if self._error is not None:
                    raise self._error
                return

    def close(self) -> None:
        """Take nothing more and yield nothing more."""
        with self._room:
            self._closed = True
            self._room.notify()
        self._ready.set()

    def _read(self) -> None:
        error: BaseException | None = None
        try:
            for item in self._items:
                if not self._put(item):
                    return
        except BaseException as met:  # noqa: BLE001 - it is raised where the items are awaited
            error = met
        with self._room:
            self._error, self._done = error, True
        self._wake()

    def _put(self, item: T) -> bool:
        with self._room:
            while self._held and (len(self._held) >= MOST or self._held_bytes >= MOST_BYTES) and not self._closed:
                self._room.wait()
            self._held.append(item)
            self._held_bytes += self._weigh(item)
            closed = self._closed
        return not closed and self._wake()

    def _wake(self) -> bool:
        try:
            self._loop.call_soon_threadsafe(self._ready.set)
        except RuntimeError:  # the loop was closed while the reader waited
            return False
        return True
