"""What is measured? Every metric, in one table, and which event feeds it.

Prometheus sees a name with its unit and, for a counter, ``_total`` behind it: ``headrace_call_duration_seconds``,
``headrace_polled_bytes_total``. Gauges are read from the worker's status, so that a partition that was given up
disappears. The status is asked for where the worker's own thread is: OTLP reads the gauges from another one.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Meter, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

from schemas import __version__, events
from schemas.events import Event
from schemas.settings import TelemetrySettings
from schemas.status import State, Status

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
AGES = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0)
RATIO = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 1.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)

EXPORT_TIMEOUT_S = 3.0
"""A collector that is away must not hold up a worker that is told to end."""


@dataclass(frozen=True)
class Metric:
    """A metric: ``unit`` is written as in UCUM, ``buckets`` are a histogram's."""

    name: str
    kind: str
    unit: str
    description: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] | None = None


METRICS = (
    Metric("headrace_messages_polled", "counter", "", "Messages received."),
    Metric("headrace_polled", "counter", "By", "Bytes of the values received."),
    Metric("headrace_decode_duration", "histogram", "s", "CPU time to decode what one poll returned.", buckets=SECONDS),
    Metric("headrace_odd_inputs", "counter", "", "Input accepted after a change.", ("kind",)),
    Metric("headrace_documents_looked_up", "counter", "", "Documents asked after in the index."),
    Metric("headrace_look_up_duration", "histogram", "s", "One look-up query.", buckets=SECONDS),
    Metric("headrace_calls", "counter", "", "Calls to the provider.", ("model", "result")),
    Metric("headrace_call_duration", "histogram", "s", "One call to the provider.", ("model", "result"), SECONDS),
    Metric("headrace_texts_embedded", "counter", "", "Texts the provider embedded.", ("model",)),
    Metric(
        "headrace_texts_reused",
        "counter",
        "",
        "Texts whose stored vector was kept, or that of an equal text of their batch.",
    ),
    Metric("headrace_tokens", "counter", "", "Tokens the provider billed.", ("model",)),
    Metric("headrace_sent", "counter", "By", "Bytes of text sent to the provider.", ("model",)),
    Metric(
        "headrace_batch_fill",
        "histogram",
        "1",
        "How full a batch was, by the limit it came nearest to.",
        ("closed_by",),
        RATIO,
    ),
    Metric("headrace_batch_texts", "histogram", "", "Texts in a batch.", ("closed_by",), SIZES),
    Metric("headrace_writes", "counter", "", "Transactions.", ("result",)),
    Metric("headrace_write_duration", "histogram", "s", "One committed transaction.", buckets=SECONDS),
    Metric("headrace_documents_written", "counter", "", "Documents in committed transactions."),
    Metric("headrace_chunks_written", "counter", "", "Chunks in committed transactions."),
    Metric("headrace_messages_resolved", "counter", "", "Messages done with, by what became of them.", ("outcome",)),
    Metric("headrace_resolve_age", "histogram", "s", "Poll to resolution, the oldest of a group.", ("outcome",), AGES),
    Metric("headrace_dead_letters", "counter", "", "Messages the dead-letter topic took.", ("stage", "code")),
    Metric("headrace_dead_letters_failed", "counter", "", "Attempts to dead-letter that failed.", ("error",)),
    Metric("headrace_commits", "counter", "", "Commits of positions.", ("result",)),
    Metric("headrace_commit_duration", "histogram", "s", "One commit, to the index and to Kafka.", buckets=SECONDS),
    Metric("headrace_assignments", "counter", "", "Assignments received."),
    Metric("headrace_revoke_duration", "histogram", "s", "Drain before partitions were given up.", buckets=SECONDS),
    Metric("headrace_messages_abandoned", "counter", "", "Messages given up unresolved: they are delivered again."),
    Metric("headrace_messages_rewound", "counter", "", "Messages read again, since the database knew less."),
    Metric(
        "headrace_messages_lost_to_retention", "counter", "", "Messages deleted from the topic before they were read."
    ),
    Metric(
        "headrace_retention_nears", "gauge", "", "1 where the topic is about to lose unread records.", ("partition",)
    ),
    Metric("headrace_polls_failed", "counter", "", "Polls that raised.", ("error",)),
    Metric("headrace_state", "gauge", "", "1 for the state the worker is in.", ("state",)),
    Metric("headrace_lag", "gauge", "", "End offset minus position.", ("partition",)),
    Metric("headrace_position", "gauge", "", "Next offset to commit.", ("partition",)),
    Metric("headrace_messages_unresolved", "gauge", "", "Messages polled and not resolved.", ("partition",)),
    Metric(
        "headrace_messages_late", "gauge", "", "Messages unresolved for longer than their deadline.", ("partition",)
    ),
    Metric("headrace_oldest_unresolved", "gauge", "s", "Age of the message that holds the position.", ("partition",)),
    Metric("headrace_documents_in_flight", "gauge", "", "Documents held in memory."),
    Metric("headrace_in_flight", "gauge", "By", "Bytes held in memory, as the budget counts them."),
    Metric("headrace_calls_in_flight", "gauge", "", "Calls waited for."),
    Metric("headrace_calls_limit", "gauge", "", "Calls that the worker allows itself at once."),
    Metric("headrace_calls_per_second_limit", "gauge", "", "Ceiling that was learnt from calls refused as too many."),
    Metric("headrace_transactions_limit", "gauge", "", "Transactions that the worker allows itself at once."),
    Metric("headrace_group_rows_limit", "gauge", "", "Rows that the worker gives one transaction."),
)

