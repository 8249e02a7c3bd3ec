"""How is long work watched, and ended early? A bar on a terminal, a line now and then elsewhere."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from compose.cli.console import stderr

TERMINAL_EVERY_S, PLAIN_EVERY_S = 0.1, 5.0
NUMBERS = (signal.SIGINT, signal.SIGTERM)

Look = Callable[[], tuple[int, int, str]]
"""How much is done, of how much, and what that is in words."""


@asynccontextmanager
async def watched(look: Look, stop: Callable[[], None]) -> AsyncIterator[None]:
    """Show how far it has come; the first Ctrl-C or SIGTERM calls *stop*, a second one ends at once."""
    loop = asyncio.get_running_loop()

    def interrupted() -> None:
        stop()
        for number in NUMBERS:
            loop.remove_signal_handler(number)

    for number in NUMBERS:
        loop.add_signal_handler(number, interrupted)
    console = stderr()
    showing = asyncio.create_task(_bar(look, console) if console.is_terminal else _lines(look, console))
    try:
        yield
    finally:
        showing.cancel()
        with suppress(asyncio.CancelledError):
            await showing
        for number in NUMBERS:
            loop.remove_signal_handler(number)


async def _bar(look: Look, console: Console) -> None:
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("")
        while True:
            done, total, words = look()
            progress.update(task, completed=done, total=total, description=words)
            await asyncio.sleep(TERMINAL_EVERY_S)


async def _lines(look: Look, console: Console) -> None:
    while True:
        await asyncio.sleep(PLAIN_EVERY_S)
        done, total, words = look()
        console.print(f"{done:,} of {total:,} {words}")
