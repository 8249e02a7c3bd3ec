"""What is a scenario made of? Topics, an index, a fake provider, and workers that it may treat badly."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from aiokafka.errors import KafkaError

from compose.configuration import load
from compose.embedded.ports import pick
from compose.fake_provider.process import FakeProvider
from compose.layers import variable
from compose.service import fingerprint_of
from consumers.providers.deterministic import digest_of, vector_of
from consumers.stores.pgvector import PgVectorStore
from producers.documents import record_of
from producers.topics import ensure_topics
from schemas.dead_letters import Record
from schemas.documents import DEFAULT_TENANT, Deletion, Document
from schemas.settings import Settings
from tests.scenarios.index import Chunk, Index, Key, Origin
from tests.scenarios.log import Log, Sent
from tests.scenarios.worker import Worker
from tests.stack.parts import AWAY

DIMENSIONS = 8
PARTITIONS = 4
LOOK_S, LAST_LOOK_S = 0.1, 30.0
Found = TypeVar("Found")


def document(number: int, words: str = "") -> Document:
    """Return a small document of one chunk, its text like no other's."""
    return Document(DEFAULT_TENANT, f"doc-{number}", f"document {number} {words}".strip())


class Harness:
    """One scenario's surroundings, and what is true of them.

    ``expected`` follows what is published: the chunk of each document that has to be stored in the end.
    """

    def __init__(self, bootstrap_servers: str, dsn: str, prefix: str, folder: Path) -> None:
        """Prepare; topics and group have names that begin with *prefix*."""
        self.provider = FakeProvider(dimensions=DIMENSIONS)
        self.expected: dict[Key, list[Chunk]] = {}
        self.workers: list[Worker] = []
        self.recovered_s: float | None = None
        self._mended_at: float | None = None
        self._folder = folder
        self._told: dict[str, object] = {
            "kafka.bootstrap_servers": bootstrap_servers,
            "kafka.topic": f"{prefix}raw",
            "kafka.dlq_topic": f"{prefix}dlq",
            "kafka.parked_topic": f"{prefix}parked",
            "kafka.group": f"{prefix}group",
            "kafka.partitions": PARTITIONS,
            "kafka.session_timeout_s": 6,
            "kafka.drain_timeout_s": 12,
            "kafka.commit_interval_s": 0.2,
            "provider.base_url": self.provider.base_url,
            "provider.model": "fake",
            "provider.dimensions": DIMENSIONS,
            "provider.concurrency": 4,
            "provider.max_items": 8,
            "provider.timeout_s": 5,
            "store.dsn": dsn,
        }
        self.log = Log(self.settings())
        self.index = Index(dsn)
        self._published: list[tuple[Key, Sent]] = []
        self._texts: set[str] = set()

    async def __aenter__(self) -> Self:
        settings = self.settings()
        await ensure_topics(settings)
        async with PgVectorStore(settings.store) as store:
            await store.create(fingerprint_of(settings))
        await self.provider.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.workers:
            await worker.kill()
            if error is not None:
                error.add_note(f"{worker!r} wrote:\n{worker.told}")
        await self.provider.stop()

    @property
    def published(self) -> dict[Key, list[Origin]]:
        """Where the versions of each document lie, in the order in which they were published."""
        places: dict[Key, list[Origin]] = {}
        for key, sent in self._published:
            places.setdefault(key, []).append(Origin(sent.partition, sent.offset))
        return places

    def environ(self, **changed: object) -> dict[str, str]:
        """Return the settings as variables; *changed* are written as ``kafka__topic``."""
        told = self._told | {name.replace("__", "."): value for name, value in changed.items()}
        return {variable(name): str(value) for name, value in told.items()}

    def settings(self, **changed: object) -> Settings:
        """Return the settings as the worker will read them."""
        return load(None, self.environ(**changed), {}).settings

    def worker(self, *arguments: str, **changed: object) -> Worker:
        """Start a worker; *changed* are settings of this one alone, written as ``kafka__topic``."""
        folder = self._folder / f"worker-{len(self.workers)}"
        worker = Worker(self.environ(**changed), folder, pick(), *arguments)
        self.workers.append(worker)
        return worker

    async def catch_up(self, **changed: object) -> Worker:
        """Run a worker until it has caught up, and see it end well."""
        worker = self.worker("--until-caught-up", **changed)
        assert await worker.ended() == 0, worker.told
        return worker

    async def publish(
        self, documents: Iterable[Document | Deletion | Record], partition: int | None = None
    ) -> list[Sent]:
        """Publish in this order. Documents are expected to be stored; of records nothing is expected."""
        told = list(documents)
        records = [one if isinstance(one, Record) else record_of(one) for one in told]
        sent = await self.log.publish(records, partition)
        for one, record in zip(told, sent, strict=True):
            if not isinstance(one, Record):
                self.expect(one)
                self._published.append(((one.tenant, one.id), record))
        return sent

    def expect(self, one: Document | Deletion) -> None:
        """Expect a document of one chunk, or none, where it was published last."""
        if isinstance(one, Document):
            self._texts.add(one.text)
        chunks = [Chunk(one.text, vector_of(one.text, DIMENSIONS))] if isinstance(one, Document) else []
        self.expected[one.tenant, one.id] = chunks

    async def everything_is_stored(self) -> bool:
        """Say whether the rows are those of the documents published last, each chunk with the vector of its text."""
        last = {key: Origin(sent.partition, sent.offset) for key, sent in self._published}
        if await self.index.origins() | last != await self.index.origins():
            return False
        return await self.index.chunks() == {key: chunks for key, chunks in self.expected.items() if chunks}

    async def caught_up(self) -> bool:
        """Say whether the group has committed the end of every partition that has one."""
        committed = await self.log.committed()
        if any(committed.get(partition, 0) != end for partition, end in (await self.log.ends()).items()):
            return False
        if self._mended_at is not None:
            self.recovered_s, self._mended_at = time.monotonic() - self._mended_at, None
        return True

    def mended(self) -> None:
        """Begin to count the seconds until the group has caught up: the fault is over."""
        self._mended_at = time.monotonic()

    async def commits_are_complete(self) -> bool:
        """Say whether every position stands at the first record that is not stored; for documents published once."""
        committed, stored = await self.log.committed(), await self.index.origins()
        waiting = await self.log.ends()
        for key, sent in self._published:
            if key not in stored:
                waiting[sent.partition] = min(waiting[sent.partition], sent.offset)
        return {partition: committed.get(partition, 0) for partition in waiting} == waiting

    async def assert_nothing_lost(self) -> None:
        """Assert that all is committed, that the rows are the last ones published, and that no dead letter lies."""
        await self.wait_until(self.caught_up, "lag is 0")
        stored, expected = await self.index.chunks(), {key: told for key, told in self.expected.items() if told}
        assert stored.keys() == expected.keys()
        assert stored == expected
        assert await self.log.dead_letters() == []

    async def wait_until(
        self, holds: Callable[[], Awaitable[Found | None]], what: str, within: float = 45.0, *, ends: bool = False
    ) -> Found:
        """Ask until the answer is true, and return it; a worker that ends meanwhile is a failure, unless *ends*."""
        running = [] if ends else [worker for worker in self.workers if worker.returncode is None]
        last: Exception | None = None
        try:
            async with asyncio.timeout(within):
                while True:
                    try:
                        if found := await holds():
                            return found
                    except AWAY as error:
                        last = error  # a part that is away: a scenario may have taken it away
                    for worker in running:
                        assert worker.returncode is None, f"{worker!r} ended while waiting until {what}"
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            raise AssertionError(f"not so within {within:g} s: {what}; last error: {last!r}") from None

    async def wait_for_status(
        self, worker: Worker, what: str, holds: Callable[..., bool], within: float = 45.0
    ) -> None:
        """Wait until the status that *worker* tells is as wanted."""

        async def as_wanted() -> bool:
            status = await worker.status()
            return status is not None and holds(status)

        await self.wait_until(as_wanted, f"the status says that {what}", within)

    async def embedded_again(self) -> set[str]:
        """Return the texts of documents that were embedded more than once; those that probe a provider do not count."""
        more_than_once = await self.provider.paid_more_than(1)
        return {text for text in self._texts if digest_of(text).hex() in more_than_once}

    async def polled(self, worker: Worker) -> int:
        """Return how many messages *worker* has taken in."""
        status = await worker.status()
        assert status is not None, worker.told
        return status.totals.polled

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[None]:
        """Look all the while that no commit goes back or passes a document that is not stored."""
        before: dict[int, int] = {}
        with suppress(KafkaError):  # a new broker knows no coordinator before somebody has joined a group
            before = await self.log.committed()
        leaving = asyncio.Event()
        task = asyncio.create_task(self._watch(before, leaving))
        try:
            yield
        finally:
            leaving.set()
            # Not cancelled, if that can be: aiokafka would leave a connection behind that it was about to make.
            await asyncio.wait({task}, timeout=LAST_LOOK_S)
            task.cancel()
            [told] = await asyncio.gather(task, return_exceptions=True)
        assert told is None, told

    async def _watch(self, before: dict[int, int], leaving: asyncio.Event) -> str | None:
        """Return what went wrong between *before* was committed and *leaving*."""
        while not leaving.is_set():
            await asyncio.sleep(LOOK_S)
            try:
                committed = await self.log.committed()
                stored = await self.index.origins()
            except AWAY:
                continue  # a part that is away
            for partition, position in committed.items():
                if position < before.get(partition, 0):
                    return f"partition {partition} went back from {before[partition]} to {position}"
            before |= committed
            for key, sent in self._published:
                place = stored.get(key)
                settled = place is not None and place.partition == sent.partition and place.offset >= sent.offset
                if sent.offset < committed.get(sent.partition, 0) and not settled:
                    return f"partition {sent.partition} is at {committed[sent.partition]}, {sent} is not stored"
        return None
