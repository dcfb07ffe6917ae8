"""`BatchRecommend` beside the bare library with as many threads, in turn."""

import asyncio
import os
import statistics
import time
from typing import Any

import hnswlib
import numpy as np
from atelier.recommender.v1 import recommender_pb2

from benchmarks.calls import call_for
from benchmarks.recommend.engines import EF, EF_CONSTRUCTION, NEAREST, M
from benchmarks.recommend.process import Serving
from benchmarks.recommend.workload import DIMENSION, Workload

BATCH_RECOMMEND = "/atelier.recommender.v1.RecommenderService/BatchRecommend"
BATCH = 64


def measure_batches(serving: Serving, workload: Workload, rounds: int, seconds: float) -> dict[str, Any]:
    """Queries a second in calls of 64 by one caller, and of the bare library in batches of 64 with a thread
    for each core."""
    requests = _batches(workload.by_item())
    target = serving.target(requests, path=BATCH_RECOMMEND)
    recall = _recall(serving, workload, requests)
    index = hnswlib.Index("cosine", DIMENSION)
    index.init_index(workload.count, M=M, ef_construction=EF_CONSTRUCTION)
    index.add_items(workload.vectors)
    index.set_ef(EF)
    ours, bare = list[float](), list[float]()
    for _ in range(rounds):
        ours.append(len(asyncio.run(call_for(target, seconds))) * BATCH / seconds)
        bare.append(_bare_rate(index, workload.vectors[workload.asked], seconds))
    rate, bare_rate = statistics.median(ours), statistics.median(bare)
    return {
        "queries_a_second": round(rate),
        "hnswlib_queries_a_second": round(bare_rate),
        "share_of_hnswlib": round(rate / bare_rate, 3),
        "recall": recall,
    }


def _batches(requests: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """The requests in whole batches."""
    read = [recommender_pb2.RecommendRequest.FromString(request) for request in requests]
    return tuple(
        recommender_pb2.BatchRecommendRequest(requests=read[start : start + BATCH]).SerializeToString()
        for start in range(0, len(read) - BATCH + 1, BATCH)
    )


def _recall(serving: Serving, workload: Workload, requests: tuple[bytes, ...]) -> float:
    numbers = [
        [int(each.item.item_id[1:]) for each in result.answer.recommendations]
        for reply in serving.replies(requests, BATCH_RECOMMEND)
        for result in recommender_pb2.BatchRecommendResponse.FromString(reply).results
    ]
    asked = workload.asked[: len(numbers)]
    return workload.recall_of_items(asked, numbers)


def _bare_rate(index: Any, query_QD: np.ndarray, seconds: float) -> float:
    begun, count = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        index.knn_query(query_QD[:BATCH], k=NEAREST, num_threads=os.cpu_count())
        count += BATCH
    return count / (time.perf_counter() - begun)
