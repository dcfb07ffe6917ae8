"""What `Recommend` costs, finds and keeps over 100,000 × 512: `python -m benchmarks.recommend`

A recommender with metrics, tokens and logs serves in a process of its own. Beside it a bare asyncio gRPC
server takes the same request bytes and answers the same reply bytes without parsing either; both take turns
within each round, so the shares are of one run; each figure is the median of the rounds. Queries: by item,
by a vector of the items' distribution, and by a vector of another distribution in place of an encoder's
vector of attributes, so that no embedder is in the figures. Filters leave 1/2, 1/20, 1/200 of the items, and
three conditions together 1/20. Recall@10 is against exact search in this process; that of the other
distribution is also taken after the service has measured itself.

Writing: items with attributes from empty to all, by four callers of 128 a call, with 50 searches a second
from another process beside; then a burst of 16,000 bare vectors. Peers: see `benchmarks.recommend.peers`.
`--root CHECKOUT` measures the recommender of another checkout.
"""

import argparse
import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.calls import CALLERS, Target, alternate, echo
from benchmarks.recommend import peers
from benchmarks.recommend.batches import measure_batches
from benchmarks.recommend.process import UPSERT, Serving, publish_model, recommender, remove_index
from benchmarks.recommend.workload import CONDITIONS, Workload, make_vectors, numbers_of
from benchmarks.recommend.writing import searches_beside, unsearchable, write
from benchmarks.report import Figures, run

BURST = 16_000
IDLE_S = 10.0
MEASURED_S = 150.0  # the service measures once a minute


