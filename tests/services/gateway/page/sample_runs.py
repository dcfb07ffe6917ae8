"""Training runs as trainers leave them, with made-up curves: two to compare, an artwork run, a failed one."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from dashboard.document import (
    AugmentedSample,
    CategorySearches,
    Headline,
    Hyperparameters,
    ItemCounts,
    NormFigures,
    ReliabilityFigures,
    SearchExample,
    SearchMatch,
    SearchQuery,
    SimilarityFigures,
    TopImages,
    TuningSummary,
    TuningTrial,
)
from dashboard.recorder import RunRecorder, recording

DONE = "fashion/2026-11-20"
OTHER = "fashion/2026-11-18"
ARTWORK = "artwork/2026-11-16"
FAILED = "artwork/2026-11-15"
EPOCHS = 60
_SETTINGS = {"fit.max_epochs": EPOCHS, "fit.batch_size": 64, "loss.temperature": 0.1, "seed": 42}


def write_runs(folder: Path, garments: Sequence[Path]) -> None:
    """Write the runs below a folder, the one in full last, so that it comes first in lists."""
    failure = FileNotFoundError("metadata.csv: row 17 names a picture that is missing")
    with recording(folder / FAILED, "artwork", {"seed": 42, "fit.max_epochs": 100}) as failed:
        failed.begin("reading", 100)
    failed.end(failure)
    with recording(folder / ARTWORK, "artwork", {"seed": 42, "fit.max_epochs": 20}) as artwork:
        _judge(artwork)
    with recording(folder / OTHER, "fashion", {**_SETTINGS, "optimizer.learning_rate": 3e-4}) as other:
        _train(other, rate=3e-4, speed=9.0)
    with recording(folder / DONE, "fashion", {**_SETTINGS, "optimizer.learning_rate": 1e-4}) as run:
        _train(run, rate=1e-4, speed=14.0)
        _illustrate(run, garments)


def _train(run: RunRecorder, *, rate: float, speed: float) -> None:
    rng = np.random.default_rng(42)
    counts = ItemCounts(
        items=1_840,
        parts={"train": 1_288, "val": 184, "test": 368},
        categories={"레트로": 702, "로맨틱": 640, "리조트": 498},
    )
    run.begin("stage 2", EPOCHS, counts)
    for epoch in range(1, EPOCHS + 1):
        left = float(np.exp(-epoch / speed))
        noise = float(rng.normal(0, 0.02))
        values = {
            "train_loss": 0.9 + 3.1 * left,
            "val_loss": 1.1 + 2.9 * left + noise,
            "learning_rate": rate * (1 + np.cos(np.pi * epoch / EPOCHS)) / 2,
            "norm_mean": 1.0,
            "positive_similarity": 0.74 - 0.6 * left,
            "negative_similarity": 0.08 + 0.2 * left,
            "top_1": 0.46 * (1 - left) + noise / 4,
            "top_5": 0.83 * (1 - left) + noise / 4,
        }
        run.record(epoch, values, Headline(name="top_5", value=values["top_5"]))
    run.show(
        metrics={"top_1": 0.46, "top_5": 0.83, "mrr": 0.612},
        similarity=SimilarityFigures(positive=0.74, negative=0.08),
        norm=NormFigures(mean=1.0, std=2e-7, min=1.0, max=1.0, state="unit"),
        breakdowns={"top_5_by_category": {"레트로": 0.86, "로맨틱": 0.81, "리조트": 0.82}},
    )


def _judge(run: RunRecorder) -> None:
    counts = ItemCounts(items=960, categories={"S": 240, "A": 240, "B": 240, "C": 240})
    run.begin("fit", 20, counts)
    for epoch in range(1, 21):
        loss = 0.1 + 0.9 * float(np.exp(-epoch / 4))
        run.record(
            epoch, {"train_loss": loss, "val_loss": loss * 1.1}, Headline(name="val/accuracy", value=0.91)
        )
    stated = [0.55, 0.65, 0.75, 0.85, 0.95]
    run.show(
        metrics={"pair_accuracy": 0.91},
        breakdowns={"pair_accuracy_by_gap": {"S-A": 0.82, "S-B": 0.93, "S-C": 0.99}},
        calibration=ReliabilityFigures(
            temperature=2.4, error=0.025, stated=stated, actual=[0.53, 0.66, 0.78, 0.86, 0.97], count=[90] * 5
        ),
    )


def _illustrate(run: RunRecorder, garments: Sequence[Path]) -> None:
    kept = [run.keep_picture(_webp(Image.open(path)), ".webp") for path in garments[:24]]
    categories = [
        CategorySearches(category=name, queries=[_search(name, kept[start : start + 7])])
        for start, name in ((0, "레트로"), (7, "로맨틱"), (14, "리조트"))
    ]
    trials = [
        TuningTrial(
            number=number,
            phase="1",
            state="pruned" if number % 4 == 3 else "finished",
            value=None if number % 4 == 3 else 0.70 + 0.012 * number,
            settings={"fit.batch_size": (64, 96, 128)[number % 3], "loss.temperature": 0.07},
        )
        for number in range(8)
    ]
    run.show_part(
        top_k_images=TopImages(epoch=EPOCHS, categories=categories),
        augmented_samples=[_augmented(run, path, kept[place]) for place, path in enumerate(garments[:4])],
        hyperparams=Hyperparameters(
            settings={**_SETTINGS, "optimizer.learning_rate": 1e-4},
            tuning=TuningSummary(objective="top_5", best=trials[6], trials=trials),
        ),
    )


def _search(category: str, pictures: Sequence[str]) -> SearchExample:
    query = SearchQuery(
        label=f"{category} #1",
        image=pictures[0],
        attributes={"category": ["스커트"], "colour": ["블루"]},
    )
    results = [
        SearchMatch(
            item_id=f"garment-{place:05d}", image=name, score=0.93 - 0.05 * place, is_match=place == 1
        )
        for place, name in enumerate(pictures[1:], start=0)
    ]
    return SearchExample(query=query, results=results)


def _augmented(run: RunRecorder, path: Path, original: str) -> AugmentedSample:
    turned = ImageOps.mirror(Image.open(path).convert("RGB")).rotate(9, fillcolor=(244, 240, 232))
    changed = ImageEnhance.Brightness(turned).enhance(1.12)
    return AugmentedSample(
        image=run.keep_picture(_webp(changed), ".webp"),
        original_image=original,
        attributes={"category": ["스커트"]},
        original_attributes={"category": ["스커트"], "colour": ["블루"]},
        note="flip, rotation 9°, brightness ×1.12, field dropout",
    )


def _webp(picture: Image.Image) -> bytes:
    stream = BytesIO()
    picture.convert("RGB").save(stream, "WEBP", quality=80)
    return stream.getvalue()
