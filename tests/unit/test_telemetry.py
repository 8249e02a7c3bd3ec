"""What listens to events: counts, metrics, logs and spans."""

import dataclasses
import io
import json
import logging
import typing
from collections.abc import Iterator
from typing import Any, Literal

import pytest
import structlog
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families

from consumers.telemetry.logs import AGAIN_AFTER_S, LEVELS, EventLog, configure
from consumers.telemetry.metrics import GAUGES, METRICS, Metrics
from consumers.telemetry.tally import Tally
from consumers.telemetry.tracing import Traces
from schemas import events
from schemas.events import Event
from schemas.index import Outcome
from schemas.settings import TelemetrySettings
from schemas.status import InFlight, PartitionStatus, Rate, State, Status

CALL = events.CallFinished("m", texts=200, tokens=900, size=3600, seconds=0.25, closed_by="items", fill=0.8)
FAILED_CALL = events.CallFailed("m", 3, 0.1, "RateLimited", "slow down", "wait")


KINDS = [
    kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
]


class Clock:
    """A clock that stands until it is moved."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def status(**told: Any) -> Status:  # noqa: ANN401 - any field
    fixed = {"state": State.RUNNING, "reason": "", "since": "", "version": "", "index": "docs", "group": "g"}
    return Status(**{**fixed, "instance": "i", "topic": "t", **told})


def one_of_each() -> list[Event]:
    """Make one event of every type, with values that suit its fields."""
    values: dict[str, Any] = {"int": 3, "float": 0.5, "str": "word", "Outcome": Outcome.STORED, "str | None": None}
    made = []
    for kind in KINDS:
        hints = typing.get_type_hints(kind)
        told: dict[str, Any] = {}
        for one in dataclasses.fields(kind):
            hint = getattr(hints[one.name], "__name__", str(hints[one.name]))
            told[one.name] = {0: 1} if "Mapping" in str(hints[one.name]) else values.get(hint, (0,))
        if kind is events.Rewound:
            told |= {"committed": 9, "position": 2}
        if kind is events.LostToRetention:
            told |= {"start": 2, "end": 9}
        made.append(kind(**told))
    return made


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for family in families for one in family.samples}


@pytest.fixture
def metrics() -> Iterator[Metrics]:
    made = Metrics(TelemetrySettings(), status, "here")
    yield made
    made.close()


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers[:], root.level = handlers, level


def test_the_tally_counts_what_was_resolved_and_not_what_is_tried_again() -> None:
    tally = Tally(Clock())
    for outcome in Outcome:
        tally(events.Resolved(outcome, 2, 0.1))
    for event in (CALL, FAILED_CALL, events.Polled(7, 1, 0.1), events.TextsReused(4), events.Written(2, 5, 0.1)):
        tally(event)
    done = tally.totals()
    assert done.resolved == 10
    assert (done.stored, done.dead_lettered, done.polled, done.texts_reused) == (2, 2, 7, 4)
    assert (done.calls, done.calls_failed, done.texts_embedded, done.tokens) == (1, 1, 200, 900)
    assert (done.writes, done.chunks_written) == (1, 5)


def test_rates_are_means_over_the_recent_past_only() -> None:
    clock = Clock()
    tally = Tally(clock)
    for _ in range(100):
        clock.now += 1
        tally(events.Resolved(Outcome.STORED, 50, 0.1))
        tally(CALL)
    assert tally.rates().last_10_s == Rate(documents_per_s=50.0, texts_per_s=200.0)
    clock.now += 10
    assert tally.rates().last_10_s == Rate()
    assert tally.rates().last_60_s.documents_per_s == pytest.approx(50 * 50 / 60, abs=1)
    clock.now += 60
    assert tally.rates().last_60_s == Rate()
    assert len(tally._seconds) <= 60, "nothing older is kept"


def test_a_rate_of_a_young_worker_is_over_its_life() -> None:
    clock = Clock()
    tally = Tally(clock)
    clock.now += 4
    tally(events.Resolved(Outcome.STORED, 80, 0.1))
    assert tally.rates().last_60_s.documents_per_s == 20.0


def test_every_metric_in_the_table_is_fed(metrics: Metrics) -> None:
    for event in one_of_each():
        metrics(event)
    shown = {name for name, _ in samples(metrics)}
    units = {"s": "_seconds", "By": "_bytes", "1": "", "": ""}
    for metric in METRICS:
        if metric.kind == "gauge":
            continue
        stem = metric.name + units[metric.unit]
        wanted = {"counter": f"{stem}_total", "histogram": f"{stem}_count"}[metric.kind]
        assert wanted in shown, metric.name
    assert {metric.name for metric in METRICS if metric.kind == "gauge"} == set(GAUGES)
    assert len({metric.name for metric in METRICS}) == len(METRICS)


def test_metrics_add_up(metrics: Metrics) -> None:
    for event in (CALL, CALL, FAILED_CALL, events.Resolved(Outcome.UNCHANGED, 5, 0.3), events.Rewound(1, 100, 40)):
        metrics(event)
    seen = samples(metrics)
    assert seen["headrace_calls_total", (("model", "m"), ("result", "ok"))] == 2
    assert seen["headrace_calls_total", (("model", "m"), ("result", "RateLimited"))] == 1
    assert seen["headrace_tokens_total", (("model", "m"),)] == 1800
    assert seen["headrace_messages_resolved_total", (("outcome", "unchanged"),)] == 5
    assert seen["headrace_messages_rewound_total", ()] == 60
    labels = (("le", "0.25"), ("model", "m"), ("result", "ok"))
    assert seen["headrace_call_duration_seconds_bucket", labels] == 2


def test_gauges_are_read_when_somebody_looks_and_forget_a_partition_that_was_given_up() -> None:
    partitions = [PartitionStatus(partition=p, position=5, end=9, lag=4) for p in (0, 1)]
    now = status(partitions=tuple(partitions), in_flight=InFlight(documents=3, bytes=99, calls=2))
    metrics = Metrics(TelemetrySettings(), lambda: now, "here")
    seen = samples(metrics)
    assert seen["headrace_lag", (("partition", "1"),)] == 4
    assert seen["headrace_in_flight_bytes", ()] == 99
    assert seen["headrace_state", (("state", "running"),)] == 1
    assert seen["headrace_state", (("state", "blocked"),)] == 0
    now = status(partitions=tuple(partitions[:1]))
    seen = samples(metrics)
    assert ("headrace_lag", (("partition", "0"),)) in seen
    assert ("headrace_lag", (("partition", "1"),)) not in seen
    metrics.close()


def test_two_workers_in_one_process_share_no_metric() -> None:
    one, other = (Metrics(TelemetrySettings(), status, "here") for _ in range(2))
    one(CALL)
    assert ("headrace_tokens_total", (("model", "m"),)) not in samples(other)
    one.close()
    other.close()


def logged(level: str, *told: Event, clock: Clock | None = None, log: EventLog | None = None) -> list[dict[str, Any]]:
    out = io.StringIO()
    configure(TelemetrySettings(log_format="json"), lambda text: text.replace("secret", "***"), out)
    log = log or EventLog(level, clock or Clock())
    for event in told:
        log(event)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_every_event_has_a_level_and_groups_of_work_are_not_logged_at_info() -> None:
    assert set(LEVELS) == set(KINDS)
    work = (events.Polled, events.CallFinished, events.Written, events.Resolved, events.Committed, events.LookedUp)
    said = [line["event"] for line in logged("info", *one_of_each())]
    assert said
    assert not set(said) & {LEVELS[kind][1] for kind in work}


def test_debug_logs_each_group_of_work() -> None:
    out = io.StringIO()
    configure(TelemetrySettings(log_format="json", log_level="debug"), str, out)
    log = EventLog("debug", Clock())
    for event in one_of_each():
        log(event)
    assert len(out.getvalue().splitlines()) == len(one_of_each())


def test_a_failure_that_repeats_is_logged_once_in_a_while_with_how_often_it_was_seen() -> None:
    clock = Clock()
    log = EventLog("info", clock)
    assert len(logged("info", *[FAILED_CALL] * 50, log=log)) == 1
    other = dataclasses.replace(FAILED_CALL, error="ProviderUnavailable")
    assert len(logged("info", other, log=log)) == 1, "another failure is news"
    clock.now += AGAIN_AFTER_S
    [line] = logged("info", FAILED_CALL, log=log)
    assert line["not_logged_since"] == 49


def test_a_dead_letter_is_logged_with_where_its_record_lies() -> None:
    [line] = logged("info", events.DeadLettered("decode", "empty-text", "docs.raw", 3, 17, "no text"))
    assert (line["record"], line["message"], line["level"]) == ("docs.raw/3/17", "no text", "warning")


def test_secrets_are_masked_in_events_in_libraries_lines_and_in_tracebacks() -> None:
    out = io.StringIO()
    configure(TelemetrySettings(log_format="json"), lambda text: text.replace("secret", "***"), out)
    EventLog("info", Clock())(dataclasses.replace(FAILED_CALL, message="key secret refused"))
    logging.getLogger("aiokafka").warning("login as %s", "secret")
    logging.getLogger("aiokafka").info("not asked for")
    try:
        raise ValueError("secret")  # noqa: TRY301 - a traceback is what is wanted
    except ValueError:
        logging.getLogger("asyncio").exception("Task exception")
        structlog.get_logger().exception("ours")
    assert "secret" not in out.getvalue()
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["call failed", "login as ***", "Task exception", "ours"]
    assert "ValueError: ***" in lines[2]["exception"]


def test_lines_are_json_where_nobody_looks_and_plain_where_it_is_asked_for() -> None:
    forms: list[tuple[Literal["auto", "json", "console"], bool]] = [("auto", True), ("json", True), ("console", False)]
    for form, is_json in forms:
        out = io.StringIO()
        configure(TelemetrySettings(log_format=form), str, out)
        EventLog("info", Clock())(events.StateChanged("running", "documents are in flight"))
        assert out.getvalue().startswith("{") is is_json
        assert "state changed" in out.getvalue()
        assert "\x1b" not in out.getvalue(), "colours are for terminals"


def test_spans_are_made_of_calls_and_writes_with_the_time_they_took() -> None:
    exporter = InMemorySpanExporter()
    traces = Traces(exporter, "here", clock=lambda: 10_000_000_000)
    for event in (CALL, FAILED_CALL, events.Written(2, 3, 0.5), events.Polled(1, 1, 0.1)):
        traces(event)
    traces.close()
    spans: tuple[ReadableSpan, ...] = exporter.get_finished_spans()
    assert [span.name for span in spans] == ["embeddings", "embeddings", "write"]
    assert [(span.end_time or 0) - (span.start_time or 0) for span in spans] == [250_000_000, 100_000_000, 500_000_000]
    assert [span.status.is_ok for span in spans] == [True, False, True]
    assert (spans[0].attributes or {})["headrace.texts"] == 200


def spans_of(*traceparents: str) -> tuple[ReadableSpan, ...]:
    exporter = InMemorySpanExporter()
    traces = Traces(exporter, "here", clock=lambda: 10_000_000_000)
    for offset, traceparent in enumerate(traceparents):
        outcome = Outcome.DEAD_LETTERED if offset else Outcome.STORED
        traces(events.DocumentTraced("docs.raw", 3, offset, traceparent, outcome, 2.5))
    traces.close()
    spans: tuple[ReadableSpan, ...] = exporter.get_finished_spans()
    return spans


def test_a_document_of_a_trace_has_a_span_from_its_poll_to_its_resolution_within_that_trace() -> None:
    stored, dead = spans_of(f"00-{'a1' * 16}-{'b2' * 8}-01", f"00-{'c3' * 16}-{'d4' * 8}-01")
    assert (stored.name, (stored.end_time or 0) - (stored.start_time or 0)) == ("document", 2_500_000_000)
    assert [(span.parent.trace_id, span.parent.span_id) for span in (stored, dead) if span.parent is not None] == [
        (int("a1" * 16, 16), int("b2" * 8, 16)),
        (int("c3" * 16, 16), int("d4" * 8, 16)),
    ]
    assert stored.context is not None
    assert stored.context.trace_id == int("a1" * 16, 16)
    assert dict(stored.attributes or {}) == {
        "messaging.system": "kafka",
        "messaging.destination.name": "docs.raw",
        "messaging.destination.partition.id": "3",
        "messaging.kafka.offset": 0,
        "headrace.outcome": "stored",
    }
    assert [span.status.is_ok for span in (stored, dead)] == [True, False]
    assert not stored.links


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "00",
        f"00-{'0' * 32}-{'b2' * 8}-01",
        f"ff-{'a1' * 16}-{'b2' * 8}-01",
        "\ufffd" * 55,
        f"00-{'a1' * 16}-{'b2' * 8}-00",
    ],
    ids=["empty", "cut", "of no trace", "of no version", "no text", "not sampled"],
)
def test_a_header_that_names_no_sampled_trace_makes_no_span(traceparent: str) -> None:
    assert spans_of(traceparent) == ()
