"""Spans of a process: exported where that is asked for, and never in anybody's way (S-11)."""

import logging
import sys
import time

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from services.runtime.errors import Code
from services.runtime.tracing import end_span, server_span, tracing

EXPORTER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"


@pytest.fixture(autouse=True)
def provider(monkeypatch: pytest.MonkeyPatch) -> list[TracerProvider]:
    """What `tracing` sets, for this test alone: OpenTelemetry takes one provider a process."""
    given: list[TracerProvider] = []
    monkeypatch.setattr(trace, "set_tracer_provider", given.append)
    monkeypatch.setattr(trace, "get_tracer", lambda name: given[-1].get_tracer(name))
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_SERVICE_NAME"):
        monkeypatch.delenv(name, raising=False)
    logger = logging.getLogger(EXPORTER)
    monkeypatch.setattr(logger, "filters", [])
    return given


@pytest.mark.parametrize(("flag", "recorded"), [("01", True), ("00", False)])
def test_the_callers_choice_and_state_are_kept(flag: str, recorded: bool) -> None:
    """A span continues the caller's trace, is recorded as the caller's flag says, and keeps its state."""
    metadata = {"traceparent": f"{PARENT}-{flag}", "tracestate": "vendor=7"}
    with tracing("test"), server_span("a.v1.Service", "Call", metadata) as span:
        context = span.get_span_context()

    assert f"{context.trace_id:032x}" == PARENT.split("-")[1]
    assert f"{context.span_id:016x}" != PARENT.split("-")[2]
    assert context.trace_flags.sampled == recorded
    assert context.trace_state.get("vendor") == "7"


def test_a_call_without_a_caller_is_not_recorded_where_nothing_is_exported() -> None:
    """It has a trace id all the same, for the log."""
    with tracing("test"), server_span("a.v1.Service", "Call", {"traceparent": "00-nonsense"}) as span:
        assert span.get_span_context().is_valid
        assert not span.is_recording()


def test_failures_of_the_server_are_errors_without_a_text() -> None:
    """What a caller did wrong is no error of the server's span; no span holds a message."""
    metadata = {"traceparent": f"{PARENT}-01"}
    with tracing("test"):
        for code, status in ((Code.INTERNAL, "ERROR"), (Code.INVALID_ARGUMENT, "UNSET"), (Code.OK, "UNSET")):
            with server_span("a.v1.Service", "Call", metadata) as span:
                end_span(span, code)
            assert span.status.status_code.name == status
            assert span.status.description is None
            assert span.attributes["rpc.grpc.status_code"] == code
            assert not span.events


def test_an_endpoint_without_the_extra_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One line names the extra, and the process runs on."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, EXPORTER, None)
    with tracing("test"):
        pass

    assert caplog.messages == ["traces are not exported: the extra 'otlp' is not installed"]


@pytest.mark.parametrize("setting", [("OTEL_TRACES_EXPORTER", "none"), ("OTEL_SDK_DISABLED", "true")])
def test_export_can_be_switched_off(monkeypatch: pytest.MonkeyPatch, setting: tuple[str, str]) -> None:
    """The standard switches hold although an endpoint is set."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv(*setting)
    with tracing("test"), server_span("a.v1.Service", "Call", {}) as span:
        assert not span.is_recording()


def test_the_name_of_the_environment_wins(
    monkeypatch: pytest.MonkeyPatch, provider: list[TracerProvider]
) -> None:
    """OTEL_SERVICE_NAME names the process; without it the service does."""
    with tracing("embedder"):
        pass
    monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
    with tracing("embedder"):
        pass

    assert [one.resource.attributes["service.name"] for one in provider] == ["atelier-embedder", "mine"]


@pytest.mark.slow
def test_a_collector_that_is_gone_is_in_nobodys_way(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Calls go on, the process ends within seconds, and the log says it once (S-8)."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    with tracing("test"):
        started = time.monotonic()
        for _ in range(100):
            with server_span("a.v1.Service", "Call", {"traceparent": f"{PARENT}-01"}):
                pass
        calls_s = time.monotonic() - started
        while not caplog.records:
            assert time.monotonic() - started < 10
            time.sleep(0.05)
        ended = time.monotonic()
    end_s = time.monotonic() - ended

    assert calls_s < 1.0
    assert end_s < 5.0
    assert len([record for record in caplog.records if record.name == EXPORTER]) == 1
