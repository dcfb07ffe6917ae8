"""`atelier catalog list | delete`: the items of a collection."""

from typing import Annotated

from typer import Argument

from cli.catalog.options import app
from cli.command import Json, command
from cli.output import print_answer, print_line, print_table
from cli.recommend import CollectionAddress


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
