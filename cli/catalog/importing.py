"""`atelier catalog import`: upsert the items of a folder, a table or an export."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from atelier.recommender.v1 import catalog_pb2, recommender_pb2, resources_pb2
from rich.progress import track
from typer import Argument, Option

from cli.catalog.options import app
from cli.catalog.rows import ImportRow
from cli.catalog.source import TableSource
from cli.command import Json, command
from cli.errors import CommandError
from cli.insight import print_bestsellers
from cli.output import print_json, print_line, print_notice, progress_console
from cli.recommend import CollectionAddress
from model_store.durable import hash_file
from services.client.recommender import RecommenderClient
from services.messages.contents import read_record
from services.runtime.errors import ServiceError

Present = Mapping[str, resources_pb2.Item]

_BATCH: Final = 128
_PAGE: Final = 1_000
_SHOWN: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportChoices:
    """What an import does beyond sending what is new or changed."""

    resend: Annotated[
        bool, Option("--resend", help="Send items that are in the catalog with the same content, too.")
    ] = False
    remove_vanished: Annotated[
        bool,
        Option(
            "--remove-vanished",
            help="Remove the items of the collection that are not among the imported, after showing how "
            "many; nothing is removed if an item could not be imported.",
        ),
    ] = False
    yes: Annotated[bool, Option("--yes", help="Remove items without asking.")] = False
    dry_run: Annotated[
        bool,
        Option("--dry-run", help="Print which items are new, changed, unchanged and gone; send nothing."),
    ] = False


@dataclass(slots=True, kw_only=True)
class _Counts:
    """What became of the items. revision: of the catalog, 0 before a reply."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    revision: int = 0
    failed: list[catalog_pb2.UpsertItemResult] = field(default_factory=list)

    def add(self, results: Sequence[catalog_pb2.UpsertItemResult], present: Present) -> None:
        for result in results:
            before = present.get(result.item_id)
            if not result.HasField("revision"):
                self.failed.append(result)
            elif before is None:
                self.new += 1
            elif result.revision > before.revision:
                self.changed += 1
            else:
                self.unchanged += 1

    @property
    def imported(self) -> int:
        return self.new + self.changed + self.unchanged


