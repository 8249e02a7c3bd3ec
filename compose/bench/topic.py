"""How does a topic of documents become readable all at once?

A transaction that is open holds back every record behind it from whoever reads what is committed. So a program can
start, join its group and wait in front of a full topic; the clock starts when the transaction ends.
"""

import random
import time
from collections.abc import Callable, Iterator

from aiokafka import AIOKafkaProducer

from compose.bench.results import Plan
from producers.connection import client_options
from producers.documents import DocumentProducer
from producers.errors import RecordTooLarge
from producers.topics import ensure_topics
from schemas.documents import Deletion, Document
from schemas.errors import BrokerMisconfigured
from schemas.settings import Settings

SENTENCES, WORDS, LONGEST_WORD = 2_000, 12, 9
TRANSACTION_MS = 15 * 60 * 1000
"""The most that a broker takes without being asked for more."""
LETTERS = "etaoinshrdlucmfw"
TELL_EVERY_S = 2.0

Tell = Callable[[str], None]
"""Takes a line of progress."""


def documents(plan: Plan) -> Iterator[Document]:
    """Make up documents, the same each time, no two alike, each one chunk."""
    rng = random.Random(plan.documents)  # noqa: S311 - no secret
    vocabulary = ["".join(rng.choices(LETTERS, k=rng.randint(2, LONGEST_WORD))) for _ in range(SENTENCES)]
    sentences = [" ".join(rng.choices(vocabulary, k=WORDS)) + "." for _ in range(SENTENCES)]
    enough = plan.characters // (3 * WORDS) + 1
    for n in range(plan.documents):
        text = f"{n} " + " ".join(rng.choices(sentences, k=enough))
        yield Document(tenant="default", id=f"document-{n}", text=text[: plan.characters].rstrip())


class GatedTopic:
    """A topic with every document in it, that nobody can read before ``open``.

    One record in each partition belongs to the transaction; it is aborted with it, and read by nobody.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._gate = AIOKafkaProducer(
            **client_options(settings.kafka, "gate"),
            transactional_id=f"gate-{settings.kafka.topic}",
            transaction_timeout_ms=TRANSACTION_MS,
        )

    async def fill(self, plan: Plan, tell: Tell) -> None:
        """Create the topic, close the gate and publish. Raises BrokerUnavailable or BrokerMisconfigured."""
        kafka = self._settings.kafka
        await ensure_topics(self._settings)
        await self._gate.start()
        await self._gate.begin_transaction()
        for partition in range(self.partitions):
            await self._gate.send_and_wait(kafka.topic, b"", partition=partition)
        await publish(self._settings, plan, tell)

    @property
    def partitions(self) -> int:
        """How many partitions there are."""
        return self._settings.kafka.partitions

    def end(self, plan: Plan) -> int:
        """Return the sum of the end offsets once the gate is open: a record of ours and a marker in each partition."""
        return plan.documents + 2 * self.partitions

    async def open(self) -> float:
        """Let everybody read; return when that was, in seconds since the epoch."""
        opened = time.time()
        await self._gate.abort_transaction()
        return opened

    async def aclose(self) -> None:
        """Close the connection; a gate that is still closed stays so until its transaction times out."""
        await self._gate.stop()


async def publish(settings: Settings, plan: Plan, tell: Tell) -> None:
    """Publish every document. Raises BrokerUnavailable or BrokerMisconfigured."""
    told_at = time.monotonic()
    async with DocumentProducer(settings.kafka, refused=_refused) as producer:
        for document in documents(plan):
            await producer.publish(document)
            if time.monotonic() - told_at > TELL_EVERY_S:
                told_at = time.monotonic()
                tell(f"published {producer.published:,} of {plan.documents:,} documents")
        await producer.flush()


def _refused(document: Document | Deletion, error: RecordTooLarge) -> None:
    raise BrokerMisconfigured(f"the document {document.id} was refused: {error}")
