"""When is tried again what failed?"""

import asyncio

LEAST_S = 0.1
"""What is known to work is not asked again sooner: it may refuse one thing and take all others."""


class Retry:
    """Lets those wait whose work failed, each for its own while, or until it is known that the part works again."""

    def __init__(self) -> None:
        """Begin with nobody waiting."""
        self._again = asyncio.Event()

    async def wait(self, seconds: float) -> bool:
        """Wait so many seconds at most; say whether ``now`` has ended that."""
        again = self._again
        await asyncio.sleep(min(seconds, LEAST_S))
        try:
            async with asyncio.timeout(seconds - LEAST_S):
                await again.wait()
        except TimeoutError:
            return False
        return True

    def now(self) -> None:
        """Let all who wait try again."""
        self._again.set()
        self._again = asyncio.Event()
