"""`atelier recommend`: items of a collection that belong beside a query."""

import hashlib
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from atelier.recommender.v1 import recommender_pb2, resources_pb2
from typer import Option

from cli.command import Json
from cli.errors import USAGE, CommandError
from cli.filters import parse_filter
from cli.labels import NATIVE, caller_language, labelled
from cli.output import describe_model, print_answer, print_line, print_table
from cli.security import security
from services.client.recommender import RecommenderClient
from services.messages.contents import read_record, write_record
from trainer.reports.contact_sheet import SheetRow, Tile, rows_of_tiles, save_sheet

MOST_RESULTS = 32
# As the service bounds it.
_MOST_ITEMS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionAddress:
    """A collection and the recommender that serves it."""

    collection: Annotated[str, Option(help="Name of the collection.")] = "fashion"
    address: Annotated[
        str, Option(help="Host and port of the recommender.", envvar="ATELIER_RECOMMENDER_ADDRESS")
    ] = "127.0.0.1:50053"

    def client(self) -> RecommenderClient:
        """A client of the recommender, to be used as a context."""
        return RecommenderClient(self.address, security=security())


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What to recommend by: exactly one of a picture, items and a record."""

    image: Annotated[
        Path | None, Option(help="Picture to find similar items to; an item of that very file is left out.")
    ] = None
    item: Annotated[list[str] | None, Option(help="Item to find neighbours of. May be repeated.")] = None
    attributes: Annotated[str | None, Option(help="Record to find items for: JSON, or @FILE.")] = None

    def request(self) -> recommender_pb2.RecommendRequest:
        """The query as a request. Raises CommandError: unless exactly one option was given."""
        options = {"--image": self.image, "--item": self.item, "--attributes": self.attributes}
        given = [name for name, value in options.items() if value]
        if len(given) != 1:
            raise CommandError(
                f"one of --image, --item and --attributes is needed, not {' and '.join(given) or 'none'}",
                code=USAGE,
            )
        if self.image:
            return recommender_pb2.RecommendRequest(image=self.image.read_bytes())
        if self.item:
            return recommender_pb2.RecommendRequest(items=resources_pb2.ItemIds(item_ids=self.item))
        record = write_record(parse_record(self.attributes or ""))
        return recommender_pb2.RecommendRequest(attributes=record)


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Which items come back, how many, and how they differ."""

    count: Annotated[int, Option(help="Number of items to return, 1 to 1,000.")] = 10
    filter: Annotated[
        list[str] | None,
        Option(
            help="Condition on the items: FIELD=A|B (one of the values), FIELD!=A|B (none of them), "
            "FIELD>=N, FIELD>N, FIELD<=N, FIELD<N, or !FIELD (the field is missing). May be repeated; "
            "all must hold."
        ),
    ] = None
    in_stock: Annotated[bool, Option("--in-stock", help="Keep items that can be bought.")] = False
    exclude: Annotated[list[str] | None, Option(help="Item to leave out. May be repeated.")] = None
    diversity: Annotated[
        float, Option(min=0, max=1, help="How much the results are to differ: 0 by similarity alone, to 1.")
    ] = 0.0

    def apply(
        self,
        request: recommender_pb2.RecommendRequest | recommender_pb2.RecommendFromBestsellersRequest,
    ) -> None:
        """Write the options into a request. Raises CommandError: naming the condition that cannot be read."""
        request.item_count = self.count
        request.filter.CopyFrom(parse_filter(self.filter or []))
        if self.in_stock:
            request.filter.in_stock = True
        request.excluded_item_ids.extend(self.exclude or [])
        request.diversity = self.diversity


def recommend(
    query: Query,
    target: CollectionAddress,
    results: Results,
    new: Annotated[
        bool, Option("--new", help="Keep items released within the service's days for new products.")
    ] = False,
    explain: Annotated[bool, Option("--explain", help="Show what the results share with the query.")] = False,
    save: Annotated[Path | None, Option(help="PNG file to draw query and results into.")] = None,
    as_json: Json = False,
) -> None:
    """Recommend items of a collection by a picture, by items or by attributes."""
    request = query.request()
    request.collection = target.collection
    results.apply(request)
    request.new_products_only, request.explain = new, explain
    language = caller_language(read_record(request.attributes))
    with target.client() as recommender:
        answer = ask_for_others(recommender, request)
        if save:
            save_recommendation(save, recommender, request, answer, language)
    print_answer(answer, partial(print_recommendation, language=language), as_json=as_json)


