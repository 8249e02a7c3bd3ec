"""How does a scenario make dead letters that can be mended, and deal with them as an operator does?"""

import asyncio
import json
import os
import sys
from collections.abc import Iterable
from typing import Any

from schemas.documents import Document
from tests.scenarios.harness import Harness, document
from tests.scenarios.worker import ROOT

STRICT = {"worker__max_document_bytes": 200, "flood__ratio": 1.0, "flood__run": 1_000_000}
"""Settings of a worker that takes no long document, however many of them come; the default ones take them all."""
WITHIN_S = 90.0


def long(number: int, words: str = "") -> Document:
    """Return a document of one chunk that a strict worker does not take."""
    return document(number, f"{words} {'long ' * 60}".strip())


async def start(harness: Harness, *arguments: str) -> asyncio.subprocess.Process:
    """Start ``headrace dlq`` as a process."""
    return await headrace(harness, "dlq", *arguments)


async def headrace(harness: Harness, *arguments: str) -> asyncio.subprocess.Process:
    """Start any command as a process."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "compose", *arguments,
        env={**kept, **harness.environ(), "PYTHONPATH": str(ROOT)},
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def told(process: asyncio.subprocess.Process) -> Any:  # noqa: ANN401 - whatever it is
    """Wait for the end of a command that does what it was told, and return its answer."""
    try:
        async with asyncio.timeout(WITHIN_S):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, err.decode()
    return json.loads(out)


async def dlq(harness: Harness, *arguments: str) -> Any:  # noqa: ANN401 - whatever it is
    """Run ``headrace dlq … --json``, and return its answer."""
    return await told(await start(harness, *arguments, "--json"))


async def replay(harness: Harness) -> Any:  # noqa: ANN401 - whatever it is
    """Replay every dead letter that was not dealt with; return the account of it."""
    return await dlq(harness, "replay", "--yes")


async def die(harness: Harness, documents: Iterable[Document], *, partition: int | None = None) -> int:
    """Let a strict worker meet long documents among short ones; return how many records the source topic holds."""
    group = list(documents)
    short = [document(1_000_000 + number) for number in range(len(group))]
    await harness.publish([one for pair in zip(group, short, strict=True) for one in pair], partition)
    await harness.catch_up(**STRICT)
    return await published(harness)


async def published(harness: Harness) -> int:
    """Return how many records the source topic holds."""
    return sum((await harness.log.ends()).values())


async def assert_all_stored(harness: Harness, *, published_twice: int = 0) -> None:
    """Assert that a worker stores every document under its first origin, and embeds each text once.

    Two copies that are in flight at the same moment are both embedded, since nothing is stored yet; only one counts.
    """
    await harness.catch_up()
    assert await harness.everything_is_stored()
    assert await harness.caught_up()
    paid = await harness.provider.paid_more_than(1)
    assert len(paid) <= published_twice
    assert max(paid.values(), default=2) == 2
