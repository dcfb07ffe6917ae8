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
    monkeypatch.setattr("inference.child_check.check_in_child", lambda _directory, _manifest: None)
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


def test_verify_says_which_versions_are_whole(runner: CliRunner, options: list[str]) -> None:
    """Every version of every model is hashed, or those of one model; the exit code is 0."""
    for words in ([], ["artwork-head"]):
        run = runner.invoke(app, ["models", "verify", *words, *options])

        assert run.exit_code == 0, run.output
        assert run.stdout.count("whole") == 3


def test_verify_of_a_damaged_store_counts(runner: CliRunner, options: list[str], store: ModelStore) -> None:
    """The table names the problem; the error counts the damaged versions (M-4)."""
    store.open("artwork-head", 1).path("model.onnx").write_bytes(b"")

    run = runner.invoke(app, ["models", "verify", *options])

    assert run.exit_code == 1
    assert "is not what was published" in run.stdout
    assert run.stderr == "error: 1 of 3 versions are damaged\n"


def test_another_alias_is_moved_on_its_own(runner: CliRunner, options: list[str], store: ModelStore) -> None:
    """`--alias` names what is moved; production stays. `--expect 0` asks that it is unset (M-3)."""
    words = ["models", "promote", "artwork-head", "1", "--alias", "trial", "--expect", "0", *options]

    first, again = runner.invoke(app, words), runner.invoke(app, words)

    assert first.stdout == "artwork-head@trial means version 1\n"
    assert again.exit_code == 1
    assert "artwork-head@trial means version 1" in again.stderr
    assert store.resolve("artwork-head").number == 2


def test_there_is_nothing_to_roll_back_to(runner: CliRunner, options: list[str], store: ModelStore) -> None:
    """An alias without a history is named, and stays."""
    runner.invoke(app, ["models", "promote", "artwork-head", "1", "--alias", "trial", *options])

    run = runner.invoke(app, ["models", "rollback", "artwork-head", "--alias", "trial", *options])

    assert run.exit_code == 1
    assert "artwork-head@trial" in run.stderr
    assert store.aliases.find("artwork-head", "trial").target.version == 1


def test_show_of_a_number_is_that_version(runner: CliRunner, options: list[str], store: ModelStore) -> None:
    """The manifest is printed with number, digest and space."""
    body = json.loads(runner.invoke(app, ["models", "show", "artwork-head", "1", *options]).stdout)

    opened = store.open("artwork-head", 1)
    assert (body["version"], body["digest"], body["space_id"]) == (1, opened.digest, opened.space_id)
    assert body["provenance"]["trained"] is False


def test_garbage_is_listed_before_it_is_removed(
    runner: CliRunner, options: list[str], store: ModelStore
) -> None:
    """`--dry-run` gives each version its reason and removes nothing; without it what no alias reaches goes.

    Versions 1 and 2 are reachable by production, now or one move back (M-3)."""
    words = ["models", "gc", "--keep-days", "0", *options]

    listed = runner.invoke(app, [*words, "--dry-run", "--json"])
    shown = runner.invoke(app, [*words, "--dry-run"])

    body = json.loads(listed.stdout)
    assert body["dry_run"] is True
    assert {each["version"]: each["removed"] for each in body["versions"]} == {1: False, 2: False, 3: True}
    assert all(each["kept_because"] for each in body["versions"] if not each["removed"])
    assert "1 of 3 versions" in shown.stdout
    assert "would be freed" in shown.stdout
    assert store.numbers("artwork-head") == [1, 2, 3]

    removed = runner.invoke(app, words)

    assert removed.exit_code == 0, removed.output
    assert "1 of 3 versions" in removed.stdout
    assert "removed" in removed.stdout
    assert store.numbers("artwork-head") == [1, 2]


def test_young_versions_are_kept(runner: CliRunner, options: list[str], store: ModelStore) -> None:
    """By default seven days of age protect a version that nothing names."""
    run = runner.invoke(app, ["models", "gc", *options])

    assert run.exit_code == 0, run.output
    assert "0 of 3 versions, 0.0 MB freed" in run.stdout
    assert store.numbers("artwork-head") == [1, 2, 3]


def test_the_store_is_taken_from_the_environment(
    runner: CliRunner, store: ModelStore, tmp_path: Path
) -> None:
    """`ATELIER_STORE` names the store where --store is not given; a store that is not there is one line."""
    run = runner.invoke(app, ["models", "list", "--json"], env={"ATELIER_STORE": store.place})
    gone = runner.invoke(app, ["models", "list"], env={"ATELIER_STORE": str(tmp_path / "none")})

    assert len(json.loads(run.stdout)) == 3
    assert gone.exit_code == 1
    assert gone.stderr.startswith("error: ")
    assert str(tmp_path / "none") in gone.stderr


@pytest.mark.parametrize(
    ("words", "missing"),
    [
        (["show"], "name"),
        (["promote", "artwork-head"], "version"),
        (["promote", "artwork-head", "two"], "integer"),
        (["copy", "artwork-head"], "--to"),
        (["copy", "artwork-head", "--to", "x", "--version", "0"], "--version"),
    ],
)
@pytest.mark.slow
def test_half_a_command_is_a_usage_error(
    runner: CliRunner, options: list[str], words: list[str], missing: str
) -> None:
    """What is missing or wrong is named, with exit code 2."""
    run = runner.invoke(app, ["models", *words, *options], env={"COLUMNS": "200", "TERM": "dumb"})

    assert run.exit_code == 2
    assert missing.lower() in run.stderr.lower()
