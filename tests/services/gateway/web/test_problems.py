from atelier.types.v1 import types_pb2

from services.gateway.web.problems import STATUSES, HttpProblem
from services.runtime.errors import (
    Code,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Unauthenticated,
    Unavailable,
)


def test_every_code_but_ok_has_a_status():
    """No gRPC code is left to chance. (S-1)"""
    assert set(STATUSES) == set(Code) - {Code.OK}
    assert all(400 <= status < 600 for status in STATUSES.values())


def test_a_problem_says_what_a_program_needs():
    """Title, status, code, reason, field, time to retry and request id stand in the body. (S-1, S-11)"""
    error = InvalidArgument("item_count: 0, at least 1", field="item_count")

    body = HttpProblem.of(error).body("abc")

    assert body == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "code": "INVALID_ARGUMENT",
        "detail": "item_count: 0, at least 1",
        "reason": "INVALID_ARGUMENT",
        "field_violations": [{"field": "item_count", "description": "item_count: 0, at least 1"}],
        "request_id": "abc",
    }


def test_a_time_to_retry_is_a_header_too():
    """Retry-After is in whole seconds, never less than the service asks for."""
    problem = HttpProblem.of(Unavailable("gone", retry_after_s=1.2))

    assert problem.headers() == {"retry-after": "2"}
    assert problem.body("x")["retry_after_s"] == 1.2


def test_statuses_of_the_usual_failures():
    """A missing thing is 404, a state that does not fit 409, and a missing token 401 with its scheme."""
    assert HttpProblem.of(NotFound("x")).status == 404
    assert HttpProblem.of(FailedPrecondition("x")).status == 409
    missing = HttpProblem.of(Unauthenticated("x"))
    assert missing.status == 401
    assert missing.headers()["www-authenticate"] == "Bearer"


def test_failures_of_all_items_are_listed():
    """Where every item failed, each is named. (S-5)"""
    item = types_pb2.ItemError(index=1, id="b")
    item.status.code, item.status.message = 3, "damaged"

    body = HttpProblem.of(InvalidArgument("all failed", details=[item])).body("x")

    assert body["errors"] == [{"index": 1, "id": "b", "detail": "damaged"}]
