"""What does a worker say of itself? Served as JSON at ``/status``."""

from enum import StrEnum

import msgspec


class State(StrEnum):
    """What a worker is doing; where several hold, the first in this order is told."""

    STUCK = "stuck"
    DRAINING = "draining"
    REBALANCING = "rebalancing"
    BLOCKED = "blocked"
    PAUSED = "paused"
    THROTTLED = "throttled"
    STARTING = "starting"
    RUNNING = "running"
    IDLE = "idle"

    @property
    def alive(self) -> bool:
        """Liveness: a worker that is stuck is to be restarted, any other is not."""
        return self is not State.STUCK

    @property
    def ready(self) -> bool:
        """Readiness: the worker takes documents, or would if there were any."""
        return self not in (State.STARTING, State.BLOCKED, State.DRAINING)


class PartitionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One assigned partition. ``end`` and ``lag`` are None until the broker has told them.

    ``position`` is the next offset to commit, ``oldest_unresolved_s`` the age of the oldest message that holds it,
    ``late`` how many wait longer than their deadline, ``blocked`` why this partition alone does not go on;
    ``retention_nears`` says that the topic is about to lose records of it that are unread.
    """

    partition: int
    position: int
    end: int | None = None
    lag: int | None = None
    unresolved: int = 0
    oldest_unresolved_s: float | None = None
    late: int = 0
    blocked: str | None = None
    retention_nears: bool = False


class InFlight(msgspec.Struct, frozen=True, kw_only=True):
    """What the worker holds in memory, against the budgets of ``[worker]``, and the calls it waits for."""

    documents: int = 0
    bytes: int = 0
    calls: int = 0


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the worker allows itself at the moment, by what it has measured.

    ``calls`` and ``transactions`` run at once, and about ``group_rows`` rows are written by one transaction;
    ``calls_per_s`` is the ceiling learnt from refusals, None where none taught one.
    """

    calls: int = 0
    calls_per_s: float | None = None
    transactions: int = 0
    group_rows: int = 0


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """What the worker has done since it started. ``tokens`` is what the provider billed."""

    polled: int = 0
    stored: int = 0
    unchanged: int = 0
    superseded: int = 0
    deleted: int = 0
    dead_lettered: int = 0
    texts_embedded: int = 0
    texts_reused: int = 0
    calls: int = 0
    calls_failed: int = 0
    tokens: int = 0
    chunks_written: int = 0
    writes: int = 0
    writes_failed: int = 0

    @property
    def resolved(self) -> int:
        """Messages that are done with, whatever became of them."""
        return self.stored + self.unchanged + self.superseded + self.deleted + self.dead_lettered


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """Means over a span of the recent past: resolved documents and embedded texts a second."""

    documents_per_s: float = 0.0
    texts_per_s: float = 0.0


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """Means over the last ten and the last sixty seconds."""

    last_10_s: Rate = Rate()
    last_60_s: Rate = Rate()


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's account of itself. ``since`` is when it entered its state, in ISO 8601 UTC.

    ``deadline_s`` is how long a document may wait before it counts as late.
    """

    state: State
    reason: str
    since: str
    version: str
    index: str
    group: str
    instance: str
    topic: str
    deadline_s: float = 0.0
    partitions: tuple[PartitionStatus, ...] = ()
    in_flight: InFlight = InFlight()
    limits: Limits = Limits()
    totals: Totals = Totals()
    rates: Rates = Rates()
