"""`atelier catalog …`: fill and look through what can be recommended."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from atelier.recommender.v1 import catalog_pb2
from rich.progress import track
from typer import Argument, Option

from cli.command import Json, command
from cli.errors import USAGE, CommandError
from cli.images import find_images, item_ids
from cli.output import print_answer, print_json, print_line, print_table, progress_console
from cli.recommend import CollectionAddress
from inference.errors import InvalidTable
from inference.item_table import ItemRow, read_item_table
from services.messages.contents import write_record

app = typer.Typer(no_args_is_help=True, help="Import, list and delete the items of a collection.")

# Identifier, picture and attributes of an item to import.
Item = tuple[str, Path, Mapping[str, Any]]


@command(app, "import")
def import_items(
    images: Annotated[
        Path,
        Argument(help="Folder of pictures to import, or that the paths in --attributes are relative to."),
    ],
    target: CollectionAddress,
    attributes: Annotated[
        Path | None,
        Option(
            help="CSV, or JSON lines (.jsonl), with a column `image` and a column for each field; `item_id` "
            "and `group` are optional. In CSV, `|` separates the values of a list. Default: every picture of "
            "the folder, without attributes."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Upsert every picture of a folder, or those of a table.

    An item's identifier is its `item_id`, by default the path of its picture below the folder without suffix.
    """
    items = _items_of_table(attributes, images) if attributes else _items_of_folder(images)
    with target.client() as recommender:
        shown = track(items, "importing", console=progress_console, disable=as_json)
        reply = recommender.upsert_items(map(_upsert, shown), collection=target.collection)
    failures = [result for result in reply.results if result.HasField("error")]
    _report(len(items), failures, reply.catalogue_revision, as_json=as_json)


@command(app, "list")
def list_items(target: CollectionAddress, as_json: Json = False) -> None:
    """List the items of a collection."""
    with target.client() as recommender:
        items = list(recommender.list_items(collection=target.collection))
    rows = [(item.item_id, "yes" if item.in_stock else "no", item.revision) for item in items]
    columns = ("item", "in stock", "#revision")
    print_answer(items, lambda _: print_table("", columns, rows), as_json=as_json)


@command(app)
def delete(
    item_ids: Annotated[list[str], Argument(help="Identifiers of the items to delete.")],
    target: CollectionAddress,
) -> None:
    """Delete items of a collection."""
    with target.client() as recommender:
        deleted = recommender.delete_items(item_ids, collection=target.collection)
    print_line(f"deleted {deleted} of {len(item_ids)}")


def _items_of_folder(images: Path) -> list[Item]:
    return [(item_id, path, {}) for item_id, path in item_ids(find_images([images]), images).items()]


def _items_of_table(table: Path, images: Path) -> list[Item]:
    """The items of a table. Raises CommandError: naming every row whose picture is not in `images`."""
    try:
        rows = list(read_item_table(table))
    except InvalidTable as error:
        raise CommandError(str(error), code=USAGE) from error
    missing = [
        f"line {row.line}: no picture {row.image} in {images}" for row in rows if not _is_there(row, images)
    ]
    if missing:
        listed = "; ".join(missing[:20])
        raise CommandError(f"{len(missing)} rows of {table} have no picture: {listed}", code=USAGE)
    return [(row.item_id, images / row.image, row.attributes) for row in rows]


def _is_there(row: ItemRow, images: Path) -> bool:
    path = (images / row.image).resolve()
    return path.is_relative_to(images.resolve()) and path.is_file()


def _upsert(item: Item) -> catalog_pb2.UpsertItem:
    item_id, path, attributes = item
    record = write_record(attributes)
    return catalog_pb2.UpsertItem(item_id=item_id, image=path.read_bytes(), attributes=record)


def _report(count: int, failures: list[Any], revision: int, *, as_json: bool) -> None:
    if as_json:
        print_json({"items": count, "failed": failures, "catalogue_revision": revision})
    else:
        for failure in failures:
            print_line(f"not imported: {failure.item_id}: {failure.error.message}")
        print_line(f"imported {count - len(failures)} of {count}; catalog revision {revision}")
    if failures:
        raise CommandError(f"{len(failures)} of {count} items were not imported")
