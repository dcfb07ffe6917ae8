"""Errors as a line and an exit code."""

import errno
import re
import tomllib
from pathlib import Path

import pytest
import typer

from cli.errors import (
    DEFECT,
    FAILED,
    UNREACHABLE,
    USAGE,
    CommandError,
    reported,
    show_traces,
    training_extra,
)
from inference.errors import InferenceError
from model_store.errors import StoreError
from services.runtime.errors import InvalidArgument, Unavailable
from services.runtime.security import BadSecurity
from trainer.errors import InvalidStudy, TrainerError


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CommandError("bad"), FAILED),
        (CommandError("bad", code=USAGE), USAGE),
        (BadSecurity("bad"), USAGE),
        (Unavailable("bad"), UNREACHABLE),
        (InvalidArgument("bad"), FAILED),
        (StoreError("bad"), FAILED),
        (InferenceError("bad"), FAILED),
        (TrainerError("bad"), FAILED),
        (OSError("bad"), FAILED),
    ],
)
def test_each_expected_error_has_its_exit_code(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """1 for a failure, 2 for wrong usage or settings, 3 for a service that cannot be reached."""
    with pytest.raises(typer.Exit) as exited, reported():
        raise error

    assert exited.value.exit_code == code
    assert capsys.readouterr().err.splitlines()[0] == "error: bad"


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (CommandError("bad", "do this"), "do this"),
        (Unavailable("bad"), "are the services running? `atelier up` starts them"),
        (InvalidStudy("bad"), "its results stay; pass another --out for another study"),
    ],
)
def test_a_remedy_is_a_hint(error: Exception, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The line after the error says what to do."""
    with pytest.raises(typer.Exit), reported():
        raise error

    assert capsys.readouterr().err.splitlines() == ["error: bad", f"hint: {hint}"]


def test_a_file_error_names_the_file_first(capsys: pytest.CaptureFixture[str]) -> None:
    """An error of the operating system names the path, the reason without its number, and the remedy."""
    with pytest.raises(typer.Exit), reported():
        raise PermissionError(errno.EACCES, "Permission denied", "/models/x")

    error, hint = capsys.readouterr().err.splitlines()
    assert error == "error: /models/x: Permission denied"
    assert hint.startswith("hint: name a folder that you may use")


def test_of_a_copy_the_target_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """What could not be written is the second file; the first one is whole."""
    with pytest.raises(typer.Exit), reported():
        raise OSError(errno.ENOSPC, "No space left on device", "source", None, "target")

    assert capsys.readouterr().err.splitlines()[0] == "error: target: No space left on device"


def test_brackets_in_a_message_are_kept(capsys: pytest.CaptureFixture[str]) -> None:
    """A message is text: names with brackets are not taken for markup."""
    with pytest.raises(typer.Exit), reported():
        raise CommandError("no file [red]a[/red].png", "try [b]")

    assert capsys.readouterr().err.splitlines() == ["error: no file [red]a[/red].png", "hint: try [b]"]


@pytest.mark.parametrize("error", [ValueError("broken"), RuntimeError("broken")])
def test_a_defect_is_a_line_too(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    """An error that no command expects has an exit code of its own, and a hint at its trace."""
    with pytest.raises(typer.Exit) as exited, reported():
        raise error

    assert exited.value.exit_code == DEFECT
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"error: {type(error).__name__}: broken"
    assert lines[1].startswith("hint: ")
    assert "--debug" in lines[1]
    assert len(lines) == 2


@pytest.mark.parametrize("error", [CommandError("bad"), OSError("bad"), ValueError("bad")])
def test_debug_prints_the_trace_first(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    """Under --debug every error shows where it was raised, before its line."""
    show_traces(True)
    with pytest.raises(typer.Exit), reported():
        raise error

    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert "test_debug_prints_the_trace_first" in lines[1] + lines[2] + lines[3]
    assert any(line.startswith("error: ") for line in lines)


@pytest.mark.parametrize("ending", [typer.Exit(4), typer.Abort(), typer.BadParameter("bad")])
def test_an_ending_that_a_command_chose_is_kept(ending: Exception) -> None:
    """What typer itself turns into an exit code passes through."""
    with pytest.raises(type(ending)), reported():
        raise ending


@pytest.mark.parametrize("name", ["torch", "lightning.pytorch", "optuna"])
def test_a_missing_training_package_is_named(name: str) -> None:
    """The package and the extra that brings it."""
    with pytest.raises(CommandError, match=name) as caught, training_extra():
        raise ModuleNotFoundError(name=name)

    assert caught.value.hint == "from a checkout: pip install -e '.[train]'"


def test_every_package_of_the_extra_is_known() -> None:
    """Each package that only the train extra installs is named when it is missing."""
    imported = {"open_clip_torch": "open_clip", "scikit-learn": "sklearn"}
    project = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text())["project"]
    names = [re.split(r"[<>=;]", package)[0] for package in project["optional-dependencies"]["train"]]

    for name in (imported.get(name, name) for name in names if not name.startswith("atelier")):
        with pytest.raises(CommandError, match=name), training_extra():
            raise ModuleNotFoundError(name=name)


@pytest.mark.parametrize("name", ["json", "trainer.nothing", None])
def test_any_other_missing_module_is_a_defect(name: str | None) -> None:
    """The extra is no remedy for it, so it is not suggested."""
    with pytest.raises(ModuleNotFoundError), training_extra():
        raise ModuleNotFoundError(name=name)
