"""`atelier recommend`: items of the catalogue that belong beside a query."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from atelier.recommender.v1 import recommender_pb2, resources_pb2
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Struct

from cli.errors import USAGE, CommandError, reported
from cli.output import as_json as to_json
from cli.output import console, describe_model, print_json, print_table
from cli.pictures import Tile, save_sheet
from cli.security import security
from services.client.recommender import RecommenderClient

Address = Annotated[str, typer.Option(help="The recommender.", envvar="ATELIER_RECOMMENDER_ADDRESS")]
DEFAULT_ADDRESS = "127.0.0.1:50053"


def recommend(
    image: Annotated[Path | None, typer.Option(help="A picture to look like.")] = None,
    item: Annotated[list[str] | None, typer.Option(help="An item to be near; may be repeated.")] = None,
    attributes: Annotated[str | None, typer.Option(help="An attribute record: JSON, or @FILE.")] = None,
    count: Annotated[int, typer.Option(help="Items to return, 1 to 1,000.")] = 10,
    collection: Annotated[str, typer.Option(help="Collection to search.")] = "fashion",
    address: Address = DEFAULT_ADDRESS,
    save: Annotated[Path | None, typer.Option(help="Save query and results as a picture.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Recommend items by a picture, by items or by attributes."""
    with reported():
        request = _request(image, item, attributes)
        request.collection = collection
        request.item_count = count
        with RecommenderClient(address, security=security()) as recommender:
            answer = recommender.recommend(request)
            if save:
                save_recommendation(save, recommender, request, answer)
        if as_json:
            print_json(to_json(answer))
        else:
            print_recommendation(answer)


def print_recommendation(answer: recommender_pb2.RecommendResponse) -> None:
    """The items as a table and the models that took part."""
    rows = [
        (place, found.item.item_id, f"{found.similarity:.4f}", _words(found.item.attributes))
        for place, found in enumerate(answer.recommendations, 1)
    ]
    print_table("", ("#place", "item", "#similarity", "attributes"), rows)
    models = ", ".join(map(describe_model, answer.models))
    console.print(f"{models}; catalogue revision {answer.catalogue_revision}", markup=False, highlight=False)


def save_recommendation(
    path: Path,
    recommender: RecommenderClient,
    request: recommender_pb2.RecommendRequest,
    answer: recommender_pb2.RecommendResponse,
) -> Path:
    """Save the query's pictures, framed, and below them the results' pictures.

    Raises CommandError: when neither has any, as for vectors among vectors.
    """

    def kept(item_id: str) -> bytes:
        reply = recommender.get_item(item_id, collection=answer.collection, include_picture=True)
        return bytes(reply.picture)

    asked = [Tile(picture=request.image, caption="query", framed=True)] if request.image else []
    asked += [
        Tile(picture=kept(item_id), caption=f"query {item_id}", framed=True)
        for item_id in request.items.item_ids[:8]
    ]
    found = [
        Tile(
            picture=kept(result.item.item_id),
            caption=result.item.item_id,
            detail=f"similarity {result.similarity:.3f}",
        )
        for result in answer.recommendations[:32]
    ]
    shown = [tile for tile in found if tile.picture]
    rows = [[tile for tile in asked if tile.picture], *(shown[at : at + 8] for at in range(0, len(shown), 8))]
    rows = [row for row in rows if row]
    if not rows:
        raise CommandError("neither query nor results have a picture to save")
    if not request.HasField("attributes"):
        return save_sheet(path, "query, then nearest first", rows)
    record = json.dumps(MessageToDict(request.attributes), ensure_ascii=False)
    return save_sheet(path, "nearest to an attribute record", rows, description=record)


def _request(
    image: Path | None, items: list[str] | None, attributes: str | None
) -> recommender_pb2.RecommendRequest:
    given = [
        name for name, value in (("--image", image), ("--item", items), ("--attributes", attributes)) if value
    ]
    if len(given) != 1:
        raise CommandError(
            f"one of --image, --item and --attributes is needed, not {' and '.join(given) or 'none'}",
            code=USAGE,
        )
    if image:
        return recommender_pb2.RecommendRequest(image=image.read_bytes())
    if items:
        return recommender_pb2.RecommendRequest(items=resources_pb2.ItemIds(item_ids=items))
    return recommender_pb2.RecommendRequest(attributes=ParseDict(parse_record(attributes or ""), Struct()))


def parse_record(text: str) -> dict[str, Any]:
    """An attribute record from JSON, or from a file when `text` is @FILE."""
    source = Path(text[1:]).read_text() if text.startswith("@") else text
    try:
        record = json.loads(source)
    except json.JSONDecodeError as error:
        raise CommandError(f"attributes are not JSON: {error}", code=USAGE) from error
    if not isinstance(record, dict):
        raise CommandError(f"attributes are a JSON {type(record).__name__}, not an object", code=USAGE)
    return record


def _words(attributes: Any) -> str:
    record = MessageToDict(attributes)
    values = [
        " ".join(map(str, value)) if isinstance(value, list) else str(value) for value in record.values()
    ]
    return " · ".join(value for value in values if value)
