"""How well and how fast do attribute encoders train?

    python -m benchmarks.fashion_training [--quick] [--json FILE] [--photographs 1600]

Each figure is of one run on this machine, measured in a process of its own.

- reading: label files of K-Fashion's format a second, parsed into garments.
- retrieval: the drawn default set on the packaged image model; the encoder beside linear probes on the same
  vectors and beside the plain configuration at equal steps: no ties left out, core fields, no augmentation.
- training: 50 epochs on 2,000 cached garments, early stopping off, with validation, checkpoints and tracking.
- growth: an epoch with its validation on 25,000, 50,000 and 100,000 garments; what it adds to the process.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import defaults
from benchmarks.report import in_child, peak_mib, run
from model_store.store import ModelStore
from trainer.configuration import TrainingSettings
from trainer.fashion.config import FashionConfig, read_fashion_config
from trainer.fashion.data.kfashion import STYLES, load_dataset
from trainer.fashion.data.prepare import PrepareOptions
from trainer.fashion.data.prepare_kfashion import prepare_kfashion
from trainer.fashion.data.prepared_data import GarmentRecord, open_garments
from trainer.fashion.encoders import build_encoder
from trainer.fashion.evaluation.encoded import TO_IMAGE
from trainer.fashion.evaluation.report import evaluate_run
from trainer.fashion.module import EncoderModule, GarmentTensors, make_tensors
from trainer.fashion.train import train_fashion
from trainer.fashion.trained_run import open_run
from trainer.loop.checkpoints import CheckpointWriter
from trainer.loop.device import one_thread
from trainer.loop.fitting import FitSettings, Fitting
from trainer.loop.progress import bars, silent
from trainer.loop.tracking import tracking
from trainer.synthetic.kfashion import DEFAULT_PHOTOGRAPHS, DEFAULT_SEED, digest_labels, write_kfashion
from trainer.workspace import Workspace

EPOCHS, GARMENTS, GROWTH = 50, 2_000, (25_000, 50_000, 100_000)
QUICK_PHOTOGRAPHS, QUICK_EPOCHS, QUICK_GARMENTS, QUICK_GROWTH = 120, 10, 500, (2_000,)
PLAIN: dict[str, object] = {
    "training.exclude_ties": False,
    "training.field_dropout": 0.0,
    "training.unknown_rate": 0.0,
    "attributes.extended": False,
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """The size of the drawn set; --quick has its own."""
    parser.add_argument(
        "--photographs",
        type=int,
        default=DEFAULT_PHOTOGRAPHS,
        help=f"Photographs of the drawn set. Default: {DEFAULT_PHOTOGRAPHS}.",
    )


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Every figure, each in a process of its own."""
    photographs = QUICK_PHOTOGRAPHS if options.quick else options.photographs
    epochs = QUICK_EPOCHS if options.quick else EPOCHS
    return {
        "retrieval": in_child(measure_retrieval, photographs, epochs),
        "training": in_child(measure_training, QUICK_GARMENTS if options.quick else GARMENTS, epochs),
        "growth": [in_child(measure_epoch, count) for count in (QUICK_GROWTH if options.quick else GROWTH)],
    }


def measure_retrieval(photographs: int, epochs: int) -> dict[str, Any]:
    """Full-gallery figures of the default and of the plain configuration, beside the probes'."""
    with tempfile.TemporaryDirectory() as folder, bars() as progress:
        root = write_kfashion(Path(folder) / "kfashion", photographs, DEFAULT_SEED)
        data, digest = Path(folder) / "data", digest_labels(root)
        dataset = load_dataset(root, STYLES)
        started = time.perf_counter()
        parsed = sum(1 for _ in dataset.photographs())
        parsing = time.perf_counter() - started
        preparation = PrepareOptions(out=data, strict=False, seed=42, progress=progress)
        report = prepare_kfashion(dataset, read_fashion_config().attributes, preparation)
        encoders = {
            name: _judged(data, Path(folder), name, _unstopped(epochs) | overrides)
            for name, overrides in (("default", {}), ("plain", PLAIN))
        }
    return {
        "labels_sha256": digest,
        "label_files_a_second": parsed / parsing,
        "garments": report["garments"],
        **encoders,
    }


