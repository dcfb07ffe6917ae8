"""A value that is read again when its files change."""

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from services.runtime.reloaded_file import ReloadedFile
from services.runtime.security import BadSecurity


def reloaded(*paths: Path, check_every_s: float = 0.0) -> ReloadedFile[str]:
    def read() -> str:
        try:
            return "+".join(path.read_text() for path in paths)
        except OSError as error:
            raise BadSecurity("a file is missing") from error

    return ReloadedFile(paths, read, check_every_s=check_every_s)


def test_a_change_of_any_file_is_read_once(tmp_path: Path) -> None:
    """`refresh` says whether the value is new; without a change it is not (S-11)."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("a")
    two.write_text("b")
    file = reloaded(one, two)

    assert (file.refresh(), file.value) == (False, "a+b")
    two.write_text("bb")
    assert (file.refresh(), file.value) == (True, "a+bb")
    assert (file.refresh(), file.value) == (False, "a+bb")


def test_files_that_turn_bad_leave_the_last_good_value(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The gauge is 1 and the log has the reason until the files are good again (S-11)."""
    path, registry = tmp_path / "file", CollectorRegistry()
    path.write_text("a")
    file = reloaded(path)
    file.measure(registry, "stale", "1 while stale.")

    path.unlink()
    assert (file.refresh(), file.value, registry.get_sample_value("stale")) == (False, "a", 1.0)
    assert [record.__dict__["reason"] for record in caplog.records] == ["a file is missing"]
    path.write_text("new")
    assert (file.refresh(), file.value, registry.get_sample_value("stale")) == (True, "new", 0.0)


def test_files_are_not_looked_at_more_often_than_wanted(tmp_path: Path) -> None:
    """Within `check_every_s` a change is not seen."""
    path = tmp_path / "file"
    path.write_text("a")
    file = reloaded(path, check_every_s=3_600.0)

    path.write_text("new")

    assert (file.refresh(), file.value) == (False, "a")


def test_files_that_are_bad_to_begin_with_are_refused(tmp_path: Path) -> None:
    """There is no value to fall back to."""
    with pytest.raises(BadSecurity, match="a file is missing"):
        reloaded(tmp_path / "none")
