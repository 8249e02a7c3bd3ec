"""What does headrace do, from end to end? A private stack, real documents, one worker, a few searches."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from compose import dead_letters
from compose.corpus import corpus
from compose.embedded.endpoints import Endpoints
from compose.embedded.stack import PartFailed, Stack, temporary_stack
from compose.letter_forms import Letter
from compose.publishing import Publication
from compose.reading import Format, Found, Item, Reading, Refusal
from compose.service import Worker, fingerprint_of
from consumers.core.selection import Filter
from consumers.stores.pgvector import PgVectorStore
from consumers.telemetry.tally import Tally
from producers.publisher import Publisher
from producers.topics import ensure_topics
from schemas.dead_letters import Record
from schemas.index import Counts
from schemas.settings import Settings
from schemas.status import Totals

BROKEN = Record(b"the-broken-one", b'{"id": "the-broken-one", "text": 42}', ())
"""Its text is a number: nothing that anybody could embed."""

QUERIES = (
    "what day of the week is a date?",
    "read rows of a CSV file",
    "compress a file",
    "run a function in another thread",
    "send an e-mail message",
)
"""What the standard library's documentation answers."""
TITLES = 3

Progress = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Run:
    """What a worker did: its totals, what is stored, and the seconds from its first poll to its last commit."""

    totals: Totals
    counts: Counts
    seconds: float


class Demonstration:
    """One demonstration on a stack that is private to it. ``titles`` are of the documents that were published."""

    def __init__(self, at: Endpoints, paths: Sequence[str]) -> None:
        self.settings = settings_for(at)
        self.tally = Tally()
        self.published = 0
        self.titles: list[str] = []
        self.refusals: list[Refusal] = []
        self._paths = paths

    async def prepare(self) -> None:
        """Create the topics and the index."""
        await ensure_topics(self.settings)
        async with PgVectorStore(self.settings.store) as store:
            await store.create(fingerprint_of(self.settings))

    async def publish(self) -> None:
        """Publish the documents, and one that is broken."""
        publication = Publication(self.settings.kafka, self.refusals.append)
        await publication.run(self._items())
        publisher = Publisher(self.settings.kafka, "demo", linger_ms=0, patience_s=30.0)
        try:
            await publisher.deliver(self.settings.kafka.topic, BROKEN)
        finally:
            await publisher.aclose()

    async def work(self) -> Run:
        """Run a worker until its lag is 0."""
        worker = Worker(self.settings, self.tally)
        began = time.monotonic()
        await worker.run(until_caught_up=True)
        seconds = time.monotonic() - began
        async with PgVectorStore(self.settings.store) as store:
            return Run(self.tally.totals(), await store.counts(), seconds)

    async def first_dead_letter(self) -> Letter | None:
        """Return the dead letter of the broken document."""
        letters = await dead_letters.newest(self.settings, Filter(), 1)
        return letters[0] if letters else None

    def queries(self) -> Sequence[str]:
        """Return what to search for: the titles of the user's own documents, or questions to the library."""
        return self.titles if self._paths else QUERIES

    def _items(self) -> Iterator[Item]:
        items = self._read() if self._paths else (Found(one, one.id, None, len(one.text)) for one in corpus())
        for item in items:
            if isinstance(item, Found):
                self.published += 1
                if item.document.title and len(self.titles) < TITLES:
                    self.titles.append(item.document.title)
            yield item

    def _read(self) -> Iterator[Item]:
        return Reading(Format.AUTO, None, self.settings.worker.max_document_bytes).read(self._paths)


@asynccontextmanager
async def demonstration(paths: Sequence[str], observe: Progress) -> AsyncIterator[Demonstration]:
    """Start a private stack; whatever happens, no process, port or folder of it is left.

    Raises PartFailed when a part of it does not start, or ends.
    """
    async with temporary_stack(observe=observe) as stack, asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(_watch(stack))
        yield Demonstration(stack.endpoints, paths)
        watching.cancel()


async def _watch(stack: Stack) -> None:
    """End everything when a part of the stack ends by itself."""
    part = await stack.failed()
    raise PartFailed(part.failure or f"{part.name} ended")


def settings_for(at: Endpoints) -> Settings:
    """Return the settings of a worker on an embedded stack: small chunks, since each is to be a good answer."""
    return Settings.model_validate(
        {
            "kafka": {"bootstrap_servers": at.bootstrap_servers},
            "provider": {"base_url": at.base_url, "model": at.model, "dimensions": at.dimensions},
            "store": {"dsn": at.dsn},
            "chunking": {"max_tokens": 160},
            "http": {"port": 0},
        }
    )