def _judged(data: Path, folder: Path, name: str, overrides: dict[str, object]) -> dict[str, Any]:
    config, garments = _opened(data, overrides)
    store = ModelStore.at(defaults.STORE)
    space = Workspace(store=store, out=folder / name, cache=folder / "cache", progress=silent)
    started = time.perf_counter()
    train_fashion(config, garments, store.resolve("fashion-image"), space)
    seconds = time.perf_counter() - started
    body = evaluate_run(open_run(space.out, store), data, space)
    gallery, agreement, probes = body["gallery"][TO_IMAGE], body["agreement"][TO_IMAGE], body["probes"]
    return {
        "gallery": gallery["gallery_size"],
        "top1": gallery["recall"]["1"],
        "top5": gallery["recall"]["5"],
        "recall@10": gallery["recall"]["10"],
        "chance@10": gallery["chance"]["10"],
        "tie_ceiling@10": gallery["tie_ceiling"]["10"],
        "in_batch_recall@10": body["in_batch"][TO_IMAGE]["recall"]["10"],
        "agreement@10": agreement["precision"]["10"],
        "agreement_chance": agreement["chance"],
        "agreement_ceiling@10": agreement["ceiling"]["10"],
        "ndcg@10": agreement["ndcg"]["10"],
        "probes_recall@10": probes["recall"]["10"],
        "probes_agreement@10": probes["agreement"]["precision"]["10"],
        "share_of_probes": probes["share"],
        "seconds": seconds,
    }


def _opened(data: Path, overrides: dict[str, object]) -> tuple[FashionConfig, tuple[GarmentRecord, ...]]:
    return open_garments(data, read_fashion_config(overrides=overrides))


def measure_training(count: int, epochs: int) -> dict[str, Any]:
    """Seconds of so many epochs with everything that a run does but the image model."""
    seconds, figures, _ = _trained(count, epochs)
    return {"garments": count, "epochs": epochs, "seconds": seconds, "final_loss": figures["train/loss"]}


def measure_epoch(count: int) -> dict[str, float]:
    """Seconds of an epoch with its validation, and the MiB that it adds beyond what it is given."""
    seconds, _, added = _trained(count, 1)
    return {"garments": count, "seconds": seconds, "added_mib": added}


def _trained(count: int, epochs: int) -> tuple[float, dict[str, float], float]:
    config = read_fashion_config(overrides=_unstopped(epochs))
    fields = config.attributes.preprocessing().fields
    cut = count * 4 // 5
    train, val = (_random_garments(size, config, seed) for seed, size in enumerate((cut, count - cut)))
    before = peak_mib()
    with tempfile.TemporaryDirectory() as folder, bars() as progress:
        keeper = CheckpointWriter(Path(folder) / "checkpoints", top=1, every=5)
        rng = torch.Generator().manual_seed(0)
        module = EncoderModule(build_encoder(fields, config.encoder), config.training, train, val, rng)
        limits = FitSettings(max_epochs=epochs, patience=epochs + 1, clip_norm=1.0)
        started = time.perf_counter()
        with tracking(TrainingSettings(wandb_project="benchmark"), Path(folder), {}) as tracker, one_thread():
            fitting = Fitting(module, keeper, {"kind": "benchmark"}, limits, standing=_standing)
            history = fitting.run(torch.device("cpu"), tracker, progress, "training")
        seconds = time.perf_counter() - started
    return seconds, history[-1], peak_mib() - before


def _standing(figures: Any) -> tuple[float, float]:
    return float(figures["val/recall@10"]), -float(figures["val/loss"])


def _random_garments(count: int, config: FashionConfig, seed: int) -> GarmentTensors:
    """Records of random words with random vectors: nothing to learn, as much to compute."""
    rng = np.random.default_rng(seed)
    preprocessing = config.attributes.preprocessing()
    records = [
        {
            field.name: tuple(str(word) for word in rng.choice(field.vocabulary, 2 if field.multiple else 1))
            for field in preprocessing.fields
        }
        for _ in range(count)
    ]
    garments = [
        GarmentRecord(
            item_id=str(n), path=Path("none"), attributes=record, group=str(n), picture_digest=f"{n:064x}"
        )
        for n, record in enumerate(records)
    ]
    vector_ND = rng.standard_normal((count, 512), dtype=np.float32)
    return make_tensors(garments, vector_ND / np.linalg.norm(vector_ND, axis=1, keepdims=True), preprocessing)


def _unstopped(epochs: int) -> dict[str, object]:
    return {
        "training.max_epochs": epochs,
        "training.early_stopping_patience": epochs + 1,
        "training.device": "cpu",
    }


if __name__ == "__main__":
    run("fashion_training", __doc__, measure, add_options)
