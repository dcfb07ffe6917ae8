"""What went wrong, as problem details (RFC 9457): the status of each gRPC code, and a body to act on."""

import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from services.runtime.errors import Code, ServiceError

MEDIA_TYPE: Final = "application/problem+json"
STATUSES: Final[Mapping[Code, int]] = {
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 409,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}
_TITLES: Final = {499: "Client Closed Request"}
_MOST_VIOLATIONS: Final = 20


class HttpProblem(Exception):  # RFC 9457's word
    """An answer other than success. status: of HTTP. error: what a gRPC caller would have read.

    violations: fields of the request, and what is wrong with each. closing: the connection ends as well.
    """

    def __init__(
        self,
        status: int,
        error: ServiceError,
        violations: Sequence[tuple[str, str]] = (),
        *,
        closing: bool = False,
    ) -> None:
        super().__init__(error.message)
        self.status = status
        self.error = error
        self.violations = tuple(violations)
        self.closing = closing

    @classmethod
    def of(cls, error: ServiceError) -> "HttpProblem":
        """The problem of a failed call."""
        violations = [(error.field, error.message)] if error.field else []
        return cls(STATUSES.get(error.code, 500), error, violations)

    def body(self, request_id: str) -> dict[str, Any]:
        """The problem's members."""
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": _TITLES.get(self.status) or HTTPStatus(self.status).phrase,
            "status": self.status,
            **describe_status(self.error),
            "request_id": request_id,
        }
        if self.violations:
            body["field_violations"] = _violations(self.violations)
        items = self.error.item_errors
        if items:
            body["errors"] = [
                {"index": item.index, "id": item.id, "detail": item.status.message} for item in items
            ]
        return body

    def headers(self) -> dict[str, str]:
        """Headers beside the body's own."""
        headers = {}
        if self.error.retry_after_s is not None:
            headers["retry-after"] = str(max(1, math.ceil(self.error.retry_after_s)))
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        if self.closing:
            headers["connection"] = "close"
        return headers


def describe_status(error: ServiceError) -> dict[str, Any]:
    """What JSON says of an error, of a whole call or of one item."""
    body: dict[str, Any] = {"code": error.code.name, "detail": error.message, "reason": error.reason}
    if error.retry_after_s is not None:
        body["retry_after_s"] = error.retry_after_s
    if error.field:
        body["field_violations"] = _violations([(error.field, error.message)])
    return body


def _violations(violations: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"field": field, "description": text} for field, text in violations[:_MOST_VIOLATIONS]]


VIOLATION_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"field": {"type": "string"}, "description": {"type": "string"}},
    "required": ["field", "description"],
}
PROBLEM_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "description": "RFC 9457 problem details.",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "description": "Name of the gRPC status code."},
        "reason": {"type": "string", "description": "Upper-case word that a program can act on."},
        "request_id": {"type": "string"},
        "retry_after_s": {"type": "number", "description": "When the same call may succeed."},
        "field_violations": {"type": "array", "items": {"$ref": "#/components/schemas/FieldViolation"}},
        "errors": {
            "type": "array",
            "description": "Failures of single items, where every item failed.",
            "items": {
                "type": "object",
                "properties": {
                    "index": {"type": "integer"},
                    "id": {"type": "string"},
                    "detail": {"type": "string"},
                },
                "required": ["index", "id", "detail"],
            },
        },
    },
    "required": ["type", "title", "status", "detail", "code", "reason", "request_id"],
}