@command(app, "import")
def import_items(
    path: Annotated[
        Path,
        Argument(
            help="Folder of pictures, table (.csv, .jsonl) with pictures relative to its folder, or folder "
            "that `atelier catalog export` wrote."
        ),
    ],
    target: CollectionAddress,
    source: TableSource,
    choices: ImportChoices,
    attributes: Annotated[
        Path | None,
        Option(
            help="CSV, or JSON lines (.jsonl), with a column `image` and a column for each field; `item_id`, "
            "`group`, `in_stock`, `released_at` and `product_id` are optional. In CSV, `|` separates the "
            "values of a list. Default: every picture of the folder, without attributes."
        ),
    ] = None,
    sales: Annotated[
        Path | None,
        Option(
            help="CSV of units sold, with columns `item_id` and `units`, or renamed to them: print what to "
            "recommend beside the bestsellers once the items are imported. Default: no table."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Upsert every picture of a folder, or the items of a table.

    An item's identifier is its `item_id`, by default the path of its picture below the folder without suffix.
    An import that was cut short goes on when it is given again: what is in the catalog already is not sent.
    """
    rows, sold = source.rows(path, attributes), [] if sales is None else source.sales(sales)
    with target.client() as recommender:
        present = {
            item.item_id: item
            for item in recommender.list_items(collection=target.collection, page_size=_PAGE)
        }
        vanished = sorted(present.keys() - {row.message.item_id for row in rows})
        if choices.dry_run:
            _print_difference(_difference(rows, present, vanished), as_json=as_json)
            return
        if choices.remove_vanished and len(vanished) == len(present) > 0:
            raise CommandError(
                f"{attributes or path} has no item of {target.collection}: "
                f"--remove-vanished would remove all {len(present)} of them",
                "import without it; `atelier catalog delete` removes items by name",
            )
        if vanished:
            _announce(len(vanished), len(present), target.collection, choices)
        counts = _send(recommender, rows, {} if choices.resend else present, present, target, as_json=as_json)
        if choices.remove_vanished and vanished and not counts.failed:
            counts.removed = recommender.delete_items(vanished, collection=target.collection)
        if counts.removed or not counts.revision:
            status = recommender.get_status(collection=target.collection)
            counts.revision = status.catalogue_revision
        beside = _beside_bestsellers(recommender, sold, target.collection) if sold else None
    _report(counts, len(rows), len(vanished), beside, as_json=as_json)


def _difference(rows: Sequence[ImportRow], present: Present, vanished: list[str]) -> dict[str, list[str]]:
    """Identifiers of items by what an import would do. Words in another spelling count as changed."""
    groups: dict[str, list[str]] = {"new": [], "changed": [], "unchanged": [], "gone": vanished}
    for row in rows:
        item = present.get(row.message.item_id)
        group = "new" if item is None else "unchanged" if _is_same(row, item) else "changed"
        groups[group].append(row.message.item_id)
    return groups


def _print_difference(groups: dict[str, list[str]], *, as_json: bool) -> None:
    if as_json:
        print_json(groups)
        return
    for group, item_ids in groups.items():
        shown = ", ".join(item_ids[:_SHOWN]) if group != "unchanged" else ""
        more = f" and {len(item_ids) - _SHOWN} more" if shown and len(item_ids) > _SHOWN else ""
        print_line(f"{group}: {len(item_ids)}" + (f": {shown}{more}" if shown else ""))
    print_line("nothing was sent: leave out --dry-run to import")


def _beside_bestsellers(
    recommender: RecommenderClient, sold: Sequence[recommender_pb2.SalesRow], collection: str
) -> recommender_pb2.RecommendFromBestsellersResponse:
    request = recommender_pb2.RecommendFromBestsellersRequest(collection=collection)
    request.sales.rows.extend(sold)
    return recommender.recommend_from_bestsellers(request)


def _announce(vanished: int, present: int, collection: str, choices: ImportChoices) -> None:
    """Say how many items vanished, and ask before they are removed."""
    if not choices.remove_vanished:
        print_notice(
            f"{vanished} of {present} items of {collection} are not in this import and stay: "
            "--remove-vanished removes them"
        )
        return
    print_notice(f"{vanished} of {present} items of {collection} are not in this import: to be removed")
    if not choices.yes:
        typer.confirm(f"Remove {vanished} items once the others are imported?", abort=True, err=True)


def _send(
    recommender: RecommenderClient,
    rows: Sequence[ImportRow],
    skippable: Present,
    present: Present,
    target: CollectionAddress,
    *,
    as_json: bool,
) -> _Counts:
    counts = _Counts()
    shown = iter(track(rows, "importing", console=progress_console, disable=as_json))
    while batch := list(islice(shown, _BATCH)):
        changed = [row for row in batch if not _is_same(row, skippable.get(row.message.item_id))]
        counts.unchanged += len(batch) - len(changed)
        if changed:
            reply = _upsert(recommender, changed, target.collection)
            counts.add(reply.results, present)
            counts.revision = max(counts.revision, reply.catalogue_revision)
    return counts


def _is_same(row: ImportRow, item: resources_pb2.Item | None) -> bool:
    """Whether an item surely has what the row says; a vector or a word in another spelling has to be sent."""
    message = row.message
    if item is None or row.picture is None:
        return False
    return (
        (message.in_stock if message.HasField("in_stock") else True) == item.in_stock
        and message.product_id == item.product_id
        and (not message.HasField("released_at") or message.released_at == item.released_at)
        and read_record(message.attributes) == read_record(item.attributes)
        and hash_file(row.picture) == item.picture_digest
    )


def _upsert(
    recommender: RecommenderClient, rows: Sequence[ImportRow], collection: str
) -> catalog_pb2.UpsertItemsResponse:
    """A result an item, also when all of them fail."""
    try:
        return recommender.upsert_items(_written(rows), collection=collection)
    except ServiceError as error:
        if len(error.item_errors) != len(rows):
            raise
        return catalog_pb2.UpsertItemsResponse(
            results=[
                catalog_pb2.UpsertItemResult(index=each.index, item_id=each.id, error=each.status)
                for each in error.item_errors
            ]
        )


def _written(rows: Sequence[ImportRow]) -> Iterator[catalog_pb2.UpsertItem]:
    return (row.write() for row in rows)


def _report(
    counts: _Counts,
    count: int,
    vanished: int,
    beside: recommender_pb2.RecommendFromBestsellersResponse | None,
    *,
    as_json: bool,
) -> None:
    if as_json:
        body = _body(counts, count, vanished)
        print_json(body if beside is None else body | {"beside_bestsellers": beside})
    else:
        for failure in counts.failed[:_SHOWN]:
            print_line(f"not imported: {failure.item_id}: {failure.error.message}")
        if len(counts.failed) > _SHOWN:
            print_line(f"not imported: {len(counts.failed) - _SHOWN} more; --json lists all")
        parts = f"{counts.new} new, {counts.changed} changed, {counts.unchanged} unchanged"
        print_line(f"imported {counts.imported} of {count}: {parts}; catalog revision {counts.revision}")
        if counts.removed:
            print_line(f"removed {counts.removed} items that were not in the import")
        if beside is not None:
            print_bestsellers(beside)
    if counts.failed:
        raise CommandError(f"{len(counts.failed)} of {count} items were not imported")


def _body(counts: _Counts, count: int, vanished: int) -> dict[str, Any]:
    return {
        "items": count,
        "new": counts.new,
        "changed": counts.changed,
        "unchanged": counts.unchanged,
        "failed": counts.failed,
        "vanished": vanished,
        "removed": counts.removed,
        "catalogue_revision": counts.revision,
    }
