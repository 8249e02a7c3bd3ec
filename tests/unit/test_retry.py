"""Waiting for what failed ends after its while, or as soon as it is known to work."""

import asyncio
import time
from collections.abc import Callable, Collection

import pytest

from consumers.core import blame
from consumers.core.budget import InFlightBudget
from consumers.core.conditions import Conditions
from consumers.core.shared import Shared
from consumers.core.spending import DailyBudget
from consumers.retry import LEAST_S, Retry
from consumers.stores.memory import MemoryStore
from consumers.writing import Writing
from schemas.errors import StoreUnavailable

LONG_S = 60.0


async def test_all_who_wait_go_on_when_they_are_told_to() -> None:
    retry = Retry()
    async with asyncio.timeout(LONG_S / 2), asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(retry.wait(retry.word, LONG_S)) for _ in range(3)]
        await asyncio.sleep(2 * LEAST_S)
        retry.now()
    assert [one.result() for one in waiting] == [True, True, True]


async def test_a_word_that_was_given_while_the_work_failed_is_not_missed() -> None:
    retry = Retry()
    word = retry.word
    retry.now()
    async with asyncio.timeout(LONG_S / 2):
        assert await retry.wait(word, LONG_S)
    assert not await retry.wait(retry.word, 2 * LEAST_S)


async def test_who_was_told_in_vain_waits_longer_before_the_next_word_counts() -> None:
    retry = Retry()
    word = retry.word
    retry.now()
    began = time.monotonic()
    assert await retry.wait(word, LONG_S, in_vain=1)
    assert time.monotonic() - began >= 3.9 * LEAST_S


async def test_a_short_while_ends_by_itself() -> None:
    retry = Retry()
    assert not await retry.wait(retry.word, LEAST_S / 10, in_vain=9)


class Moody(MemoryStore):
    """A store that can not answer some questions; ``asked`` counts those."""

    def __init__(self, refuses: Callable[[Collection[bytes]], bool]) -> None:
        super().__init__()
        self.asked = 0
        self._refuses = refuses

    async def staged(self, hashes: Collection[bytes]) -> frozenset[bytes]:
        if self._refuses(hashes):
            self.asked += 1
            raise StoreUnavailable("not now")
        return frozenset()


def writing_to(store: MemoryStore) -> Writing:
    shared = Shared(InFlightBudget(1, 1), Conditions(), lambda _: None, DailyBudget(None, None, None))
    return Writing(store, b"", shared, embed=_embed, resolve=_never, condemn=_never)


async def test_the_first_answer_lets_all_go_on_who_waited_for_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    delays = iter([LONG_S, LONG_S, LEAST_S])
    monkeypatch.setattr(blame, "backoff", lambda *_, **__: next(delays))
    store = Moody(lambda _: store.asked < 3)
    writing = writing_to(store)
    async with asyncio.timeout(LONG_S / 2), asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(writing.staged([b"hash"]))
    assert store.asked == 3


async def test_what_alone_is_refused_is_not_asked_with_every_answer_to_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(blame, "backoff", lambda *_, **__: LONG_S)
    store = Moody(lambda hashes: b"refused" in hashes)
    writing = writing_to(store)
    refused = asyncio.create_task(writing.staged([b"refused"]))
    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        await writing.staged([b"taken"])
        await asyncio.sleep(LEAST_S / 10)
    refused.cancel()
    assert 2 <= store.asked <= 3


async def _embed(*_: object) -> None:
    raise AssertionError("not asked for")


def _never(*_: object) -> None:
    raise AssertionError("not asked for")
