"""How does a stack outlive the event loop of the test that first asked for it?"""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Self, TypeVar

T = TypeVar("T")


class Background:
    """An event loop on a thread of its own.

    The thread lives as long as the stack that was started on it: Linux ends the embedded parts when the thread that
    started them ends.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="background loop", daemon=True)

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        """End the loop and the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, T], *, within: float) -> T:
        """Run *work* to its end, from any other thread. Raises TimeoutError after *within* seconds."""
        future = asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, within), self._loop)
        try:
            return future.result()
        except BaseException:  # Ctrl-C too: what was begun is not left running
            future.cancel()
            raise
