"""The OpenAPI document: fresh, whole, and kept by the gateway in front of the real services."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from services.gateway.app import routed_app
from services.gateway.document import openapi_document
from tests.openapi import DOCUMENT, fresh

BODY = openapi_document(routed_app())
OPERATIONS = {
    operation["operationId"]: (method, path)
    for path, operations in BODY["paths"].items()
    for method, operation in operations.items()
}
CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
EXAMPLES = 12
# A request that waits for a catalog revision that never comes is given up then.
DEADLINE_S = 1.0
FAULTS = (500, 502)


def references(body: Any) -> Iterator[str]:
    if isinstance(body, dict):
        for name, value in body.items():
            if name == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(body, list):
        for value in body:
            yield from references(value)


def test_the_committed_document_is_fresh():
    """Writing docs/openapi.json again changes nothing. (R-7)"""
    assert DOCUMENT.read_bytes() == fresh(), "run `make openapi`"


def test_it_is_whole():
    """Every reference has its schema, each schema is referred to, and every operation has its own id."""
    named = {reference.rpartition("/")[2] for reference in references(BODY)}

    assert named == set(BODY["components"]["schemas"])
    assert len(OPERATIONS) == sum(len(operations) for operations in BODY["paths"].values())
    for operations in BODY["paths"].values():
        for operation in operations.values():
            assert operation["summary"]
            assert operation["x-scope"] in ("read", "write", "admin")
            assert set(operation["responses"]) == {"200", "default"}


def test_it_is_what_the_gateway_serves(client):
    """/openapi.json is the committed document. (R-7)"""
    assert client.get("/openapi.json").json() == orjson.loads(DOCUMENT.read_bytes())


@pytest.fixture(scope="module")
def schema():
    return schemathesis.openapi.from_dict(BODY)


@pytest.fixture(scope="module")
def hurried(house):
    """A gateway whose calls have little time."""
    started = house.gateway(default_deadline_s=DEADLINE_S)
    yield started
    started.close()


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS)
def test_whatever_a_caller_sends_is_answered_as_the_document_says(schema, hurried, operation):
    """No request that the document allows, or nearly, is answered otherwise than it says. (R-7, S-5)"""
    method, path = OPERATIONS[operation]

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=schema[path][method.upper()].as_strategy())
    def check(case):
        answer = case.call_and_validate(base_url=hurried.url, checks=CHECKS, timeout=30)
        assert answer.status_code not in FAULTS, answer.text

    check()
