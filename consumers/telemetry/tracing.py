"""Which spans are sent to a collector of OTLP? One a call, one a transaction, one a document that is part of a trace.

A document's span goes from its poll to its resolution, and its parent is what its header ``traceparent`` names.
Documents come by tens of thousands a second: without a valid header there is no span, nor where the header says that
its trace is not sampled. Spans are made from events, when the work is done: nothing in the pipeline knows of tracing.
"""

import time
from collections.abc import Callable
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from schemas import __version__, headers
from schemas.events import CallFailed, CallFinished, DocumentTraced, Event, Written
from schemas.index import Outcome

EXPORT_TIMEOUT_S = 3.0
"""A collector that is away must not hold up a worker that is told to end."""
NANOSECONDS = 1_000_000_000
PARENTS = TraceContextTextMapPropagator()


class Traces:
    """An observer that makes spans of events and sends them through *exporter* in the background."""

    def __init__(self, exporter: SpanExporter, instance: str, clock: Callable[[], int] = time.time_ns) -> None:
        resource = Resource.create(
            {"service.name": "headrace", "service.version": __version__, "service.instance.id": instance}
        )
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("headrace", __version__)
        self._clock = clock

    def __call__(self, event: Event) -> None:
        """Make a span of an event that is one."""
        told: dict[str, Any]
        match event:
            case CallFinished(model=model, texts=texts, tokens=tokens, seconds=seconds):
                told = {"gen_ai.request.model": model, "headrace.texts": texts, "gen_ai.usage.input_tokens": tokens}
                self._span("embeddings", SpanKind.CLIENT, seconds, told)
            case CallFailed(model=model, texts=texts, seconds=seconds, error=error, verdict=verdict):
                told = {"gen_ai.request.model": model, "headrace.texts": texts, "error.type": error}
                self._span("embeddings", SpanKind.CLIENT, seconds, told | {"headrace.verdict": verdict}, error=error)
            case Written(documents=documents, chunks=chunks, seconds=seconds):
                told = {"db.system.name": "postgresql", "headrace.documents": documents, "headrace.chunks": chunks}
                self._span("write", SpanKind.CLIENT, seconds, told)
            case DocumentTraced():
                self._document(event)
            case _:
                pass

    def close(self) -> None:
        """Send what is left; blocks for that."""
        self._provider.shutdown()

    def _document(self, event: DocumentTraced) -> None:
        parent = PARENTS.extract({headers.TRACEPARENT: event.traceparent}, Context())
        if not get_current_span(parent).get_span_context().is_valid:
            return
        told = {
            "messaging.system": "kafka",
            "messaging.destination.name": event.topic,
            "messaging.destination.partition.id": str(event.partition),
            "messaging.kafka.offset": event.offset,
            "headrace.outcome": event.outcome.value,
        }
        error = event.outcome.value if event.outcome is Outcome.DEAD_LETTERED else None
        self._span("document", SpanKind.CONSUMER, event.seconds, told, error, parent)

    def _span(
        self,
        name: str,
        kind: SpanKind,
        seconds: float,
        told: dict[str, Any],
        error: str | None = None,
        parent: Context | None = None,
    ) -> None:
        end = self._clock()
        began = end - int(seconds * NANOSECONDS)
        span = self._tracer.start_span(name, parent, kind, attributes=told, start_time=began)
        if error is not None:
            span.set_status(Status(StatusCode.ERROR, error))
        span.end(end)


def otlp_exporter(endpoint: str) -> SpanExporter:
    """Return the exporter for a collector at *endpoint*, such as ``http://collector:4318``."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - slow, and rarely configured
        OTLPSpanExporter,
    )

    return OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_TIMEOUT_S)
