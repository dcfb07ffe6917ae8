"""One trace through every hop, told to a real collector's endpoint (S-11)."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import pytest
from atelier.ranker.v1 import ranker_pb2, ranker_pb2_grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from services.client.ranker import picture
from tests.integration.conftest import drawing
from tests.integration.row import Row

pytestmark = pytest.mark.slow

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"


class Collector(ThreadingHTTPServer):
    """Takes spans as OTLP over HTTP and keeps them by the service that made them."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans: dict[str, list[object]] = {}


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            names = {a.key: a.value.string_value for a in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.server.spans.setdefault(names["service.name"], []).extend(scope.spans)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing to tell."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_one_trace_from_the_caller_to_the_embedder(
    published: Path, tmp_path: Path, collector: Collector
) -> None:
    """The caller's trace goes through ranker and embedder, each span the child of the one before it; what
    was ranked is in none of them (S-11)."""
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
    }
    row = Row(published, tmp_path, environment)
    try:
        for name in ("embedder", "ranker"):
            row.start(name)
        for name in ("embedder", "ranker"):
            row.await_serving(name)
        candidates = [picture(drawing(n), f"private-{n}") for n in range(2)]
        with grpc.insecure_channel(row.addresses["ranker"]) as channel:
            ranker_pb2_grpc.RankerServiceStub(channel).Rank(
                ranker_pb2.RankRequest(candidates=candidates),
                metadata=(("traceparent", f"00-{TRACE_ID}-{CALLER}-01"),),
                timeout=30,
            )
        assert row.stop("ranker") == 0  # a service that stops tells its last spans
        assert row.stop("embedder") == 0
    finally:
        row.close()

    ranked = spans(collector, "atelier-ranker")
    embedded = spans(collector, "atelier-embedder")
    asked = ranked["atelier.ranker.v1.RankerService/Rank"]
    hop = ranked["atelier.embedder.v1.EmbedderService/Embed"]
    answered = embedded["atelier.embedder.v1.EmbedderService/Embed"]
    assert asked.parent_span_id.hex() == CALLER
    assert hop.parent_span_id == asked.span_id
    assert answered.parent_span_id == hop.span_id
    assert "private-" not in str(collector.spans)
    assert f'"trace_id": "{TRACE_ID}"' in row.log("embedder")


def spans(collector: Collector, service: str) -> dict[str, object]:
    """The spans of our trace that a service made, by name."""
    return {span.name: span for span in collector.spans[service] if span.trace_id.hex() == TRACE_ID}