Samples = Iterable[tuple[float, Mapping[str, str]]]
GAUGES: dict[str, Callable[[Status], Samples]] = {
    "headrace_state": lambda s: [(float(s.state is state), {"state": state}) for state in State],
    "headrace_lag": lambda s: [(p.lag, {"partition": str(p.partition)}) for p in s.partitions if p.lag is not None],
    "headrace_position": lambda s: [(p.position, {"partition": str(p.partition)}) for p in s.partitions],
    "headrace_messages_unresolved": lambda s: [(p.unresolved, {"partition": str(p.partition)}) for p in s.partitions],
    "headrace_messages_late": lambda s: [(p.late, {"partition": str(p.partition)}) for p in s.partitions],
    "headrace_oldest_unresolved": lambda s: [
        (p.oldest_unresolved_s or 0.0, {"partition": str(p.partition)}) for p in s.partitions
    ],
    "headrace_retention_nears": lambda s: [
        (float(p.retention_nears), {"partition": str(p.partition)}) for p in s.partitions
    ],
    "headrace_documents_in_flight": lambda s: [(s.in_flight.documents, {})],
    "headrace_in_flight": lambda s: [(s.in_flight.bytes, {})],
    "headrace_calls_in_flight": lambda s: [(s.in_flight.calls, {})],
    "headrace_calls_limit": lambda s: [(s.limits.calls, {})],
    "headrace_calls_per_second_limit": lambda s: [] if s.limits.calls_per_s is None else [(s.limits.calls_per_s, {})],
    "headrace_transactions_limit": lambda s: [(s.limits.transactions, {})],
    "headrace_group_rows_limit": lambda s: [(s.limits.group_rows, {})],
}


