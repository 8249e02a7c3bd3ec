"""When is tried again what failed?"""

import asyncio

LEAST_S = 0.1
GROWTH = 4.0


class Retry:
    """Lets those wait whose work failed, each for its own while, or until it is known that the part works again.

    A part may refuse one thing and take all others: who was told so in vain waits longer before the next word counts.
    """

    def __init__(self) -> None:
        """Begin with nobody waiting."""
        self.word = asyncio.Event()
        """What the next ``now`` sets; to be taken before the work, so that no word is missed while it fails."""

    async def wait(self, word: asyncio.Event, seconds: float, in_vain: int = 0) -> bool:
        """Wait so many seconds at most, or until *word* is given; say whether it was.

        *in_vain* is how often that was so before, and the work failed all the same.
        """
        least = min(seconds, LEAST_S * GROWTH**in_vain)
        await asyncio.sleep(least)
        try:
            async with asyncio.timeout(seconds - least):
                await word.wait()
        except TimeoutError:
            return False
        return True

    def now(self) -> None:
        """Let all who wait try again."""
        self.word.set()
        self.word = asyncio.Event()
