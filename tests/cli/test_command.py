"""Groups of options become options of the command, and errors of its body one line."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from cli import command as commands
from cli.command import Json, Places, TrainingChanges, command, resolve_version, training_command
from cli.errors import CommandError
from model_store.store import ModelStore
from trainer.errors import TrainerError


@dataclass(frozen=True, kw_only=True)
class Size:
    """Two options."""

    width: Annotated[int, typer.Option(help="Width in pixels.")]
    height: Annotated[int, typer.Option(min=1, help="Height in pixels.")] = 7


@pytest.fixture
def app() -> typer.Typer:
    """A command line of two commands, so that each keeps its name."""
    made = typer.Typer()

    @command(made, "other")
    def other() -> None:
        """Do nothing."""

    return made


def test_a_group_is_filled_from_options(app: typer.Typer, runner: CliRunner) -> None:
    """The body receives one value with every field, beside plain options; defaults hold."""
    seen: list[tuple[Size, str, bool]] = []

    @command(app)
    def draw(size: Size, name: Annotated[str, typer.Argument()], as_json: Json = False) -> None:
        """Draw."""
        seen.append((size, name, as_json))

    runs = [
        runner.invoke(app, ["draw", "box", "--width", "3", "--json"]),
        runner.invoke(app, ["draw", "box", "--width", "3", "--height", "4"]),
    ]

    assert [run.exit_code for run in runs] == [0, 0], runs[0].output
    assert seen == [(Size(width=3), "box", True), (Size(width=3, height=4), "box", False)]


def test_the_fields_of_a_group_are_checked_as_options(app: typer.Typer, runner: CliRunner) -> None:
    """A missing required field and a value out of bounds exit with 2, and the body does not run."""

    @command(app)
    def draw(size: Size) -> None:
        """Draw."""
        raise AssertionError

    plain = {"COLUMNS": "200", "TERM": "dumb"}
    missing = runner.invoke(app, ["draw"], env=plain)
    small = runner.invoke(app, ["draw", "--width", "3", "--height", "0"], env=plain)

    assert (missing.exit_code, small.exit_code) == (2, 2)
    assert "Missing option '--width'" in missing.stderr
    assert "Input should be greater than or equal to 1" in small.stderr


def test_the_function_stays_callable(app: typer.Typer) -> None:
    """Registering returns the function itself: groups can be passed to it without a command line."""

    @command(app)
    def draw(size: Size) -> None:
        """Draw."""
        raise CommandError(f"{size.width} wide")

    with pytest.raises(CommandError, match="3 wide"):
        draw(Size(width=3))


@pytest.mark.parametrize("register", [command, training_command])
def test_expected_errors_are_one_line(app: typer.Typer, runner: CliRunner, register: object) -> None:
    """The message goes to stderr behind `error:`, the remedy behind `hint:`, with the error's own code."""

    @register(app)  # type: ignore[operator]
    def fail() -> None:
        """Fail."""
        raise CommandError("cannot do it", "do something else", code=2)

    run = runner.invoke(app, ["fail"])

    assert run.exit_code == 2
    assert run.stderr.splitlines() == ["error: cannot do it", "hint: do something else"]
    assert run.stdout == ""


def test_a_training_command_names_the_missing_extra(app: typer.Typer, runner: CliRunner) -> None:
    """Without torch a command that trains says which extra to install; any other lack is a defect."""

    @training_command(app)
    def train(name: str) -> None:
        """Train."""
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    missing = runner.invoke(app, ["train", "torch.nn"])
    broken = runner.invoke(app, ["train", "trainer.nothing"])

    assert missing.exit_code == 1
    assert missing.stderr.splitlines() == [
        "error: this command needs torch.nn, which is not installed",
        "hint: from a checkout: pip install -e '.[train]'",
    ]
    assert broken.exit_code == 70
    assert broken.stderr.startswith("error: ModuleNotFoundError: No module named 'trainer.nothing'")


def test_options_override_settings_by_name() -> None:
    """`--set` gives any setting; `--epochs` and `--batch-size` win over it; what is not given is left out."""
    changes = TrainingChanges(change=["training.seed=7", "training.max_epochs=9"], epochs=2)

    assert changes.overrides() == {"training.seed": 7, "training.max_epochs": 2}
    assert TrainingChanges().overrides() == {}
    assert TrainingChanges(batch_size=4, wandb_project="p", wandb_run_name="r").overrides() == {
        "training.batch_size": 4, "training.wandb_project": "p", "training.wandb_run_name": "r",
    }  # fmt: skip
    with pytest.raises(TrainerError, match="seed"):
        TrainingChanges(change=["seed"]).overrides()


def test_a_workspace_is_made_of_places(tmp_path: Path, store: ModelStore) -> None:
    """Store and cache are those of the options; the run's folder is the command's."""
    places = Places(store=tmp_path / "models", cache=tmp_path / "cache")

    with places.workspace(tmp_path / "run") as workspace:
        assert (workspace.out, workspace.cache) == (tmp_path / "run", tmp_path / "cache")
        assert workspace.store.place == store.place
        workspace.progress("stage", 1, 2)


def test_a_reference_means_a_version(store: ModelStore) -> None:
    """MODEL@ALIAS is that alias; MODEL alone is the version in production; anything else is named."""
    store.aliases.move("artwork-head", "trial", 3, store.open("artwork-head", 3).digest)

    assert resolve_version(store, "artwork-head").number == 2
    assert resolve_version(store, "artwork-head@production").number == 2
    assert resolve_version(store, "artwork-head@trial").number == 3
    for unknown in ("artwork-head@nothing", "nothing@production"):
        with pytest.raises(CommandError, match=f"nothing.* in the store {store.place}"):
            resolve_version(store, unknown)


def test_default_places_are_relative_to_the_working_directory() -> None:
    """Models are in var/models, where `up` looks for them."""
    assert Places().store == commands.DEFAULT_STORE == Path("var/models")
    assert Places().cache == Path("var/cache")
