"""`atelier bestsellers | feedback | trends`: what a shop asks, and what its customers did."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final

from atelier.recommender.v1 import insight_pb2, recommender_pb2
from google.protobuf.json_format import ParseDict, ParseError
from typer import Argument, Option

from cli.command import Json
from cli.errors import USAGE, CommandError
from cli.output import print_answer, print_json, print_line, print_table
from cli.recommend import CollectionAddress, Results, print_recommendation
from inference.item_table import ITEM

UNITS: Final = "units"
_SPARKS: Final = "▁▂▃▄▅▆▇█"


def bestsellers(
    target: CollectionAddress,
    results: Results,
    item: Annotated[list[str] | None, Option(help="Item that sells best. May be repeated.")] = None,
    image: Annotated[list[Path] | None, Option(help="Picture of what sells best. May be repeated.")] = None,
    sales: Annotated[
        Path | None,
        Option(
            help="CSV of units sold, with columns `item_id` and `units`; the tenth with the most units sells "
            "best. Default: the tenth nearest to the mean."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Recommend new products like the shop's bestsellers.

    Without --item, --image or --sales the tenth of the catalog nearest to the mean stands for them.
    """
    request = recommender_pb2.RecommendFromBestsellersRequest(collection=target.collection)
    results.apply(request)
    given = [name for name, value in (("--item", item), ("--image", image), ("--sales", sales)) if value]
    if len(given) > 1:
        raise CommandError(f"{' and '.join(given)} cannot be given together: choose one", code=USAGE)
    if item:
        request.items.item_ids.extend(item)
    elif image:
        request.pictures.images.extend(path.read_bytes() for path in image)
    elif sales:
        request.sales.rows.extend(read_sales(sales))
    else:
        request.use_proxy = True
    with target.client() as recommender:
        answer = recommender.recommend_from_bestsellers(request)
    print_answer(answer, print_bestsellers, as_json=as_json)


def feedback(
    file: Annotated[
        Path,
        Argument(
            help="JSON lines, an event each: event_id, item_id, kind (shown, clicked, liked, disliked or "
            "purchased), optionally occurred_at (2026-11-27T12:00:00Z) and lead ({name, version})."
        ),
    ],
    target: CollectionAddress,
    as_json: Json = False,
) -> None:
    """Record what customers did. An event that was recorded before does not count again."""
    events = list(_events(file))
    with target.client() as recommender:
        recorded = recommender.record_feedback(events, collection=target.collection)
    if as_json:
        print_json({"events": len(events), "recorded": recorded})
    else:
        print_line(f"recorded {recorded} of {len(events)} events; the others were known")


def trends(
    target: CollectionAddress,
    field: Annotated[list[str] | None, Option(help="Field to report on. May be repeated.")] = None,
    days: Annotated[int, Option(min=1, max=730, help="Days to look back.")] = 90,
    period: Annotated[int, Option(min=1, max=90, help="Days that a point sums up.")] = 7,
    as_json: Json = False,
) -> None:
    """Show how the values of fields do among what customers took up, and among what was released."""
    request = insight_pb2.GetTrendsRequest(
        collection=target.collection, fields=field or [], days=days, period_days=period
    )
    with target.client() as recommender:
        answer = recommender.get_trends(request)
    print_answer(answer, _print_trends, as_json=as_json)


def read_sales(path: Path, columns: Mapping[str, str] | None = None) -> Iterator[recommender_pb2.SalesRow]:
    """The rows of a table of units sold; columns: as in `read_item_table`, those that the table lacks aside.

    Raises CommandError: for a table without `item_id` and `units`, and for units that are no number.
    """
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        reader.fieldnames = [
            (columns or {}).get(name.strip(), name.strip()) for name in reader.fieldnames or ()
        ]
        if not {ITEM, UNITS} <= set(reader.fieldnames or ()):
            raise CommandError(f"{path} has no columns item_id and units", code=USAGE)
        for row in reader:
            try:
                yield recommender_pb2.SalesRow(item_id=row[ITEM], units=float(row[UNITS]))
            except (TypeError, ValueError) as error:
                raise CommandError(
                    f"{path}, line {reader.line_num}: units {row[UNITS]!r} is not a number", code=USAGE
                ) from error


def _events(path: Path) -> Iterator[insight_pb2.FeedbackEvent]:
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        if not line.strip():
            continue
        try:
            event = json.loads(line)
            event["kind"] = f"FEEDBACK_KIND_{event['kind'].upper()}"
            yield ParseDict(event, insight_pb2.FeedbackEvent())
        except (ValueError, KeyError, TypeError, AttributeError, ParseError) as error:
            raise CommandError(f"{path}, line {number} is not an event: {error}", code=USAGE) from error


def print_bestsellers(answer: recommender_pb2.RecommendFromBestsellersResponse) -> None:
    """What is recommended beside which bestsellers, and how their words differ."""
    print_recommendation(answer)
    source = recommender_pb2.BestsellerSource.Name(answer.source).removeprefix("BESTSELLER_SOURCE_").lower()
    print_line(f"bestsellers: {answer.bestseller_count}, by {source}")
    rows = [
        (each.field, each.value, *_percents(each.bestseller_share, each.result_share, each.new_share))
        for each in answer.trends
    ]
    if rows:
        print_table("", ("field", "value", "#bestsellers", "#results", "#new products"), rows)


def _print_trends(answer: insight_pb2.GetTrendsResponse) -> None:
    rows = [
        (
            each.field,
            each.value,
            _spark(each.taken_share),
            *_percents(each.taken_share[-1], each.released_share[-1]),
            f"{each.change:+.0%}",
        )
        for each in answer.series
    ]
    print_table("", ("field", "value", "taken up", "#last", "#released", "#change"), rows)
    print_line(f"points of {answer.period_days} days; catalogue revision {answer.catalogue_revision}")


def _percents(*shares: float) -> tuple[str, ...]:
    return tuple(f"{share:.0%}" for share in shares)


def _spark(shares: Iterable[float]) -> str:
    return "".join(_SPARKS[round(share * (len(_SPARKS) - 1))] for share in shares)