def ask_for_others(
    recommender: RecommenderClient, request: recommender_pb2.RecommendRequest
) -> recommender_pb2.RecommendResponse:
    """The answer without items that show the very picture that was sent, which would be its first."""
    if not request.image:
        return recommender.recommend(request)
    wider = recommender_pb2.RecommendRequest()
    wider.CopyFrom(request)
    wider.item_count = min(request.item_count + 1, _MOST_ITEMS)
    answer = recommender.recommend(wider)
    own = hashlib.sha256(request.image).hexdigest()
    others = [each for each in answer.recommendations if each.item.picture_digest != own]
    del answer.recommendations[:]
    answer.recommendations.extend(others[: request.item_count])
    return answer


def print_recommendation(
    answer: recommender_pb2.RecommendResponse | recommender_pb2.RecommendFromBestsellersResponse,
    language: str = NATIVE,
) -> None:
    """Print the items as a table, their words in a language, then the models that took part."""
    columns = ["#place", "item", "#similarity", "attributes"]
    rows = [
        [place, result.item.item_id, f"{result.similarity:.4f}", _words(result.item.attributes, language)]
        for place, result in enumerate(answer.recommendations, 1)
    ]
    if any(result.HasField("explanation") for result in answer.recommendations):
        columns.append("shared")
        for row, result in zip(rows, answer.recommendations, strict=True):
            row.append(_words(result.explanation.shared_attributes, language))
    print_table("", columns, rows)
    models = ", ".join(map(describe_model, answer.models))
    print_line(f"{models}; catalogue revision {answer.catalogue_revision}")


def save_recommendation(
    path: Path,
    recommender: RecommenderClient,
    request: recommender_pb2.RecommendRequest,
    answer: recommender_pb2.RecommendResponse,
    language: str = NATIVE,
) -> Path:
    """Save the pictures of the query, framed, or its record, and below it the results with their attributes.

    Raises CommandError: if neither has a picture, as in a collection of vectors.
    """

    def picture(item_id: str) -> bytes:
        reply = recommender.get_item(item_id, collection=answer.collection, include_picture=True)
        return bytes(reply.picture)

    asked = [Tile(picture=request.image, caption="query", framed=True)] if request.image else []
    asked += [
        Tile(picture=picture(item_id), caption=f"query {item_id}", framed=True)
        for item_id in request.items.item_ids[:8]
    ]
    record = read_record(request.attributes)
    results = [
        Tile(
            picture=picture(result.item.item_id),
            caption=result.item.item_id,
            detail=f"similarity {result.similarity:.3f}",
            words=_words(result.item.attributes, language, first=tuple(record)).replace(" ·", ","),
        )
        for result in answer.recommendations[:MOST_RESULTS]
    ]
    rows = [row for tiles in (asked, results) for row in rows_of_tiles([t for t in tiles if t.picture])]
    if not answer.recommendations:
        raise CommandError(
            "nothing was recommended, so there is nothing to save",
            "`atelier catalog list` shows what the collection holds",
        )
    if not rows:
        raise CommandError("neither query nor results have a picture to save")
    if not request.HasField("attributes"):
        return save_sheet(path, rows, title="query, then nearest first")
    asked_for = " · ".join(
        f"{field}: {labelled(field, value, language)}" for field, value in record.items() if value
    )
    rows.insert(0, SheetRow(tiles=(), notes=(asked_for,)))
    described = json.dumps(record, ensure_ascii=False)
    return save_sheet(path, rows, title="nearest to an attribute record", description=described)


def parse_record(text: str) -> dict[str, Any]:
    """An attribute record from JSON, or from a file when `text` is @FILE."""
    source = Path(text[1:]).read_text() if text.startswith("@") else text
    try:
        record = json.loads(source)
    except json.JSONDecodeError as error:
        raise CommandError(f"--attributes is not JSON: {error}", code=USAGE) from error
    if not isinstance(record, dict):
        raise CommandError(f"--attributes is a JSON {type(record).__name__}, not an object", code=USAGE)
    return record


def _words(attributes: Any, language: str, first: tuple[str, ...] = ()) -> str:
    """The values of a record, those of the fields `first` before the others."""
    record = read_record(attributes)
    fields = sorted(record, key=lambda field: first.index(field) if field in first else len(first))
    values = [labelled(field, record[field], language) for field in fields]
    return " · ".join(value for value in values if value)
