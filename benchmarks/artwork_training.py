"""How fast does an artwork head train?

    python -m benchmarks.artwork_training [--quick] [--json FILE] [--images 10000] [--epochs 100]

Each figure is of one run on this machine, in a process of its own; random features stand in for pictures,
since nothing here looks at them.

- pairs: every cross-tier pair of the pictures, as three arrays, beside a loop over all pairs of a tenth.
- training: 100 epochs of 32 pictures a batch, early stopping off, with validation, checkpoints and tracking.
- epoch: one epoch over cached features, beside a loop that sends both pictures of each pair through the
  backbone. The backbone is a small DINOv2 of random weights: the ratio is a lower bound for a larger one.
- rescoring: a new head over 100,000 features.
- memory: what pairs, a split and an epoch of 100,000 pictures add to the process.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.report import in_child, peak_mib, run
from trainer.artwork.batches import InBatchPairs, pair_loss
from trainer.artwork.config import ArtworkConfig, read_artwork_config
from trainer.artwork.data.pairs import generate_pairs
from trainer.artwork.head_checkpoint import fresh_judge, judge_features
from trainer.artwork.model import PairwiseRankingModel
from trainer.artwork.module import Graded, open_fitting
from trainer.configuration import TrainingSettings
from trainer.loop.checkpoints import CheckpointWriter
from trainer.loop.device import one_thread
from trainer.loop.progress import bars
from trainer.loop.tracking import tracking

DIMENSION, BATCH, TIERS = 1024, 32, 4
LOOP_PAIRS = 64
QUICK_IMAGES, QUICK_EPOCHS, QUICK_FEATURES = 2_000, 5, 20_000
FEATURES = 100_000


def add_options(parser: argparse.ArgumentParser) -> None:
    """The sizes of a full run; --quick has its own."""
    parser.add_argument("--images", type=int, default=10_000, help="Pictures to train on. Default: 10000.")
    parser.add_argument("--epochs", type=int, default=100, help="Epochs of the whole run. Default: 100.")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Every figure, each in a process of its own; quick ones in this process, without the memory."""
    if options.quick:
        return {
            "pairs": measure_pairs(QUICK_IMAGES),
            "rescoring": measure_rescoring(QUICK_FEATURES),
            "epoch": measure_epoch(QUICK_IMAGES),
            "training": measure_training(QUICK_IMAGES, QUICK_EPOCHS),
        }
    return {
        "pairs": in_child(measure_pairs, options.images),
        "rescoring": in_child(measure_rescoring, FEATURES),
        "epoch": in_child(measure_epoch, options.images),
        "training": in_child(measure_training, options.images, options.epochs),
        "memory": in_child(measure_memory, FEATURES),
    }


