"""How is everything now? Kafka's view of the group, the index's of itself, and the worker's if one answers here.

Each part is asked by itself: one that is down is named, and says nothing about the others.
"""

import asyncio
import time
from collections.abc import Awaitable, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from types import TracebackType
from typing import Self, TypeVar

import aiohttp
import msgspec

from consumers.core.standing_orders import StandingOrders
from consumers.kafka.admin import Commit, Group, KafkaView, PartitionLag, lags
from consumers.stores.pgvector import PgVectorStore
from schemas.errors import BrokerMisconfigured, HeadraceError
from schemas.index import Counts
from schemas.orders import Allowance
from schemas.settings import HttpSettings, Settings
from schemas.spending import Spent
from schemas.status import Status

PART_TIMEOUT_S = 8.0
WORKER_TIMEOUT_S = 2.0
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where a worker that listens everywhere is reached

T = TypeVar("T")


class KafkaPart(msgspec.Struct, frozen=True):
    """The group in its topic. ``per_s`` is how fast the group commits, known from the second look on."""

    topic: str
    group: Group
    lag: int
    partitions: list[PartitionLag]
    dead_letters: int
    dlq_topic: str
    per_s: float | None = None


class IndexPart(msgspec.Struct, frozen=True):
    """What the index holds, and what each tenant's documents have cost today (UTC).

    ``orders`` are those of operators that stand for the group, in words; ``raised`` is what it may spend today by them.
    """

    name: str
    counts: Counts
    spent_today: dict[str, Spent] = {}
    orders: list[str] = []
    raised: Allowance | None = None


class Overview(msgspec.Struct, frozen=True):
    """All of it; ``problems`` says why a part is missing. A worker that does not answer here may run elsewhere."""

    kafka: KafkaPart | None
    index: IndexPart | None
    worker: Status | None
    problems: dict[str, str]


class Lookout:
    """Looks as often as asked to, over connections that are kept; those of a part that failed are made anew."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._view: KafkaView | None = None
        self._opened = AsyncExitStack()
        self._store: PgVectorStore | None = None
        self._session: aiohttp.ClientSession | None = None
        self._before: tuple[float, dict[int, int]] | None = None

    def __repr__(self) -> str:
        return f"<Lookout on {self._settings.group}>"

    async def __aenter__(self) -> Self:
        if self._settings.store.dsn is not None:
            self._store = await self._opened.enter_async_context(PgVectorStore(self._settings.store))
        timeout = aiohttp.ClientTimeout(total=WORKER_TIMEOUT_S)
        self._session = await self._opened.enter_async_context(aiohttp.ClientSession(timeout=timeout))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close_view()
        await self._opened.aclose()

    async def look(self) -> Overview:
        """Ask every part at once."""
        problems: dict[str, str] = {}
        kafka, index, worker = await asyncio.gather(
            _answer("kafka", self._kafka(), problems),
            _answer("index", self._index(), problems),
            _answer("worker", self._worker(), problems),
        )
        if "kafka" in problems:
            await self._close_view()
        return Overview(kafka, index, worker, problems)

    async def _kafka(self) -> KafkaPart:
        settings, kafka = self._settings, self._settings.kafka
        if self._view is None:
            self._view = await KafkaView(kafka, timeout_s=PART_TIMEOUT_S).__aenter__()
        view = self._view
        extents = await view.extents([kafka.topic, kafka.dlq_topic])
        if kafka.topic not in extents:
            raise BrokerMisconfigured(f"the topic {kafka.topic} does not exist: run `headrace init`")
        committed = await view.committed(settings.group, kafka.topic)
        partitions = lags(extents[kafka.topic], committed)
        dead_letters = sum(one.end - one.start for one in extents.get(kafka.dlq_topic, ()))
        group = await view.group(settings.group, kafka.topic)
        lag = sum(one.lag for one in partitions)
        return KafkaPart(kafka.topic, group, lag, partitions, dead_letters, kafka.dlq_topic, self._per_s(committed))

    def _per_s(self, commits: Mapping[int, Commit]) -> float | None:
        committed = {partition: commit.offset for partition, commit in commits.items()}
        before, self._before = self._before, (time.monotonic(), committed)
        if before is None:
            return None
        moved = sum(offset - before[1].get(partition, offset) for partition, offset in committed.items())
        return round(max(moved, 0) / max(self._before[0] - before[0], 0.001), 1)

    async def _index(self) -> IndexPart:
        if self._store is None:
            raise HeadraceError("store.dsn is not set")
        if await self._store.about() is None:
            raise HeadraceError(f"the index {self._settings.store.index} does not exist: run `headrace init`")
        counts, ledger = await self._store.counts(), await self._store.spent(1)
        standing = StandingOrders(self._settings.group)
        wanted = standing.read(await self._store.orders(standing.names), datetime.now(UTC).date())
        return IndexPart(
            self._settings.store.index,
            counts,
            {one.tenant: one.spent for one in ledger},
            [order for order in (wanted.paused, wanted.away) if order is not None],
            wanted.allowance,
        )

    async def _worker(self) -> Status:
        if self._session is None:
            raise HeadraceError("no worker can be asked yet")
        return await ask_worker(self._settings.http, self._session)

    async def _close_view(self) -> None:
        view, self._view = self._view, None
        if view is not None:
            await view.__aexit__(None, None, None)


async def ask_worker(http: HttpSettings, session: aiohttp.ClientSession) -> Status:
    """Return what the worker says of itself that answers here. Raises HeadraceError where none does."""
    if not http.port:
        raise HeadraceError("http.port is 0: no worker can be asked")
    host = EVERYWHERE.get(http.host, http.host)
    url = f"http://{f'[{host}]' if ':' in host else host}:{http.port}/status"
    try:
        async with session.get(url) as response:
            return msgspec.json.decode(await response.read(), type=Status)
    except (aiohttp.ClientError, OSError, TimeoutError):
        raise HeadraceError(f"no worker answers at {url}") from None
    except msgspec.MsgspecError:
        raise HeadraceError(f"something else than a worker of this version answers at {url}") from None


async def _answer(part: str, asked: Awaitable[T], problems: dict[str, str]) -> T | None:
    try:
        async with asyncio.timeout(PART_TIMEOUT_S):
            return await asked
    except HeadraceError as error:
        problems[part] = str(error)
    except TimeoutError:
        problems[part] = f"no answer within {PART_TIMEOUT_S:.0f} s"
    return None