class Metrics:
    """An observer that feeds the metrics. ``status`` is asked when somebody looks, and with each Lag."""

    def __init__(self, telemetry: TelemetrySettings, status: Callable[[], Status], instance: str) -> None:
        self._status = status
        self._latest: Status | None = None
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        readers: list[MetricReader] = [
            PrometheusMetricReader(disable_target_info=True, scope_info_enabled=False, registry=self._registry)
        ]
        if telemetry.otlp_endpoint:
            readers.append(_otlp_reader(telemetry.otlp_endpoint))
        resource = Resource.create(
            {"service.name": "headrace", "service.version": __version__, "service.instance.id": instance}
        )
        self._provider = MeterProvider(readers, resource, shutdown_on_exit=False)
        meter = self._provider.get_meter("headrace", __version__)
        made = {
            metric.name.removeprefix("headrace_"): _instrument(meter, metric, lambda: self._latest)
            for metric in METRICS
        }
        self._count: dict[str, Callable[..., None]] = {
            name: one.add for name, one in made.items() if hasattr(one, "add")
        }
        self._record: dict[str, Callable[..., None]] = {
            name: one.record for name, one in made.items() if hasattr(one, "record")
        }

    def exposition(self) -> bytes:
        """Return everything as Prometheus text."""
        self._latest = self._status()
        return generate_latest(self._registry)

    def close(self) -> None:
        """Send what is left to the collector of OTLP, if there is one; blocks for that."""
        self._provider.shutdown()

    def __call__(self, event: Event) -> None:  # noqa: C901, PLR0912, PLR0915 - a table: one case an event
        """Count an event."""
        count, record = self._count, self._record
        match event:
            case events.Polled(messages=messages, size=size, seconds=seconds):
                count["messages_polled"](messages)
                count["polled"](size)
                record["decode_duration"](seconds)
            case events.LookedUp(documents=documents, seconds=seconds):
                count["documents_looked_up"](documents)
                record["look_up_duration"](seconds)
            case events.CallFinished():
                self._call(event)
            case events.CallFailed(model=model, error=error, seconds=seconds):
                count["calls"](1, {"model": model, "result": error})
                record["call_duration"](seconds, {"model": model, "result": error})
            case events.TextsReused(count=texts):
                count["texts_reused"](texts)
            case events.Written(documents=documents, chunks=chunks, seconds=seconds):
                count["writes"](1, {"result": "ok"})
                count["documents_written"](documents)
                count["chunks_written"](chunks)
                record["write_duration"](seconds)
            case events.WriteFailed(error=error):
                count["writes"](1, {"result": error})
            case events.Resolved(outcome=outcome, count=messages, seconds=seconds):
                count["messages_resolved"](messages, {"outcome": outcome.value})
                record["resolve_age"](seconds, {"outcome": outcome.value})
            case events.DeadLettered(stage=stage, code=code):
                count["dead_letters"](1, {"stage": stage, "code": code})
            case events.DeadLetterFailed(error=error):
                count["dead_letters_failed"](1, {"error": error})
            case events.Committed(seconds=seconds):
                count["commits"](1, {"result": "ok"})
                record["commit_duration"](seconds)
            case events.CommitRefused():
                count["commits"](1, {"result": "refused"})
            case events.Assigned():
                count["assignments"](1)
            case events.Revoked(seconds=seconds, abandoned=abandoned):
                record["revoke_duration"](seconds)
                count["messages_abandoned"](abandoned)
            case events.Rewound(committed=committed, position=position):
                count["messages_rewound"](committed - position)
            case events.LostToRetention(start=start, end=end):
                count["messages_lost_to_retention"](end - start)
            case events.PollFailed(error=error):
                count["polls_failed"](1, {"error": error})
            case events.Lag():
                self._latest = self._status()
            case events.OddInput(kind=kind, count=inputs):
                count["odd_inputs"](inputs, {"kind": kind})
            case _:
                pass

    def _call(self, event: events.CallFinished) -> None:
        count, record = self._count, self._record
        model, closed_by = {"model": event.model}, {"closed_by": event.closed_by}
        result = {"model": event.model, "result": "ok"}
        count["calls"](1, result)
        record["call_duration"](event.seconds, result)
        count["texts_embedded"](event.texts, model)
        count["tokens"](event.tokens, model)
        count["sent"](event.size, model)
        record["batch_fill"](event.fill, closed_by)
        record["batch_texts"](event.texts, closed_by)


def _instrument(meter: Meter, metric: Metric, latest: Callable[[], Status | None]) -> Any:  # noqa: ANN401 - three unrelated types
    if metric.kind == "counter":
        return meter.create_counter(metric.name, metric.unit, metric.description)
    if metric.kind == "histogram":
        return meter.create_histogram(
            metric.name, metric.unit, metric.description, explicit_bucket_boundaries_advisory=metric.buckets
        )
    read = GAUGES[metric.name]

    def samples(_: CallbackOptions) -> list[Observation]:
        status = latest()
        return [] if status is None else [Observation(value, labels) for value, labels in read(status)]

    return meter.create_observable_gauge(metric.name, [samples], metric.unit, metric.description)


def _otlp_reader(endpoint: str) -> MetricReader:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415 - slow, and rarely configured
        OTLPMetricExporter,
    )

    return PeriodicExportingMetricReader(
        OTLPMetricExporter(f"{endpoint.rstrip('/')}/v1/metrics", timeout=EXPORT_TIMEOUT_S)
    )
