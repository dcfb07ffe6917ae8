"""One line of an error, for messages and logs."""

import pytest

from model_store.errors import first_line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("  first\nsecond  "), "first"),
        (ValueError(""), "ValueError"),
        (ValueError("x" * 400), "x" * 300),
    ],
)
def test_an_error_is_one_line(error: Exception, line: str) -> None:
    """The first line, at most 300 characters; the class of an error without a message."""
    assert first_line(error) == line
