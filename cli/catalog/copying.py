"""`atelier catalog backup | restore`: copies of a recommender's whole catalog directory."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from rich.progress import Progress
from typer import Argument, Option

from cli.catalog.options import app
from cli.command import Json, command
from cli.errors import CommandError
from cli.output import print_json, print_line, progress_console

if TYPE_CHECKING:
    from services.recommender.backup import CatalogBackup

Catalogue = Annotated[
    Path, Option(help="Directory of the recommender's catalog.", envvar="ATELIER_CATALOGUE")
]
_DEFAULT: Final = Path("var/catalogue")


@command(app)
def backup(
    out: Annotated[Path, Argument(help="Directory to write; it must be empty or not exist.")],
    catalogue: Catalogue = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Copy a catalog, its pictures and what customers did, also while the recommender serves it.

    Every row and picture is checked. Pictures become hard links where the file system allows that.
    """
    from services.recommender.backup import back_up

    with _catalog_errors(), _progress("backing up", disable=as_json) as report:
        made = back_up(catalogue, out, report=report)
    _print("backed up", made, out, as_json=as_json)


@command(app)
def restore(
    backup: Annotated[Path, Argument(help="Directory that `atelier catalog backup` wrote.")],
    catalogue: Catalogue = _DEFAULT,
    as_json: Json = False,
) -> None:
    """Put a backup into an empty directory, or one that does not exist, once all of it was checked."""
    from services.recommender.backup import restore as put_back

    with _catalog_errors(), _progress("restoring", disable=as_json) as report:
        made = put_back(backup, catalogue, report=report)
    _print("restored", made, catalogue, as_json=as_json)


@contextmanager
def _catalog_errors() -> Iterator[None]:
    from services.recommender.errors import CatalogError, CatalogHeld

    try:
        yield
    except CatalogHeld as error:
        raise CommandError(str(error), "stop that recommender, or restore into another directory") from error
    except CatalogError as error:
        raise CommandError(str(error)) from error


@contextmanager
def _progress(title: str, *, disable: bool) -> Iterator[Callable[[int, int], None]]:
    with Progress(console=progress_console, disable=disable) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _print(verb: str, made: "CatalogBackup", place: Path, *, as_json: bool) -> None:
    if as_json:
        body = {"items": made.item_count, "pictures": made.picture_count, "schema": made.schema}
        print_json({**body, "files": sorted(made.files), "folder": str(place)})
    else:
        print_line(f"{verb} {made.item_count} items and {made.picture_count} pictures to {place}")
