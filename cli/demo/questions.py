"""What the demo asks the running services, and their answers as plain values."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from atelier.ranker.v1 import ranker_pb2
from atelier.recommender.v1 import recommender_pb2, resources_pb2
from atelier.types.v1 import types_pb2

from cli.errors import CommandError
from cli.images import item_ids
from cli.labels import caller_language
from cli.output import console
from cli.rank import print_ranking, save_ranking
from cli.recommend import print_recommendation, save_recommendation
from cli.samples import Record, import_garments
from cli.security import security
from cli.supervisor import Address
from cli.up import GATEWAY
from services.client.health import await_serving
from services.client.ranker import RankerClient, picture
from services.client.recommender import RecommenderClient
from services.messages.contents import write_record

R = TypeVar("R")

_REPEATS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """What to ask.

    graded: pictures to rank, by a name that begins with their tier.
    garments: pictures and records to fill the catalog with, by item identifier.
    image, item_id, attributes: a query of each kind.
    """

    graded: Mapping[str, Path]
    garments: Mapping[str, tuple[Path, Record]]
    image: Path
    item_id: str
    attributes: Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """The answers, as they stand in `summary.json`."""

    models: Sequence[Mapping[str, Any]]
    rank: Sequence[Mapping[str, Any]]
    recommend: Mapping[str, Sequence[str]]
    latency_ms: Mapping[str, Mapping[str, float]]
    counts: Mapping[str, int]
    pictures: Sequence[str]


def choose_questions(
    graded: Mapping[str, Path],
    garments: Mapping[str, tuple[Path, Record]],
    photographs: Sequence[Path],
    folder: Path,
) -> Questions:
    """What to ask: pictures to rank, and a catalog of garments and photographs to search.

    The first garment and the first photograph are queries, so they stay out of the catalog.
    folder: where the photographs were found; their item identifiers are their paths below it.
    """
    rest = dict(garments)
    drawn, asked = rest.pop(next(iter(garments)))
    taken: dict[str, tuple[Path, Record]] = {
        item_id: (path, {}) for item_id, path in item_ids(photographs[1:], folder).items()
    }
    return Questions(
        graded=graded,
        garments={**taken, **rest},
        image=photographs[0] if photographs else drawn,
        item_id=next(iter(taken or rest)),
        attributes={field: asked[field] for field in ("category", "colour", "print") if field in asked},
    )


def await_all(addresses: Mapping[str, Address], timeout_s: float = 60.0) -> None:
    """Return once every service is SERVING. Raises ServiceError: naming the one that is not.

    A gateway among them has listened since it started, and serves whatever the state of the others.
    """
    for name, address in addresses.items():
        if name == GATEWAY:
            continue
        service = f"atelier.{name}.v1.{name.capitalize()}Service"
        await_serving(address.grpc, service, timeout_s=timeout_s, security=security())


def ask(
    questions: Questions,
    addresses: Mapping[str, Address],
    out: Path,
    answered: Callable[[], None],
) -> Answers:
    """Fill the catalog, rank and recommend; print and save the answers.

    answered: called at the first answer.
    Raises CommandError: when an item is refused or an answer is empty. Raises ServiceError.
    """
    with (
        RankerClient(addresses["ranker"].grpc, security=security()) as ranker,
        RecommenderClient(addresses["recommender"].grpc, security=security()) as recommender,
    ):
        ranking, rank_times = _rank(ranker, questions.graded, answered)
        import_garments(recommender, questions.garments)
        models = {model.digest: model for model in ranking.models}
        graded = {name: path.read_bytes() for name, path in questions.graded.items()}
        pictures = [save_ranking(out / "ranked.png", graded, ranking)]
        recommended, latency_ms = {}, {"rank": rank_times}
        for name, query in _queries(questions).items():
            answer, latency_ms[f"recommend_by_{name}"] = _timed(partial(recommender.recommend, query))
            if not answer.recommendations:
                raise CommandError(f"recommending by {name} found nothing")
            console.print(f"\n[bold]Recommended by {name}[/bold]")
            print_recommendation(answer, caller_language())
            sheet = out / f"recommended_by_{name}.png"
            pictures.append(save_recommendation(sheet, recommender, query, answer, caller_language()))
            models |= {model.digest: model for model in answer.models}
            recommended[name] = [result.item.item_id for result in answer.recommendations]
        return Answers(
            models=[_identity(model) for model in models.values()],
            rank=_placements(ranking),
            recommend=recommended,
            latency_ms=latency_ms,
            counts={
                "ranked": len(graded),
                "catalogue_items": recommender.get_status().live_count,
                "services": len(addresses),
            },
            pictures=[str(path) for path in pictures],
        )


def _rank(
    ranker: RankerClient, graded: Mapping[str, Path], answered: Callable[[], None]
) -> tuple[ranker_pb2.RankResponse, Mapping[str, float]]:
    candidates = [picture(path.read_bytes(), name) for name, path in graded.items()]
    ranker.rank(candidates)
    answered()
    ranking, times = _timed(lambda: ranker.rank(candidates))
    if len(ranking.placements) != len(candidates):
        raise CommandError(f"{len(candidates)} pictures were sent, {len(ranking.placements)} were ranked")
    console.print("\n[bold]Ranked[/bold] (names begin with the tier that each was made for)")
    print_ranking(ranking)
    return ranking, times


def _queries(questions: Questions) -> dict[str, recommender_pb2.RecommendRequest]:
    request = recommender_pb2.RecommendRequest
    return {
        "image": request(image=questions.image.read_bytes(), item_count=8),
        "item": request(items=resources_pb2.ItemIds(item_ids=[questions.item_id]), item_count=8),
        "attributes": request(attributes=write_record(questions.attributes), item_count=8),
    }


def _timed(call: Callable[[], R]) -> tuple[R, Mapping[str, float]]:
    """The first answer, and percentiles of `_REPEATS` further calls: what a warm service takes."""
    answer = call()
    times = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        call()
        times.append((time.perf_counter() - started) * 1e3)
    cuts = statistics.quantiles(times, n=20, method="inclusive")
    return answer, {"p50": round(statistics.median(times), 2), "p95": round(cuts[18], 2), "calls": _REPEATS}


def _placements(ranking: ranker_pb2.RankResponse) -> list[dict[str, Any]]:
    return [
        {"id": each.id, "place": each.place, "score": round(each.score, 4)} for each in ranking.placements
    ]


def _identity(model: types_pb2.ModelIdentity) -> dict[str, Any]:
    return {field: getattr(model, field) for field in ("name", "version", "digest", "space_id", "trained")}
