"""`atelier index …`: a collection's neighbour index, its rebuild, and what its upgrade waits for."""

from typing import Any

import typer
from atelier.recommender.v1 import index_pb2

from cli.command import Json, command
from cli.output import print_answer, print_line, print_table
from cli.recommend import CollectionAddress

app = typer.Typer(no_args_is_help=True, help="Look at the neighbour index of a collection, and rebuild it.")

# What a person reads of a status, by the proto's own names.
_COUNTS = (
    "live_count",
    "segment_rows",
    "delta_rows",
    "dead_rows",
    "vector_only_count",
    "catalogue_revision",
    "generation",
)


@command(app)
def status(target: CollectionAddress, as_json: Json = False) -> None:
    """Show what the index holds, an upgrade in progress, and the measured recall of recent queries."""
    with target.client() as recommender:
        answer = recommender.get_status(collection=target.collection)
    print_answer(answer, _show, as_json=as_json)


@command(app)
def rebuild(target: CollectionAddress, as_json: Json = False) -> None:
    """Build the index anew from the catalog; the present one serves meanwhile."""
    with target.client() as recommender:
        answer = recommender.rebuild(collection=target.collection)
    print_answer(
        answer,
        lambda reply: print_line(f"{reply.live_count:,} items in {reply.build_ms / 1_000:.1f} s"),
        as_json=as_json,
    )


@command(app)
def drop_blocking(target: CollectionAddress, as_json: Json = False) -> None:
    """Delete the items upserted as a bare vector that keep the collection from moving to another model.

    `atelier index status` names some of them. Without an upgrade that waits nothing is deleted.
    """
    with target.client() as recommender:
        answer = recommender.drop_blocking_items(collection=target.collection)
    print_answer(answer, lambda reply: print_line(f"{reply.deleted_count:,} items deleted"), as_json=as_json)


def _show(answer: Any) -> None:
    space = answer.space_id[:12] if answer.space_id else "none"
    print_line(f"collection {answer.collection}, space {space}, {answer.dimension} dimensions")
    print_table("", ("", "#"), [(name.replace("_", " "), f"{getattr(answer, name):,}") for name in _COUNTS])
    if answer.upgrade_done_count or answer.upgrade_left_count:
        print_line(f"upgrade: {answer.upgrade_done_count:,} items done, {answer.upgrade_left_count:,} left")
    if answer.blocking_item_ids:
        print_line(f"an upgrade waits for items such as {', '.join(answer.blocking_item_ids)}")
    if answer.recalls:
        columns = ("queries", "#share of items", "#recall", "#measured", "#ef")
        print_table("", columns, [_recall_row(each) for each in answer.recalls])
    if answer.detail:
        print_line(answer.detail)


def _recall_row(measured: Any) -> tuple[object, ...]:
    kind = index_pb2.QueryKind.Name(measured.query_kind).removeprefix("QUERY_KIND_").lower()
    ef = "exact" if measured.is_exact else measured.ef
    return kind, f"{measured.item_share:g}", f"{measured.recall:.3f}", measured.query_count, ef