def measure(options: argparse.Namespace) -> Figures:
    """The figures of one recommender, from empty to full, read, restarted and written to again."""
    count = options.items or (10_000 if options.quick else 100_000)
    rounds = (1, 1.0) if options.quick else (3, 3.0)
    figures: dict[str, Any] = {"items": count}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True, dir=options.folder) as name:
        folder, root = Path(name), options.root.resolve()
        workload = Workload(count, publish_model(folder))
        with recommender(folder, root) as serving:
            figures["write"] = _filled(serving, workload, quick=options.quick)
            figures["memory"] = serving.memory(workload.vectors.nbytes)
            figures["recall"] = _recall(serving, workload)
            if not options.quick:
                figures["recall"]["by_vector_apart_measured"] = _measured_recall(serving, workload)
            figures["read"] = _read(serving, workload, folder, *rounds)
            figures["batch"] = measure_batches(serving, workload, *rounds)
        figures["start"] = _restarts(folder, root, workload)
        with recommender(folder, root) as serving:
            serving.settle()
            figures["write"]["burst"] = _burst(serving, workload, BURST // 10 if options.quick else BURST)
    if options.peers and not options.quick:
        figures["peers"] = peers.compare(workload, figures["read"])
    return figures


def _filled(serving: Serving, workload: Workload, *, quick: bool) -> dict[str, Any]:
    """Fill the collection and let it settle. Searches name the first items, which are there at once."""
    requests = workload.upserts(workload.vectors)
    serving.replies((requests[0],), path=UPSERT)
    first = Workload(128, workload.space_id, query_count=100).by_item()
    with searches_beside(serving, first) as beside:
        figures: dict[str, Any] = {"sustained": write(serving, requests)}
    settled_s = serving.settle()
    with searches_beside(serving, first) as idle:
        time.sleep(IDLE_S / 5 if quick else IDLE_S)
    status = serving.status()
    return figures | {
        "settled_s": settled_s,
        "segment_rows": status.segment_rows,
        "delta_rows": status.delta_rows,
        "search_idle": idle,
        "search_beside": {**beside, "p99_of_idle": round(beside["p99_ms"] / idle["p99_ms"], 2)},
    }


def _recall(serving: Serving, workload: Workload) -> dict[str, float]:
    def answered(requests: tuple[bytes, ...]) -> list[list[int]]:
        return [numbers_of(reply) for reply in serving.replies(requests)]

    by_vector = {"by_vector": workload.fresh, "by_vector_apart": workload.apart}
    by_item = {"by_item": "", **dict(zip(CONDITIONS, CONDITIONS, strict=True))}
    return {
        name: workload.recall_of_items(workload.asked, answered(workload.by_item(condition)), condition)
        for name, condition in by_item.items()
    } | {
        name: workload.recall_of_vectors(query_QD, answered(workload.by_vector(query_QD)))
        for name, query_QD in by_vector.items()
    }


def _measured_recall(serving: Serving, workload: Workload) -> float:
    """Recall of the vectors of another distribution once the service has measured it and set its effort."""
    end = time.monotonic() + MEASURED_S
    while not serving.status().recalls and time.monotonic() < end:
        time.sleep(1)
    replies = serving.replies(workload.by_vector(workload.apart))
    return workload.recall_of_vectors(workload.apart, [numbers_of(reply) for reply in replies])


def _read(serving: Serving, workload: Workload, folder: Path, rounds: int, seconds: float) -> dict[str, Any]:
    by_item = workload.by_item()
    targets = {
        "by_item_16": serving.target(by_item, callers=CALLERS),
        "by_item": serving.target(by_item),
        "by_vector": serving.target(workload.by_vector(workload.fresh)),
        "by_vector_apart": serving.target(workload.by_vector(workload.apart)),
        **{name: serving.target(workload.by_item(name)) for name in CONDITIONS},
    }
    with _echoes(serving, targets, folder) as echoes:
        medians: dict[str, Any] = alternate({**targets, **echoes}, rounds, seconds)
    for name, figures in medians.items():
        beside = medians.get(f"echo_{name}")
        if beside:
            figures["share_of_echo"] = round(figures["calls_a_second"] / beside["calls_a_second"], 3)
            figures["p50_of_echo"] = round(figures["p50_ms"] / beside["p50_ms"], 2)
        if name in CONDITIONS:
            figures["p50_of_plain"] = round(figures["p50_ms"] / medians["by_item"]["p50_ms"], 2)
    return medians


@contextlib.contextmanager
def _echoes(serving: Serving, targets: dict[str, Target], folder: Path) -> Iterator[dict[str, Target]]:
    """The echo of the queries by item, at one and at 16 callers."""
    (folder / "replies").mkdir()
    [reply] = serving.replies(targets["by_item"].requests[:1])
    (folder / "replies" / "item").write_bytes(reply)
    with echo(folder / "replies") as (pid, address):
        yield {
            f"echo_{name}": Target(
                address=address,
                path="/echo/item",
                requests=targets[name].requests,
                processes=(pid,),
                callers=targets[name].callers,
            )
            for name in ("by_item_16", "by_item")
        }


def _restarts(folder: Path, root: Path, workload: Workload) -> dict[str, float]:
    """Seconds to the first answer of Recommend: from the index's files, and from the catalog alone."""
    first = workload.by_item()[0]
    with recommender(folder, root, first) as serving:
        from_files_s = serving.start_s
    remove_index(folder)
    with recommender(folder, root, first) as serving:
        from_catalog_s = serving.start_s
        serving.settle()
    return {"from_files_s": from_files_s, "from_catalog_s": from_catalog_s}


def _burst(serving: Serving, workload: Workload, count: int) -> dict[str, Any]:
    vector_ND = make_vectors(count, seed=11)
    requests = workload.upserts(vector_ND, first=workload.count, attributes=False)
    figures: dict[str, Any] = write(serving, requests)
    return {**figures, "not_searchable": unsearchable(serving, workload, vector_ND, workload.count)}


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--items", type=int, help="Items of the collection. Default: 100,000; quick: 10,000.")
    parser.add_argument(
        "--root", type=Path, default=Path.cwd(), help="Checkout to measure. Default: this one.", metavar="DIR"
    )
    parser.add_argument(
        "--folder", type=Path, help="Where the catalog lies meanwhile. Default: a temporary one."
    )
    parser.add_argument("--no-peers", dest="peers", action="store_false", help="Leave the other engines out.")


if __name__ == "__main__":
    run("recommend", __doc__, measure, _options)
