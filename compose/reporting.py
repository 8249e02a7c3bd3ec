"""What does a worker say of itself? Facts of its pipeline, made into a Status."""

import os
import socket
import time

from compose.service import Worker
from consumers.core.conditions import Condition
from consumers.core.state import Facts, decide
from consumers.pipeline import Pipeline
from consumers.telemetry.tally import Tally
from schemas import __version__
from schemas.dead_letters import iso
from schemas.events import Lag, Observer, StateChanged
from schemas.status import InFlight, Limits, PartitionStatus, State, Status


class Reporter:
    """Answers ``status``; notices a change of state when it is asked."""

    def __init__(self, worker: Worker, tally: Tally, observe: Observer) -> None:
        self.instance = f"{socket.gethostname()}/{os.getpid()}"
        self._worker = worker
        self._tally = tally
        self._observe = observe
        self._state: State | None = None
        self._since = iso(time.time())
        self._well_since = time.monotonic()

    def __repr__(self) -> str:
        return f"<Reporter {self._state}>"

    def status(self) -> Status:
        """Return the worker's account of itself, as of now."""
        state, reason = decide(self._facts())
        if state is not self._state:
            self._state, self._since = state, iso(time.time())
            self._observe(StateChanged(state.value, reason))
        settings, pipeline = self._worker.settings, self._worker.pipeline
        return Status(
            state=state,
            reason=reason,
            since=self._since,
            version=__version__,
            index=settings.store.index,
            group=settings.group,
            instance=self.instance,
            topic=settings.kafka.topic,
            deadline_s=settings.provider.deadline_s,
            partitions=() if pipeline is None else tuple(_partitions(pipeline)),
            in_flight=InFlight() if pipeline is None else _in_flight(pipeline),
            limits=Limits() if pipeline is None else _limits(pipeline),
            totals=self._tally.totals(),
            rates=self._tally.rates(),
        )

    def tick(self) -> None:
        """Notice what changed, and tell the lag."""
        status = self.status()
        self._observe(Lag({one.partition: one.lag for one in status.partitions if one.lag is not None}))

    def _facts(self) -> Facts:
        worker, pipeline, now = self._worker, self._worker.pipeline, time.monotonic()
        if pipeline is None:
            away = worker.away_because
            return Facts(
                started=away is not None,
                starting_because=worker.starting_because,
                draining=False,
                rebalancing=True,
                condition=None if away is None else Condition(State.PAUSED, away, now, holds=True),
                waiting={},
                stuck_after_s=worker.settings.worker.stuck_after_s,
                busy=False,
            )
        condition = pipeline.shared.conditions.foremost()
        if condition is not None:
            self._well_since = now
        oldest = {partition: tracker.oldest for partition, tracker in pipeline.source.trackers.items()}
        return Facts(
            started=True,
            starting_because="",
            draining=pipeline.draining,
            rebalancing=pipeline.source.rebalancing,
            condition=condition,
            waiting={p: now - max(since, self._well_since) for p, since in oldest.items() if since is not None},
            stuck_after_s=worker.settings.worker.stuck_after_s,
            busy=pipeline.shared.budget.documents > 0,
        )


def _partitions(pipeline: Pipeline) -> list[PartitionStatus]:
    now, source = time.monotonic(), pipeline.source
    return [
        PartitionStatus(
            partition=partition,
            position=tracker.position,
            end=source.ends.get(partition),
            lag=None if partition not in source.ends else max(0, source.ends[partition] - tracker.position),
            unresolved=tracker.unresolved,
            oldest_unresolved_s=None if tracker.oldest is None else round(now - tracker.oldest, 3),
            late=pipeline.watches.deadlines.late.get(partition, 0),
            blocked=source.unreadable.get(partition),
            retention_nears=partition in pipeline.watches.retention.at_risk,
        )
        for partition, tracker in sorted(source.trackers.items())
    ]


def _in_flight(pipeline: Pipeline) -> InFlight:
    budget = pipeline.shared.budget
    return InFlight(documents=budget.documents, bytes=budget.size, calls=pipeline.embedding.calls)


def _limits(pipeline: Pipeline) -> Limits:
    writing, lane = pipeline.writing, pipeline.embedding.lane
    return Limits(
        calls=lane.concurrency.limit,
        calls_per_s=round(lane.pace.rate, 3) if lane.pace.is_learnt else None,
        transactions=writing.writers.count,
        group_rows=writing.group_size.rows,
    )
