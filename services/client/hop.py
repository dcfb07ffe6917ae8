"""One call from service to service: its span, its count, its time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol

import grpc
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

OK: Final = grpc.StatusCode.OK


class HopCounter(Protocol):
    """Counts hops; see `services.runtime.telemetry.HopMetrics`."""

    def begin(self, kind: str, service: str, method: str) -> Callable[[str], None]:
        """Count a hop that begins; what comes back is to be called with the code that ends it."""


class NoCounter:
    """Counts nothing: for callers that tell nobody."""

    def begin(self, _kind: str, _service: str, _method: str) -> Callable[[str], None]:
        """Nothing."""
        return lambda _code: None


@contextmanager
def hop(callable_: Any, kind: str, counter: HopCounter) -> Iterator[Span]:
    """A client's span around a call, a child of the present one, ended with the call's code.

    It is not made the present span: a stream's would outlive the context that it was made in.
    """
    service, method = _names(callable_)
    span = trace.get_tracer("atelier").start_span(
        f"{service}/{method}",
        kind=SpanKind.CLIENT,
        attributes={"rpc.system": "grpc", "rpc.service": service, "rpc.method": method},
    )
    end, code = counter.begin(kind, service, method), OK
    try:
        yield span
    except grpc.RpcError as error:
        code = error.code()
        raise
    except BaseException:
        code = grpc.StatusCode.CANCELLED
        raise
    finally:
        span.set_attribute("rpc.grpc.status_code", code.value[0])
        if code is not OK:
            span.set_status(Status(StatusCode.ERROR))  # without the text, which may name what was sent
        span.end()
        end(code.name)


def _names(callable_: Any) -> tuple[str, str]:
    """The service and the method of a stub's callable, which keeps its path for itself."""
    path = getattr(callable_, "_method", b"")
    service, _, method = (path.decode() if isinstance(path, bytes) else str(path)).lstrip("/").partition("/")
    return service or "unknown", method or "unknown"
