"""I6: PostgreSQL is killed under writers and comes back.

What was answered is there, what was not is away as a whole, and the store answers again by itself.
"""

import asyncio
from collections import Counter

import asyncpg
import pytest
from pydantic import SecretStr

from consumers.stores.pgvector import PgVectorStore
from schemas.errors import StoreUnavailable
from schemas.index import Change, Outcome
from schemas.settings import StoreSettings
from tests.contract.changes import FINGERPRINT, at, hits, look_up, put
from tests.stack.parts import AnyStack

WRITERS, GROUPS, GROUP = 3, 120, 20
PATIENCE_S = 90.0


def group(number: int) -> list[Change]:
    return [
        put(f"doc-{number}-{n}", "one", "two", "three", origin=at(number * GROUP + n, partition=number % 3))
        for n in range(GROUP)
    ]


async def test_postgres_killed_under_writers_loses_nothing_that_was_answered(private_stack: AnyStack) -> None:
    settings = StoreSettings(dsn=SecretStr(private_stack.endpoints.dsn), index="killed")
    async with PgVectorStore(settings) as store:
        await store.create(FINGERPRINT)
        started, away = asyncio.Event(), asyncio.Event()
        faults: Counter[str] = Counter()

        async def write(first: int) -> None:
            for number in range(first, GROUPS, WRITERS):
                await until_written(group(number))
                if number > GROUPS // 4:
                    started.set()

        async def until_written(changes: list[Change]) -> None:
            while True:
                try:
                    outcomes = await store.write(changes)
                except StoreUnavailable as error:
                    faults[type(error).__name__] += 1
                    away.set()
                    await asyncio.sleep(0.05)
                else:
                    # All of the group, or, where the answer of a commit was lost, all of it already there.
                    assert set(outcomes) in ({Outcome.STORED}, {Outcome.UNCHANGED})
                    return

        async with asyncio.timeout(PATIENCE_S):
            writers = [asyncio.create_task(write(n)) for n in range(WRITERS)]
            await started.wait()
            await private_stack.postgres.kill()
            await away.wait()
            with pytest.raises(StoreUnavailable):
                await look_up(store, group(0)[:1])
            await private_stack.postgres.start()
            await asyncio.gather(*writers)
        assert faults["StoreUnavailable"] >= WRITERS
        assert len(await hits(store)) == GROUPS * GROUP * 3


async def test_a_write_that_the_server_does_not_take_in_ends_with_the_server(private_stack: AnyStack) -> None:
    settings = StoreSettings(dsn=SecretStr(private_stack.endpoints.dsn), index="stalled")
    texts = [f"{n} " + "x" * 100_000 for n in range(200)]  # more than lies in the buffers between us
    changes = [put(f"doc-{n}", text, origin=at(n)) for n, text in enumerate(texts)]
    async with PgVectorStore(settings) as store:
        await store.create(FINGERPRINT)
        locking = await asyncpg.connect(private_stack.endpoints.dsn)
        await locking.execute("BEGIN; LOCK TABLE stalled.chunks IN ACCESS EXCLUSIVE MODE")
        writing = asyncio.create_task(store.write(changes))
        done, _ = await asyncio.wait({writing}, timeout=2.0)
        assert not done
        await private_stack.postgres.kill()
        done, _ = await asyncio.wait({writing}, timeout=PATIENCE_S / 3)
        assert done, "it waits for ever"
        with pytest.raises(StoreUnavailable):
            await writing
        locking.terminate()
        await private_stack.postgres.start()
        async with asyncio.timeout(PATIENCE_S):
            assert set(await store.write(changes)) == {Outcome.STORED}
