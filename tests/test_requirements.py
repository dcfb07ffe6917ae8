"""Every requirement id resolves to a line of docs/requirements.md, and every built line to a test."""

import pytest

from tests.requirements import (
    PAGE,
    ROOT,
    is_test,
    read_mentions,
    read_requirements,
    write_tests,
)

PAGE_TEXT = PAGE.read_text(encoding="utf-8")
LINES = read_requirements(PAGE_TEXT)
MENTIONS = read_mentions(ROOT)


def test_every_id_that_a_file_names_has_a_line() -> None:
    """Source, tests, docs, configuration and protos name no id that docs/requirements.md lacks."""
    unknown = {name: sorted(files) for name, files in MENTIONS.items() if name not in LINES}

    assert unknown == {}


def test_every_built_line_has_a_test_that_names_it() -> None:
    """A line without the mark is named by at least one test."""
    untested = [
        line.id for line in LINES.values() if line.built and not any(map(is_test, MENTIONS.get(line.id, ())))
    ]

    assert untested == []


def test_a_line_that_is_not_built_has_no_test() -> None:
    """The first test of a line takes its mark off."""
    tested = {
        line.id: sorted(filter(is_test, MENTIONS.get(line.id, ())))
        for line in LINES.values()
        if not line.built
    }

    assert {name: tests for name, tests in tested.items() if tests} == {}


def test_the_lists_of_tests_are_fresh() -> None:
    """`make requirements` changes nothing."""
    stale = [
        line.id
        for line in read_requirements(write_tests(PAGE_TEXT, MENTIONS)).values()
        if line.tests != LINES[line.id].tests
    ]

    assert stale == [], "run `make requirements`"


def test_lists_are_rewritten_and_marks_stay() -> None:
    """A list is replaced by what tests name now; a line that is not built gets none."""
    listed = "- **A-1** Read\n  a table.\n  Tests: `tests/test_old.py`.\n"
    page = f"{listed}- **A-2** Split. *Not built\n  yet.*\n\nEnd.\n"

    rewritten = write_tests(page, {"A-1": {"tests/test_new.py", "cli/main.py"}, "A-2": {"tests/test_new.py"}})

    lines = read_requirements(rewritten)
    assert lines["A-1"].text == "Read a table."
    assert lines["A-1"].tests == ("tests/test_new.py",)
    assert not lines["A-2"].built
    assert lines["A-2"].tests == ()
    assert rewritten.endswith("\n\nEnd.\n")


def test_an_id_with_two_lines_is_refused() -> None:
    """Two lines of one id are an error that names it."""
    with pytest.raises(ValueError, match="A-1 has two lines"):
        read_requirements("- **A-1** One.\n- **A-1** Two.\n")
