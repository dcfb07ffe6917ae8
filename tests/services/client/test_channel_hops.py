"""A hop: its span goes on from the present one, and tells neither what was sent nor why it failed."""

import asyncio

import pytest
from atelier.embedder.v1 import embedder_pb2
from google.rpc import code_pb2
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry

from services.client.embedder import AsyncEmbedderClient
from services.runtime.errors import Internal
from services.runtime.telemetry import HopMetrics

from .conftest import serving, status
from .test_channel import REGISTER, SPACE, Flaky

NAMED = embedder_pb2.EmbedInput(id="somebody's-picture", image=b"x")
LABELS = {
    "grpc_type": "unary",
    "grpc_service": "atelier.embedder.v1.EmbedderService",
    "grpc_method": "Embed",
}


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    return exporter


def test_a_hop_is_a_child_span_that_the_other_side_continues(exported: InMemorySpanExporter) -> None:
    """The span's context is what is sent along; the hop is counted and timed by its code (S-11)."""
    servicer, registry = Flaky(status(code_pb2.INTERNAL, "somebody's-picture is broken")), CollectorRegistry()

    async def scenario(address: str) -> None:
        client = AsyncEmbedderClient(address, hops=HopMetrics(registry))
        with trace.get_tracer("test").start_as_current_span("outer"):
            with pytest.raises(Internal):
                await client.embed([NAMED], space_id=SPACE)
            await client.embed([NAMED], space_id=SPACE)
        await client.close()

    with serving(REGISTER, servicer) as address:
        asyncio.run(scenario(address))

    failed, answered, outer = exported.get_finished_spans()
    for span, metadata in zip((failed, answered), servicer.metadata, strict=True):
        assert span.name == "atelier.embedder.v1.EmbedderService/Embed"
        assert span.parent.span_id == outer.context.span_id
        _, trace_id, span_id, flags = metadata["traceparent"].split("-")
        assert (int(trace_id, 16), int(span_id, 16)) == (span.context.trace_id, span.context.span_id)
        assert int(flags, 16) & trace.TraceFlags.SAMPLED
    assert [span.attributes["rpc.grpc.status_code"] for span in (failed, answered)] == [13, 0]
    assert failed.status.status_code is trace.StatusCode.ERROR
    assert "somebody" not in failed.to_json() + answered.to_json()
    for code, count in (("OK", 1), ("INTERNAL", 1)):
        assert registry.get_sample_value("grpc_client_handled_total", {**LABELS, "grpc_code": code}) == count
    assert registry.get_sample_value("grpc_client_started_total", LABELS) == 2
    assert registry.get_sample_value("grpc_client_handling_seconds_count", LABELS) == 2


def test_a_hop_that_nobody_traces_has_no_span(exported: InMemorySpanExporter) -> None:
    """Without an exporter and a caller's context nothing is begun, and no trace is sent along (S-11)."""
    servicer = Flaky()

    async def scenario(address: str) -> None:
        client = AsyncEmbedderClient(address)
        await client.embed([NAMED], space_id=SPACE)
        await client.close()

    with serving(REGISTER, servicer) as address:
        asyncio.run(scenario(address))

    assert "traceparent" not in servicer.metadata[0]
    assert exported.get_finished_spans() == ()