def measure_pairs(images: int) -> dict[str, float]:
    """Seconds for all pairs, and what a loop takes: measured on a tenth of the pictures, scaled to all."""
    rank_N = _ranks(images)
    seconds, pairs = _timed(lambda: generate_pairs(rank_N))
    few = rank_N[: images // 10].tolist()

    def loop() -> list[tuple[int, int, int]]:
        return [(i, j, 1 if a > b else -1) for (i, a), (j, b) in combinations(enumerate(few), 2) if a != b]

    looped, _ = _timed(loop)
    return {"images": images, "pairs": len(pairs), "seconds": seconds, "loop_seconds": looped * 100}


def measure_rescoring(features: int) -> dict[str, float]:
    """Seconds for a new head over so many features."""
    feature_ND = np.random.default_rng(0).standard_normal((features, DIMENSION), dtype=np.float32)
    judge = fresh_judge(read_artwork_config(), DIMENSION)
    seconds, _ = _timed(lambda: judge_features(judge, feature_ND))
    return {"features": len(feature_ND), "seconds": seconds}


def measure_epoch(images: int) -> dict[str, float]:
    """One epoch over features, beside a loop that sends both pictures of each pair through the backbone."""
    from pretraining import artwork_backbone
    from pretraining.config import read_pretraining_settings

    rank_N = torch.from_numpy(_ranks(images))
    feature_ND = torch.randn(images, DIMENSION)
    model = PairwiseRankingModel.build(DIMENSION, read_artwork_config().head)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def step(score_B: torch.Tensor, better_P: torch.Tensor, worse_P: torch.Tensor) -> None:
        optimizer.zero_grad()
        loss = pair_loss(score_B, better_P, worse_P, 1.0)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    def epoch() -> int:
        pair_count = 0
        for batch in InBatchPairs(rank_N, BATCH, 0):
            step(model.forward_single(feature_ND[batch.picture_B])[1], batch.better_P, batch.worse_P)
            pair_count += len(batch.better_P)
        return pair_count

    seconds, pairs = _timed(epoch)
    settings = read_pretraining_settings().artwork
    backbone = artwork_backbone.build(settings).eval()
    image_PCHW = torch.randn(2 * LOOP_PAIRS, 3, settings.size, settings.size)
    widen = torch.nn.Linear(settings.hidden, DIMENSION)

    def pair_by_pair() -> None:
        for start in range(0, len(image_PCHW), 2 * BATCH):
            with torch.no_grad():
                cls_B = backbone(pixel_values=image_PCHW[start : start + 2 * BATCH]).last_hidden_state[:, 0]
            score_B = model.forward_single(widen(cls_B))[1]
            half = len(score_B) // 2
            step(score_B, torch.arange(half), torch.arange(half, 2 * half))

    some, _ = _timed(pair_by_pair)
    of_all = some / LOOP_PAIRS * pairs
    return {"seconds": seconds, "pairs": pairs, "pair_by_pair_seconds": of_all, "ratio": of_all / seconds}


def measure_training(images: int, epochs: int) -> dict[str, Any]:
    """Seconds of a whole run: validation after every epoch, checkpoints, tracking."""
    config = _unstopped(epochs)
    feature_ND = torch.randn(images, DIMENSION)
    rank_N = torch.from_numpy(_ranks(images))
    cut = images * 8 // 9
    train, val = (
        Graded(feature_NVD=feature_ND[part, None], rank_N=rank_N[part])
        for part in (slice(0, cut), slice(cut, images))
    )
    with tempfile.TemporaryDirectory() as folder, bars() as progress:
        keeper = CheckpointWriter(Path(folder) / "checkpoints", top=3, every=5)
        started = time.perf_counter()
        with tracking(TrainingSettings(wandb_project="benchmark"), Path(folder), {}) as tracker, one_thread():
            header = {"kind": "artwork-head", "input_dim": DIMENSION, "config": {}}
            fitting = open_fitting(config, train, val, keeper, header)
            history = fitting.run(torch.device("cpu"), tracker, progress, "training")
        seconds = time.perf_counter() - started
    return {"train": cut, "val": images - cut, "epochs": len(history), "seconds": seconds}


def measure_memory(images: int) -> dict[str, float]:
    """MiB beyond the features themselves that an epoch with its figures takes at most."""
    rank_N = torch.from_numpy(_ranks(images))
    train = Graded(feature_NVD=torch.randn(images * 8 // 9, 1, 256), rank_N=rank_N[: images * 8 // 9])
    val = Graded(feature_NVD=torch.randn(images // 9, 1, 256), rank_N=rank_N[: images // 9])
    before = peak_mib()
    with tempfile.TemporaryDirectory() as folder, bars() as progress:
        keeper = CheckpointWriter(Path(folder) / "checkpoints", top=1, every=1)
        with tracking(TrainingSettings(wandb_project="benchmark"), Path(folder), {}) as tracker, one_thread():
            header = {"kind": "artwork-head", "input_dim": 256, "config": {}}
            fitting = open_fitting(_unstopped(1), train, val, keeper, header)
            fitting.run(torch.device("cpu"), tracker, progress, "training")
    return {"images": images, "added_mib": peak_mib() - before}


def _unstopped(epochs: int) -> ArtworkConfig:
    overrides = {
        "training.max_epochs": epochs,
        "training.early_stopping_patience": epochs + 1,
        "training.scheduler_t_max": epochs + 1,
        "training.device": "cpu",
    }
    return read_artwork_config(overrides=overrides)


def _ranks(images: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, TIERS, images)


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


if __name__ == "__main__":
    run("artwork_training", __doc__, measure, add_options)
