"""docs/api_reference.md is what the protos say."""

import pytest

from tests.api_reference import PAGE, read_protos, write_reference

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def reference() -> str:
    return write_reference(read_protos())


def test_the_page_is_fresh(reference: str) -> None:
    """Writing the page again changes nothing. (Q-6)"""
    assert PAGE.read_text(encoding="utf-8") == reference, "run `make api`"


def test_every_method_has_its_scope_and_a_comment(reference: str) -> None:
    """Each method stands with request, response, scope and what it does. (Q-6, S-1)"""
    methods = [method.name for file in read_protos() for service in file.service for method in service.method]
    cells = [line.strip("| ").split(" | ") for line in reference.splitlines() if line.startswith("| ")]
    rows = [row for row in cells if len(row) == 5 and row[3] in ("read", "write", "admin")]

    assert sorted(row[0] for row in rows) == sorted(methods)
    assert all(row[4] for row in rows)


def test_fields_stand_with_type_and_comment(reference: str) -> None:
    """Repeated, optional and alternative fields are told apart. (Q-6)"""
    assert "| candidates | repeated Candidate | " in reference
    assert "one of *" in reference
    assert "| optional " in reference
