"""What a shop's questions cost beside a plain one, and how fast feedback is kept: `python -m benchmarks.shop`

A recommender with metrics, tokens and logs serves in a process of its own. One caller asks by item, in turns:
plainly; with diversity; with explanations; in a collection whose products have two views each, plainly; and
for new products like the bestsellers. Feedback is recorded by 16 callers, in calls of 100 events and of one.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import grpc
import numpy as np
from atelier.recommender.v1 import catalog_pb2, insight_pb2, recommender_pb2

from benchmarks.calls import CALLERS, Target, alternate
from benchmarks.recommend.process import UPSERT, Serving, publish_model, recommender
from benchmarks.recommend.workload import Workload, item_id
from benchmarks.recommend.writing import write
from benchmarks.report import Figures, run

FEEDBACK: Final = "/atelier.recommender.v1.InsightService/RecordFeedback"
BESTSELLERS: Final = "/atelier.recommender.v1.RecommenderService/RecommendFromBestsellers"
ROOT: Final = Path(__file__).resolve().parents[1]


def measure(options: argparse.Namespace) -> Figures:
    """The figures."""
    count = 4_000 if options.quick else 20_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        workload = Workload(count, publish_model(folder))
        with recommender(folder, ROOT) as serving:
            write(serving, workload.upserts(workload.vectors))
            serving.settle()
            figures: dict[str, Any] = {"items": count, "plain": _ask(serving, workload, options.quick)}
            for request in _paired(workload):
                serving.replies((request,), UPSERT)
            serving.settle()
            figures["products"] = _ask(serving, workload, options.quick)
            figures["feedback"] = _feedback(serving, options.quick)
    plain = figures["plain"]["plain"]["p50_ms"]
    figures["of_plain"] = {
        "diversity": round(figures["plain"]["diversity"]["p50_ms"] / plain, 2),
        "explanations": round(figures["plain"]["explanations"]["p50_ms"] / plain, 2),
        "products": round(figures["products"]["plain"]["p50_ms"] / plain, 2),
    }
    return figures


def _ask(serving: Serving, workload: Workload, quick: bool) -> dict[str, dict[str, float]]:
    plain = [recommender_pb2.RecommendRequest.FromString(each) for each in workload.by_item()]
    bestsellers = recommender_pb2.RecommendFromBestsellersRequest(
        items=recommender_pb2.BestsellerIds(item_ids=[item_id(number) for number in range(100)])
    )
    bestsellers.filter.released_after.seconds = 1
    targets = {
        "plain": serving.target(workload.by_item()),
        "diversity": serving.target(_varied(plain, diversity=0.3)),
        "explanations": serving.target(_varied(plain, explain=True)),
        "bestsellers": serving.target((bestsellers.SerializeToString(),), path=BESTSELLERS),
    }
    return alternate(targets, 1 if quick else 5, 1.0 if quick else 2.0)


def _varied(requests: list[recommender_pb2.RecommendRequest], **fields: Any) -> tuple[bytes, ...]:
    varied = []
    for request in requests:
        copy = recommender_pb2.RecommendRequest(**fields)
        copy.MergeFrom(request)
        varied.append(copy.SerializeToString())
    return tuple(varied)


def _paired(workload: Workload) -> Iterator[bytes]:
    """The items again, two of them views of each product."""
    for data in workload.upserts(workload.vectors):
        request = catalog_pb2.UpsertItemsRequest.FromString(data)
        for item in request.items:
            item.product_id = f"p{int(item.item_id[1:]) // 2}"
        yield request.SerializeToString()


def _feedback(serving: Serving, quick: bool) -> dict[str, float]:
    calls = 100 if quick else 500
    figures: dict[str, float] = {}
    for size, number in ((100, calls), (1, calls * 4)):
        target = serving.target(tuple(_events(number, size)), path=FEEDBACK, callers=CALLERS)
        seconds, taken = asyncio.run(_send_once(target))
        figures[f"events_a_second_by_{size}"] = round(number * size / seconds)
        figures[f"p99_ms_of_{size}"] = round(taken[len(taken) * 99 // 100], 2)
    return figures


async def _send_once(target: Target) -> tuple[float, list[float]]:
    """Seconds for all of the requests, each sent once, and the milliseconds of each call, ascending."""
    taken: list[float] = []
    numbers = iter(range(len(target.requests)))
    async with grpc.aio.insecure_channel(target.address) as channel:

        async def caller() -> None:
            for number in numbers:
                begun = time.perf_counter()
                await target.call(channel, number)
                taken.append((time.perf_counter() - begun) * 1_000)

        begun = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(target.callers)))
        return time.perf_counter() - begun, sorted(taken)


def _events(calls: int, size: int) -> Iterator[bytes]:
    rng = np.random.default_rng(3)
    for call in range(calls):
        yield insight_pb2.RecordFeedbackRequest(
            events=[
                insight_pb2.FeedbackEvent(
                    event_id=f"e{size}.{call}.{number}",
                    kind="FEEDBACK_KIND_CLICKED",
                    item_id=item_id(int(rng.integers(1_000))),
                )
                for number in range(size)
            ]
        ).SerializeToString()


if __name__ == "__main__":
    run("shop", __doc__ or "", measure)
