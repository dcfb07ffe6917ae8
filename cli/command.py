"""How a command runs: option groups become options, errors become one line and an exit code."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer
from typer import Option

from cli.errors import USAGE, CommandError, reported, training_extra
from model_store.aliases import PRODUCTION
from model_store.errors import NotInStore
from model_store.store import ModelStore, Version

if TYPE_CHECKING:
    from trainer.workspace import Workspace

Body = TypeVar("Body", bound=Callable[..., None])

DEFAULT_STORE: Final = Path("var/models")
Store = Annotated[Path, Option(help="Directory of the model store.", envvar="ATELIER_STORE")]
Json = Annotated[bool, Option("--json", help="Print JSON instead of tables.")]
SplitSeed = Annotated[int, Option(min=0, help="Random seed of the split.")]
Resume = Annotated[bool, Option("--resume", help="Continue the run in the folder --out.")]
Overwrite = Annotated[bool, Option("--overwrite", help="Replace the run in the folder --out.")]
Change = Annotated[
    list[str] | None,
    Option("--set", help="Setting to override, as in training.seed=7. May be repeated."),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where a command of the trainer finds frozen models and keeps their vectors."""

    store: Store = DEFAULT_STORE
    cache: Annotated[Path, Option(help="Directory of the vector cache.", envvar="ATELIER_CACHE")] = Path(
        "var/cache"
    )

    @property
    def models(self) -> ModelStore:
        """The model store."""
        return ModelStore.at(self.store)

    @contextmanager
    def workspace(self, out: Path) -> "Iterator[Workspace]":
        """A workspace that writes into `out`; its progress bars end with the context."""
        from trainer.loop.progress import bars
        from trainer.workspace import Workspace

        with bars() as progress:
            yield Workspace(store=self.models, out=out, cache=self.cache, progress=progress)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingChanges:
    """Settings of a training that the command line overrides."""

    change: Change = None
    epochs: Annotated[int | None, Option(min=1, help="Most epochs to train. Default: as in --config.")] = None
    batch_size: Annotated[int | None, Option(min=2, help="Items in a batch. Default: as in --config.")] = None
    learning_rate: Annotated[float | None, Option(help="Highest learning rate. Default: as in --config.")] = (
        None
    )
    wandb_project: Annotated[str | None, Option(help="Project in wandb. Default: as in --config.")] = None
    wandb_run_name: Annotated[str | None, Option(help="Run name in wandb. Default: as in --config.")] = None

    def overrides(self) -> dict[str, Any]:
        """Values by dotted name of the setting. Raises InvalidConfig: for a --set that is not NAME=VALUE."""
        from trainer.configuration import parse_settings

        options = {
            "max_epochs": self.epochs,
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
            "wandb_project": self.wandb_project,
            "wandb_run_name": self.wandb_run_name,
        }
        given = {f"training.{name}": value for name, value in options.items() if value is not None}
        return parse_settings(self.change or ()) | given


def command(app: typer.Typer, name: str | None = None) -> Callable[[Body], Body]:
    """Register a function as a command of `app`.

    A parameter whose type is a dataclass is a group of options: each of its fields becomes an option of
    the command, and the function receives the group. Expected errors end the command, see `reported`.
    """
    return lambda body: _register(app, name, body, reported)


def training_command(
    app: typer.Typer, name: str | None = None, extra: str = "train"
) -> Callable[[Body], Body]:
    """Register a command that imports the trainer in its body; see `command` and `training_extra`."""

    @contextmanager
    def context() -> Iterator[None]:
        from trainer.console_log import log_to_console

        log_to_console()
        with reported(), training_extra(extra):
            yield

    return lambda body: _register(app, name, body, context)


def check_one_of(resume: bool, overwrite: bool) -> None:
    """Raises CommandError: if a run is to be both continued and replaced."""
    if resume and overwrite:
        raise CommandError(
            "--resume continues a run and --overwrite replaces it: give one of them", code=USAGE
        )


def resolve_version(models: ModelStore, reference: str) -> Version:
    """The version that MODEL@ALIAS means; without an alias that in production.

    Raises CommandError: if the store has no version of that name and alias.
    """
    name, _, alias = reference.partition("@")
    try:
        return models.resolve(name, alias or PRODUCTION)
    except NotInStore as error:
        raise CommandError(
            f"{error} in the store {models.place}",
            "`atelier models list --store DIR` shows what a store holds",
        ) from error


def _register(
    app: typer.Typer, name: str | None, body: Body, context: Callable[[], AbstractContextManager[None]]
) -> Body:
    parameters = inspect.signature(body).parameters
    groups: dict[str, Any] = {
        key: each.annotation for key, each in parameters.items() if is_dataclass(each.annotation)
    }

    def run(**values: Any) -> None:
        taken = {
            key: group(**{field.name: values.pop(field.name) for field in fields(group)})
            for key, group in groups.items()
        }
        with context():
            body(**taken, **values)

    options = [
        option.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for key, each in parameters.items()
        for option in (inspect.signature(groups[key]).parameters.values() if key in groups else (each,))
    ]
    # What typer reads of a command: its name, its help and its options.
    run.__name__, run.__doc__ = body.__name__, body.__doc__
    run.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    run.__annotations__ = {option.name: option.annotation for option in options}
    app.command(name)(run)
    return body
