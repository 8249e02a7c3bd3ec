"""Waiting for what failed ends after its while, or as soon as it is known to work."""

import asyncio
import time

from consumers.retry import LEAST_S, Retry

LONG_S = 60.0


async def test_all_who_wait_go_on_when_they_are_told_to() -> None:
    retry = Retry()
    async with asyncio.timeout(LONG_S / 2), asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(retry.wait(LONG_S)) for _ in range(3)]
        await asyncio.sleep(2 * LEAST_S)
        retry.now()
    assert [one.result() for one in waiting] == [True, True, True]


async def test_what_is_told_at_once_is_heard_but_not_obeyed_at_once() -> None:
    retry = Retry()
    began = time.monotonic()
    async with asyncio.timeout(LONG_S / 2), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(retry.wait(LONG_S))
        await asyncio.sleep(0)
        retry.now()
    assert waiting.result()
    assert time.monotonic() - began >= LEAST_S * 0.9


async def test_a_short_while_ends_by_itself() -> None:
    assert not await Retry().wait(LEAST_S / 10)


async def test_who_comes_later_waits_for_the_next_word() -> None:
    retry = Retry()
    retry.now()
    assert not await retry.wait(2 * LEAST_S)
