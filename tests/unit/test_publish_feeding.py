"""How a blocking reader feeds the event loop."""

import asyncio
import queue
import threading
from collections.abc import Iterator

import pytest

from compose import feeding
from compose.feeding import Feed


def one(_: object) -> int:
    return 1


async def test_everything_arrives_in_order() -> None:
    got = [item async for group in Feed(iter(range(10_000)), one) for item in group]
    assert got == list(range(10_000))


async def test_what_was_read_is_passed_on_while_the_reader_waits_for_more() -> None:
    lines: queue.Queue[str | None] = queue.Queue()
    feed = Feed(iter(lines.get, None), one)
    groups = feed.__aiter__()
    for line in ("a", "b"):
        lines.put(line)
        assert await asyncio.wait_for(anext(groups), 5) == [line]
    lines.put(None)
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(anext(groups), 5)


@pytest.mark.parametrize(("weight", "most"), [(1, feeding.MOST), (feeding.MOST_BYTES // 4, 4)])
async def test_the_reader_is_only_so_far_ahead(weight: int, most: int) -> None:
    read = 0
    stopped = threading.Event()

    def endless() -> Iterator[int]:
        nonlocal read
        while not stopped.is_set():
            read += 1
            yield read

    feed = Feed(endless(), lambda _: weight)
    before = -1
    while before != read:  # it has come to rest
        before = read
        await asyncio.sleep(0.1)
    assert read == most + 1
    assert await anext(feed.__aiter__()) == list(range(1, most + 1))
    stopped.set()
    feed.close()


async def test_an_error_of_the_reader_comes_after_what_it_read() -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise OSError("disk")

    got: list[int] = []

    async def take() -> None:
        async for group in Feed(failing(), one):
            got.extend(group)

    with pytest.raises(OSError, match="disk"):
        await take()
    assert got == [1]


async def test_a_closed_feed_ends_though_its_reader_waits() -> None:
    lines: queue.Queue[str | None] = queue.Queue()
    feed = Feed(iter(lines.get, None), one)
    asyncio.get_running_loop().call_later(0.05, feed.close)
    async with asyncio.timeout(5):
        assert [group async for group in feed] == []
    lines.put(None)
