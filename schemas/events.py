"""What may be observed, as data: adapters and stages call an observer, telemetry and tests listen.

An event speaks of a group (a poll, a call, a transaction), not of a single document: the hot path pays per group. What
is dead-lettered or traced is few.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from schemas.index import Outcome


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened."""


@dataclass(frozen=True, slots=True)
class Polled(Event):
    """A poll returned records. ``size`` is the bytes of their values, ``seconds`` the CPU-side time to decode them."""

    messages: int
    size: int
    seconds: float


@dataclass(frozen=True, slots=True)
class OddInput(Event):
    """Input was accepted after a change that somebody may want to know of.

    ``kind`` is ``nul-removed``, ``unknown-content-type``, ``origin-ignored`` or ``future-timestamp``.
    """

    kind: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class LookedUp(Event):
    """One look-up query for a group of documents ended."""

    documents: int
    seconds: float


@dataclass(frozen=True, slots=True)
class CallFinished(Event):
    """The provider answered a batch, which ``closed_by`` closed: items, tokens, bytes, linger, split or alone."""

    model: str
    texts: int
    tokens: int
    size: int
    seconds: float
    closed_by: str
    fill: float


@dataclass(frozen=True, slots=True)
class CallFailed(Event):
    """A call failed; ``error`` is the type's name, ``verdict`` what was decided."""

    model: str
    texts: int
    seconds: float
    error: str
    message: str
    verdict: str


@dataclass(frozen=True, slots=True)
class TextsReused(Event):
    """Chunks got a vector without a call for them: the one stored for their text, or an equal text's in their batch."""

    count: int


@dataclass(frozen=True, slots=True)
class Written(Event):
    """A transaction was committed."""

    documents: int
    chunks: int
    seconds: float


@dataclass(frozen=True, slots=True)
class WriteFailed(Event):
    """A transaction was rolled back; ``verdict`` says what was decided."""

    documents: int
    error: str
    message: str
    sqlstate: str | None
    verdict: str


@dataclass(frozen=True, slots=True)
class Resolved(Event):
    """Messages were resolved. ``seconds`` is the age of the oldest of them since its poll."""

    outcome: Outcome
    count: int
    seconds: float


@dataclass(frozen=True, slots=True)
class DocumentTraced(Event):
    """A message whose header ``traceparent`` names its trace is resolved, ``seconds`` after its poll.

    One a document, so only where spans are sent anywhere.
    """

    topic: str
    partition: int
    offset: int
    traceparent: str
    outcome: Outcome
    seconds: float


@dataclass(frozen=True, slots=True)
class DeadLettered(Event):
    """The dead-letter topic acknowledged a message."""

    stage: str
    code: str
    topic: str
    partition: int
    offset: int
    message: str


@dataclass(frozen=True, slots=True)
class DeadLetterFailed(Event):
    """The dead-letter topic did not take a message; it is tried again."""

    error: str
    message: str


@dataclass(frozen=True, slots=True)
class Assigned(Event):
    """Partitions are ours from these positions on."""

    positions: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Revoked(Event):
    """Partitions were given up after a drain of ``seconds``; ``abandoned`` messages will be delivered again."""

    partitions: tuple[int, ...]
    seconds: float
    abandoned: int


@dataclass(frozen=True, slots=True)
class Rewound(Event):
    """The database knows less than Kafka's commit says: reading starts at what the database knows."""

    partition: int
    committed: int
    position: int


@dataclass(frozen=True, slots=True)
class LostToRetention(Event):
    """Records were deleted from the topic before they were read: offsets ``start`` to ``end``, without the latter."""

    partition: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class RetentionNears(Event):
    """The topic is about to lose unread records: ``position`` lies near ``start``, and reading does not get away."""

    partition: int
    start: int
    position: int
    end: int


@dataclass(frozen=True, slots=True)
class DeadlinePassed(Event):
    """Documents of a partition wait longer than ``seconds``, where none did before."""

    partition: int
    documents: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Committed(Event):
    """Positions were committed."""

    positions: Mapping[int, int]
    seconds: float


@dataclass(frozen=True, slots=True)
class CommitRefused(Event):
    """The group no longer counts us as the owner: nothing more is committed in this assignment."""

    message: str


@dataclass(frozen=True, slots=True)
class PollFailed(Event):
    """A poll raised; every partition was put back to what its tracker expects."""

    error: str
    message: str


@dataclass(frozen=True, slots=True)
class StateChanged(Event):
    """The worker's state, as in ``/status``."""

    state: str
    reason: str


@dataclass(frozen=True, slots=True)
class Lag(Event):
    """What is still to be resolved: end offset minus position, per partition."""

    partitions: Mapping[int, int] = field(default_factory=dict)


Observer = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Observe nothing."""
