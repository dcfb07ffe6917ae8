"""Whether the first stage helps: the second stage again without it, and the retrieval of both (F-9).

Shapes: N garments.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from model_store.store import Version
from trainer.configuration import change_settings
from trainer.fashion.config import FashionConfig
from trainer.fashion.data.prepared_data import GarmentRecord
from trainer.fashion.data.splits import split_records
from trainer.fashion.evaluation.retrieval import Standings, rank_own
from trainer.fashion.train import RESULTS, train_fashion
from trainer.fashion.trained_run import open_run
from trainer.reports.bootstrap import difference_interval
from trainer.reports.json_report import write_report
from trainer.workspace import Workspace

ABLATION_FOLDER, ABLATION_FILE = "ablation", "ablation.json"


def ablate_standalone(
    config: FashionConfig, garments: tuple[GarmentRecord, ...], image: Version, space: Workspace
) -> dict[str, Any]:
    """Train without the first stage under `ablation/`; both runs' figures on the test garments.

    The run with it is the run in the folder of the space. The intervals are of the difference, drawing
    photographs and looks; the verdict is whether that of MRR excludes 0. Writes `results/ablation.json`.
    """
    without = replace(space, out=space.out / ABLATION_FOLDER)
    plain = change_settings(config, {"training.standalone_epochs": 0})
    train_fashion(plain, garments, image, without, overwrite=True)
    one, groups = _standings(config, garments, space)
    other, _ = _standings(config, garments, without)
    figures = {
        "recall@1": _compare(one.hits(1), other.hits(1), groups),
        "recall@10": _compare(one.hits(10), other.hits(10), groups),
        "mrr": _compare(one.reciprocals(), other.reciprocals(), groups),
    }
    low, high = figures["mrr"]["low"], figures["mrr"]["high"]
    body = {
        "standalone_epochs": config.training.standalone_epochs,
        "epochs": config.training.max_epochs,
        "garments": len(groups),
        "figures": figures,
        "verdict": "yes" if low > 0 else "no, it harms" if high < 0 else "not told apart from chance",
    }
    return write_report(space.out / RESULTS / ABLATION_FILE, body)


def _standings(
    config: FashionConfig, garments: tuple[GarmentRecord, ...], space: Workspace
) -> tuple[Standings, tuple[str, ...]]:
    run = open_run(space.out, space.store)
    split = split_records(garments, config.training.seed, config.split)
    encoded = run.encode_garments(split.test or split.val, space)
    return rank_own(encoded.record_ND, encoded.picture_ND), encoded.groups


def _compare(one_N: np.ndarray, other_N: np.ndarray, groups: tuple[str, ...]) -> dict[str, float]:
    low, high = difference_interval(one_N, other_N, groups)
    return {"with": float(one_N.mean()), "without": float(other_N.mean()), "low": low, "high": high}
