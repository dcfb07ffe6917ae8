"""Whether results belong together, and differ, on real photographs:
`python -m benchmarks.variety --photographs DIR`

DIR holds `images.csv`, with the columns image, sender_id and label, and the photographs in `images`. Those of
senders that the packaged image model was not trained on are embedded by it, and each asks for ten others of
other senders. Agreement is the share of results with the query's label: with each strength of diversity, of
plain cosine, and by chance. Likeness is the mean cosine between two results of an answer. Times are of the
search alone, in this process; those of 0 are of the plain flow.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.report import Figures, Skipped, add_photographs, run
from model_store.store import ModelStore
from pretraining.benchmark import leakage_warnings, open_encoder
from pretraining.corpus import decode_photographs
from pretraining.photographs import read_photographs, split_photographs
from services.recommender.catalog.items import Item
from services.recommender.catalog.log import Snapshot
from services.recommender.recommend.aim import Aim
from services.recommender.recommend.effort import EffortTable
from services.recommender.recommend.explanation import explain
from services.recommender.recommend.query import ItemIds, QueryKind, Question, blend
from services.recommender.recommend.search import Searcher, SearchTarget
from services.recommender.view.view import CatalogView
from services.recommender.wire.items import MESSAGES
from trainer.loop.progress import silent
from vector_index.files import IndexIdentity, SegmentDirectory
from vector_index.protocol import Filter
from vector_index.segmented import SegmentedIndex
from vector_index.view import SegmentedView

VARIABLE: Final = "ATELIER_TEST_PHOTOGRAPHS"
DEFAULTS: Final = Path(__file__).resolve().parents[1] / "defaults" / "model-store"
STRENGTHS: Final = (0.0, 0.3, 0.5)
COUNT: Final = 10
# Of the split with which the packaged models were made.
SPLIT_SEED: Final = 42


def measure(options: argparse.Namespace) -> Figures:
    """The figures. Raises Skipped: without photographs."""
    if options.photographs is None:
        raise Skipped(f"no photographs: give --photographs DIR or set {VARIABLE}")
    version = ModelStore.at(DEFAULTS).resolve("fashion-image")
    folder = options.photographs
    everything = read_photographs(folder / "images.csv", folder / "images")
    for warning in leakage_warnings(version, everything, SPLIT_SEED):
        print(f"warning: {warning}")
    photographs = [each for each in split_photographs(everything, SPLIT_SEED).test if each.label]
    photographs = photographs[:: 4 if options.quick else 1]
    encode, size = open_encoder(version)
    vector_ND = encode(decode_photographs(photographs, (), size, silent).image_NSSC)
    labels = np.array([each.label for each in photographs])
    senders = np.array([each.sender for each in photographs])
    with tempfile.TemporaryDirectory() as folder:
        index = _index(Path(folder), vector_ND, labels)
        try:
            return _measure(index.view(), vector_ND, labels, senders)
        finally:
            index.close()


def _index(folder: Path, vector_ND: np.ndarray, labels: np.ndarray) -> SegmentedIndex:
    """The photographs as a catalog."""
    items = [
        Item(
            item_id=f"i{number}",
            attributes={"label": [str(labels[number])]},
            released_us=0,
            in_stock=True,
            picture_digest="",
            source=f"v:{number}",
            label=number + 1,
            revision=number + 1,
        )
        for number in range(len(vector_ND))
    ]
    files = SegmentDirectory(
        folder, identity=IndexIdentity(catalogue_id="c", space="s"), dimension=vector_ND.shape[1]
    )
    index = SegmentedIndex(files)
    view = CatalogView.of(Snapshot(revision=len(items), generation=0, items=items), MESSAGES)
    index.update(np.arange(1, len(items) + 1), vector_ND, revision=len(items), attached=view)
    index.settle()
    return index


def _measure(
    view: SegmentedView, vector_ND: np.ndarray, labels: np.ndarray, senders: np.ndarray
) -> dict[str, Any]:
    searcher = Searcher(EffortTable())
    unit_ND = vector_ND / np.linalg.norm(vector_ND, axis=1, keepdims=True)
    figures: dict[str, Any] = {"photographs": len(labels), "chance": _chance(labels)}
    figures["plain_cosine"] = {"agreement": _agreement(_nearest(unit_ND, senders), labels)}
    for strength in STRENGTHS:
        answers, elapsed = [], []
        for number, direction_D in enumerate(unit_ND.astype(np.float64)):
            target = SearchTarget(
                direction_D=direction_D,
                count=COUNT,
                kind=QueryKind.ITEMS,
                conditions=Filter(),
                left_out=np.flatnonzero(senders == senders[number]) + 1,
                diversity=strength,
            )
            started = time.perf_counter()
            answers.append(searcher.search(view, target).labels - 1)
            elapsed.append(time.perf_counter() - started)
        figures[f"diversity_{strength:g}"] = {
            "agreement": _agreement(answers, labels),
            "likeness": float(np.mean([_likeness(unit_ND[answer]) for answer in answers])),
            "p50_us": float(np.median(elapsed) * 1e6),
        }
    figures["explanations_off_by"] = _explanations_off_by(view, searcher, unit_ND)
    return figures


def _nearest(unit_ND: np.ndarray, senders: np.ndarray) -> list[np.ndarray]:
    """The ten nearest photographs of other senders, several of one sender among them."""
    nearest = []
    for number, unit_D in enumerate(unit_ND):
        similarity_N = unit_ND @ unit_D
        similarity_N[senders == senders[number]] = -2
        nearest.append(np.argsort(-similarity_N)[:COUNT])
    return nearest


def _agreement(answers: list[np.ndarray], labels: np.ndarray) -> float:
    return float(
        np.mean([(labels[answer] == labels[number]).mean() for number, answer in enumerate(answers)])
    )


def _chance(labels: np.ndarray) -> float:
    """The agreement of answers drawn at random."""
    _, counts = np.unique(labels, return_counts=True)
    return float((counts * (counts - 1)).sum() / (len(labels) * (len(labels) - 1)))


def _likeness(unit_KD: np.ndarray) -> float:
    cosine_KK = unit_KD @ unit_KD.T
    return float(cosine_KK[np.triu_indices(len(unit_KD), 1)].mean())


def _explanations_off_by(view: SegmentedView, searcher: Searcher, unit_ND: np.ndarray) -> float:
    """The greatest difference between a similarity and the sum of its shares."""
    worst = 0.0
    for number in range(min(100, len(unit_ND))):
        question = Question(query=ItemIds(item_ids=(f"i{number}",)), explain=True)
        target = SearchTarget(
            direction_D=unit_ND[number].astype(np.float64),
            count=COUNT,
            kind=QueryKind.ITEMS,
            conditions=Filter(),
            left_out=np.array([number + 1]),
        )
        neighbours = searcher.search(view, target)
        aim = Aim(
            question=question,
            target=target,
            outcomes=[unit_ND[number]],
            blend=blend([unit_ND[number]], ()),
            errors={},
            schema=None,
        )
        explained = explain(aim, neighbours, view)
        sums = np.array([sum(each.shares) for each in explained])
        worst = max(worst, float(np.abs(sums - neighbours.similarities).max()))
    return worst


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_photographs(parser, VARIABLE, "images.csv")


if __name__ == "__main__":
    run("variety", __doc__ or "", measure, _add_options)
