"""Documents come with a header ``traceparent``, without one, and with a broken one; a collector of OTLP listens.

Invariant: what belongs to a trace has one span within it, from poll to resolution, stored or dead-lettered; nothing
else has one, and every document is dealt with whatever its header says.
Fault: headers that are no ``traceparent``, and a text that the provider refuses.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from compose.fake_provider.behaviour import Behaviour, Fault
from producers.documents import record_of
from schemas.dead_letters import Record
from schemas.documents import Document
from tests.scenarios.harness import Harness, document


@asynccontextmanager
async def _collector(spans: list[Span]) -> AsyncIterator[str]:
    """Listen for what is sent by OTLP, keep the spans, and tell where."""

    async def traces(request: web.Request) -> web.Response:
        told = ExportTraceServiceRequest.FromString(await request.read())
        for resource in told.resource_spans:
            for scope in resource.scope_spans:
                spans.extend(scope.spans)
        return web.Response()

    async def metrics(_: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.add_routes([web.post("/v1/traces", traces), web.post("/v1/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{site.port}"
    finally:
        await runner.cleanup()


def _traced(one: Document, traceparent: bytes) -> Record:
    record = record_of(one)
    return Record(record.key, record.value, (*record.headers, ("traceparent", traceparent)))


def _attributes(span: Span) -> dict[str, str | int]:
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


async def test_a_document_of_a_trace_has_one_span_in_it_and_no_other_document_has_any(harness: Harness) -> None:
    await harness.provider.set(Behaviour(faults=(Fault(kind="bad-request", containing="poison"),)))
    good, dead = b"a1" * 16, b"c3" * 16
    sent = await harness.publish(
        [
            _traced(document(1), b"00-%b-%b-01" % (good, b"b2" * 8)),
            _traced(document(2, "poison"), b"00-%b-%b-01" % (dead, b"d4" * 8)),
            _traced(document(3), b"no traceparent"),
            _traced(document(4), b"\xff\xfe"),
        ]
    )
    await harness.publish([document(5)])
    spans: list[Span] = []
    async with _collector(spans) as endpoint:
        await harness.catch_up(telemetry__otlp_endpoint=endpoint)
    assert len(await harness.index.chunks()) == 4
    assert len(await harness.log.dead_letters()) == 1
    found = {bytes.hex(span.trace_id).encode(): span for span in spans if span.name == "document"}
    assert found.keys() == {good, dead}
    assert len([span for span in spans if span.name == "document"]) == len(found)
    assert {bytes.hex(span.parent_span_id).encode() for span in found.values()} == {b"b2" * 8, b"d4" * 8}
    for trace, record, outcome in ((good, sent[0], "stored"), (dead, sent[1], "dead_lettered")):
        told = _attributes(found[trace])
        assert told["headrace.outcome"] == outcome
        assert told["messaging.destination.name"] == harness.settings().kafka.topic
        assert told["messaging.destination.partition.id"] == str(record.partition)
        assert told["messaging.kafka.offset"] == record.offset
        assert found[trace].end_time_unix_nano > found[trace].start_time_unix_nano
    assert {span.name for span in spans} == {"document", "embeddings", "write"}
