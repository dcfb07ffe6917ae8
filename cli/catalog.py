"""`atelier catalog …`: fill and look through what can be recommended."""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from atelier.recommender.v1 import catalog_pb2
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct
from rich.progress import track

from cli.command import Json, command
from cli.errors import USAGE, CommandError
from cli.images import find_images, item_ids
from cli.output import as_json as to_json
from cli.output import console, print_json, print_table, progress_console
from cli.recommend import CollectionAddress

app = typer.Typer(no_args_is_help=True, help="Import, list and delete the items of a collection.")

_LIST_SEPARATOR = "|"
_OWN_COLUMNS = frozenset({"image", "item_id"})


@command(app, "import")
def import_items(
    images: Annotated[Path, typer.Argument(help="Folder of pictures.")],
    target: CollectionAddress,
    attributes: Annotated[
        Path | None,
        typer.Option(
            help="CSV or JSONL file with a column `image` and one column for each field. "
            "In CSV, `|` separates the values of a list."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Upsert every picture of a folder; an item is named by a column `item_id` or by its file."""
    records = _records(attributes, images) if attributes else {path: {} for path in find_images([images])}
    names = {path: item_id for item_id, path in item_ids(list(records), images).items()}
    with target.client() as recommender:
        items = track(
            _items(records, names),
            "importing",
            total=len(records),
            console=progress_console,
            disable=as_json,
        )
        reply = recommender.upsert_items(items, collection=target.collection)
    failures = [result for result in reply.results if result.HasField("error")]
    _report(len(records), failures, reply.catalogue_revision, as_json=as_json)


@command(app, "list")
def list_items(target: CollectionAddress, as_json: Json = False) -> None:
    """List the items of a collection."""
    with target.client() as recommender:
        items = list(recommender.list_items(collection=target.collection))
    if as_json:
        print_json([to_json(item) for item in items])
        return
    rows = [(item.item_id, "yes" if item.in_stock else "no", item.revision) for item in items]
    print_table("", ("item", "in stock", "#revision"), rows)


@command(app)
def delete(
    item_ids: Annotated[list[str], typer.Argument(help="Identifiers of the items to delete.")],
    target: CollectionAddress,
) -> None:
    """Delete items of a collection."""
    with target.client() as recommender:
        deleted = recommender.delete_items(item_ids, collection=target.collection)
    console.print(f"deleted {deleted} of {len(item_ids)}", markup=False, highlight=False)


def _items(
    records: Mapping[Path, Mapping[str, Any]], names: Mapping[Path, str]
) -> Iterator[catalog_pb2.UpsertItem]:
    for path, record in records.items():
        yield catalog_pb2.UpsertItem(
            item_id=str(record.get("item_id") or names[path]),
            image=path.read_bytes(),
            attributes=ParseDict({k: v for k, v in record.items() if k not in _OWN_COLUMNS}, Struct()),
        )


def _records(table: Path, images: Path) -> dict[Path, dict[str, Any]]:
    """Rows by the path of their picture. Raises CommandError: naming every row whose picture is not there."""
    found: dict[Path, dict[str, Any]] = {}
    wrong: list[str] = []
    for number, row in enumerate(_rows(table), 1):
        name = str(row.get("image") or "")
        path = images / name
        if not name or not path.resolve().is_relative_to(images.resolve()) or not path.is_file():
            wrong.append(f"row {number}: no picture {name or '(empty)'} in {images}")
        else:
            found[path] = row
    if wrong:
        raise CommandError(
            f"{len(wrong)} rows of {table} have no picture: " + "; ".join(wrong[:20]), code=USAGE
        )
    return found


def _rows(table: Path) -> Iterator[dict[str, Any]]:
    with table.open(encoding="utf-8-sig", newline="") as stream:
        if table.suffix.lower() == ".csv":
            for row in csv.DictReader(stream):
                yield {key: _cell(value) for key, value in row.items() if key and value}
            return
        for number, line in enumerate(stream, 1):
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise CommandError(f"{table} line {number} is not JSON: {error}", code=USAGE) from error
            yield row


def _cell(text: str) -> str | list[str]:
    return (
        [part.strip() for part in text.split(_LIST_SEPARATOR) if part.strip()]
        if _LIST_SEPARATOR in text
        else text
    )


def _report(count: int, failures: list[Any], revision: int, *, as_json: bool) -> None:
    if as_json:
        failed = [to_json(failure) for failure in failures]
        print_json({"items": count, "failed": failed, "catalogue_revision": revision})
    else:
        for failure in failures:
            line = f"not imported: {failure.item_id}: {failure.error.message}"
            console.print(line, markup=False, highlight=False)
        done = f"imported {count - len(failures)} of {count}; catalog revision {revision}"
        console.print(done, highlight=False)
    if failures:
        raise CommandError(f"{len(failures)} of {count} items were not imported")
