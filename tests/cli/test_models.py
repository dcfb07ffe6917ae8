"""`atelier models …` (M-3, M-4)."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from model_store.store import ModelStore


@pytest.fixture
def options(store: ModelStore) -> list[str]:
    return ["--store", store.place]


def test_list_tells_versions_aliases_and_what_is_untrained(runner: CliRunner, options: list[str]) -> None:
    """The JSON lists three versions; production means 2; version 1 is untrained."""
    run = runner.invoke(app, ["models", "list", "--json", *options])

    listed = json.loads(run.stdout)
    assert [version["version"] for version in listed] == [1, 2, 3]
    assert [version["aliases"] for version in listed] == [[], ["production"], []]
    assert [version["trained"] for version in listed] == [False, True, True]
    assert "untrained" in runner.invoke(app, ["models", "list", *options], env={"COLUMNS": "200"}).stdout


def test_promote_then_rollback(runner: CliRunner, options: list[str], store: ModelStore) -> None:
    """promote 3 makes production mean 3, rollback makes it mean 2 again.  # proves M-3"""
    promoted = runner.invoke(app, ["models", "promote", "artwork-head", "3", "--expect", "2", *options])
    assert promoted.exit_code == 0
    assert "means version 3 (before: version 2)" in promoted.stdout
    assert store.resolve("artwork-head").number == 3

    assert runner.invoke(app, ["models", "rollback", "artwork-head", *options]).exit_code == 0
    assert store.resolve("artwork-head").number == 2


def test_a_wrong_expectation_fails_in_one_line(runner: CliRunner, options: list[str]) -> None:
    """--expect that does not hold exits 1 and says both versions."""
    run = runner.invoke(app, ["models", "promote", "artwork-head", "3", "--expect", "1", *options])

    assert run.exit_code == 1
    assert run.stderr.strip() == "error: alias artwork-head@production means version 2, expected 1"


def test_a_damaged_version_is_named_and_never_promoted(
    runner: CliRunner, options: list[str], store: ModelStore
) -> None:
    """verify exits 1 naming the file, and promote refuses the version.  # proves M-4"""
    store.open("artwork-head", 3).path("model.onnx").write_bytes(b"graph X")

    verified = runner.invoke(app, ["models", "verify", "--json", *options])
    promoted = runner.invoke(app, ["models", "promote", "artwork-head", "3", *options])

    assert verified.exit_code == promoted.exit_code == 1
    assert [bool(each["problem"]) for each in json.loads(verified.stdout)] == [False, False, True]
    assert "artwork-head/3/model.onnx is not what was published" in promoted.stderr
    assert store.resolve("artwork-head").number == 2


def test_show_prints_the_manifest(runner: CliRunner, options: list[str], store: ModelStore) -> None:
    """Without a number the version that production means is shown."""
    shown = json.loads(runner.invoke(app, ["models", "show", "artwork-head", *options]).stdout)

    assert shown["version"] == 2
    assert shown["digest"] == store.open("artwork-head", 2).digest


@pytest.mark.parametrize("name", ["../etc", "nothing", "A"])
def test_an_unknown_or_hostile_name_is_one_line(runner: CliRunner, options: list[str], name: str) -> None:
    """No trace for a name that is not there or not a name."""
    run = runner.invoke(app, ["models", "show", name, *options])

    assert run.exit_code == 1
    assert run.stderr.startswith("error: ")
    assert len(run.stderr.strip().splitlines()) == 1


def test_copy_into_another_store(
    runner: CliRunner,
    options: list[str],
    store: ModelStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The version that production means arrives with its digest, and the named alias means it there."""
    monkeypatch.setattr("inference.golden.check_in_child", lambda _directory, _manifest: None)
    there = tmp_path / "there"

    run = runner.invoke(
        app, ["models", "copy", "artwork-head", "--to", str(there), "--alias", "production", *options]
    )

    assert run.exit_code == 0, run.output
    copied = ModelStore.at(there).resolve("artwork-head")
    assert (copied.number, copied.digest) == (
        1,
        ModelStore.at(Path(options[1])).resolve("artwork-head").digest,
    )
    again = runner.invoke(app, ["models", "copy", "artwork-head", "--to", str(there), *options])
    assert again.exit_code == 0
    assert ModelStore.at(there).numbers("artwork-head") == [1]


def test_copy_of_what_is_not_there(runner: CliRunner, options: list[str], tmp_path: Path) -> None:
    """An unknown model or version is named; the other store stays empty."""
    for words in (["nobody"], ["artwork-head", "--version", "9"]):
        run = runner.invoke(app, ["models", "copy", *words, "--to", str(tmp_path / "there"), *options])
        assert run.exit_code == 1
        assert words[0] in run.output
    assert ModelStore.at(tmp_path / "there").names() == []
