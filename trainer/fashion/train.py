"""Training of an attribute encoder against vectors of the published image model (F-9, F-10, F-13, F-22)."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from model_store.store import Version
from trainer.configuration import change_settings
from trainer.fashion.augmentation.records import RecordVariants
from trainer.fashion.augmentation.sample_sheet import SAMPLES, draw_samples
from trainer.fashion.augmentation.views import encode_views
from trainer.fashion.config import FashionConfig, read_encoder_settings
from trainer.fashion.data.prepared_data import (
    GarmentRecord,
    GarmentSplit,
    data_version,
    open_garments,
    split_records,
)
from trainer.fashion.encoders import build_encoder, encode_tensors, restore_encoder
from trainer.fashion.evaluation.retrieval import evaluate_in_batch, evaluate_retrieval
from trainer.fashion.module import EncoderModule, GarmentTensors, Stage, make_tensors
from trainer.features import vectors_of_files
from trainer.loop.checkpoints import BEST, CheckpointKeeper, CheckpointWriter, LastCheckpoint, load_checkpoint
from trainer.loop.device import choose_device
from trainer.loop.fitting import FitSettings, Fitting
from trainer.loop.progress import Progress
from trainer.loop.tracking import Tracker
from trainer.loop.training_run import TrainingRun, settings_by_name
from trainer.reports.charts import new_figure, save_figure
from trainer.reports.json_report import write_report
from trainer.workspace import Workspace

KIND = "fashion-attributes"
CHECKPOINTS, RESULTS, LOGS = "checkpoints", "results", "logs"
RESULTS_FILE, SUMMARY_FILE = "training_results.json", "training_summary.json"
CHARTS_FILE = "training_charts.png"
STANDALONE: Stage = "standalone"
CONTRASTIVE: Stage = "contrastive"
HEADLINE = "val/recall@10"
# What each chart of the training draws: label and figure of its lines.
_CHARTS = {
    "loss": {"train": "train/loss", "validation": "val/loss"},
    "found among the first, whole gallery": {"first": "val/recall@1", "first five": "val/recall@5"},
    "similarity": {"own picture": "val/positive_similarity", "other pictures": "val/negative_similarity"},
    "learning rate": {"": "train/lr"},
}
# A quick run: enough to see every step work, in half a minute on the CPU.
GARMENTS, EPOCHS, BATCH_SIZE = 64, 2, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class FashionReport:
    """What a run made: the checkpoint to publish and how good it is; `body` is `training_results.json`."""

    checkpoint: Path
    body: dict[str, Any]

    @property
    def recall_at_10(self) -> float:
        """Full-gallery Recall@10 on the validation split, in [0, 1]; chance and ceiling are in `body`."""
        return float(self.body["val"]["recall"]["10"])


def train_fashion(
    config: FashionConfig,
    garments: tuple[GarmentRecord, ...],
    image: Version,
    space: Workspace,
    *,
    resume: bool = False,
) -> FashionReport:
    """Train an attribute encoder; what it leaves behind lies under `space.out`.

    Writes `checkpoints/`, `results/` (figures, summary, charts, samples) and `logs/` (TensorBoard). The same
    arguments give the same weights on the CPU, and so does a run that was killed and resumed at any moment.
    Raises InvalidData: when the garments cannot be split or their pictures not be read.
    Raises InvalidCheckpoint: when there is nothing to resume, or it was another run's. Raises FolderInUse:
    when another run is in it.
    """
    folder, settings = space.out / CHECKPOINTS, config.training
    run = TrainingRun(
        folder=space.out,
        checkpoints=folder,
        training=settings,
        header=checkpoint_header(config, garments, image),
        identity=("data_version", "space_id", "preprocessing"),
        deciding=_deciding,
    )
    with run.claim(resume) as last:
        started = time.monotonic()
        split = split_records(garments, settings.seed)
        train, val = open_parts(config, split, image, space)
        training = EncoderTraining(
            config=config,
            train=train,
            val=val,
            keep=lambda stage, every: CheckpointWriter(
                folder / ("" if stage == CONTRASTIVE else stage), top=1, every=every
            ),
            progress=space.progress,
        )
        next_step = 0 if last is None else int(last.body["epoch"]) + settings.standalone_epochs + 1
        with run.track(last, next_step=next_step, events=space.out / LOGS) as tracker:
            history = training.fit(tracker, {**run.header, "wandb_run": tracker.run_id}, last)
        best = load_checkpoint(folder / BEST, KIND)
        body = {
            "image": {"version": str(image), "space_id": image.space_id},
            "split": {"train": len(split.train), "val": len(split.val), "seed": settings.seed},
            "epochs": history,
            **_measure(best, val),
            "config": config.model_dump(mode="json", exclude={"attributes"}),
            "data_version": best["data_version"],
            "wandb_run": best["wandb_run"],
            "seconds": round(time.monotonic() - started, 2),
        }
        results = space.out / RESULTS
        _draw_history(results / CHARTS_FILE, history)
        write_report(results / SUMMARY_FILE, _summary(body))
        return FashionReport(checkpoint=folder / BEST, body=write_report(results / RESULTS_FILE, body))


def open_parts(
    config: FashionConfig, split: GarmentSplit, image: Version, space: Workspace
) -> tuple[GarmentTensors, GarmentTensors]:
    """The garments to train on and those to validate on, with their vectors."""
    members, cut = (*split.train, *split.val), len(split.train)
    vector_ND = vectors_of_files([g.path for g in members], image, space, "fashion vectors")
    settings, preprocessing = config.augmentation, config.attributes.preprocessing()
    if settings.views:
        draw_samples(split.train, config, space.out / SAMPLES)
    views = encode_views(split.train, vector_ND[:cut], settings, image, space)
    return (
        make_tensors(split.train, vector_ND[:cut], preprocessing, views),
        make_tensors(split.val, vector_ND[cut:], preprocessing),
    )


def checkpoint_header(
    config: FashionConfig, garments: tuple[GarmentRecord, ...], image: Version
) -> dict[str, Any]:
    """What every checkpoint of a run states beside its weights and figures."""
    return {
        "kind": KIND,
        "config": config.model_dump(mode="json"),
        "preprocessing": config.attributes.preprocessing().model_dump(mode="json"),
        "space_id": image.space_id,
        "data_version": data_version(garments),
        "seed": config.training.seed,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderTraining:
    """Both stages of one training. `keep` gives the keeper of a stage and of how many epochs it keeps one."""

    config: FashionConfig
    train: GarmentTensors
    val: GarmentTensors
    keep: Callable[[Stage, int], CheckpointKeeper]
    progress: Progress

    def fit(
        self, tracker: Tracker, header: Mapping[str, Any], last: LastCheckpoint | None = None
    ) -> list[dict[str, float]]:
        """The figures of each epoch of the second stage; the first is trained only by a new run."""
        settings = self.config.training
        device = choose_device(settings.device)
        torch.manual_seed(settings.seed)
        rng = torch.Generator().manual_seed(settings.seed)
        encoder = build_encoder(self.config.attributes.preprocessing().fields, self.config.encoder)
        variants = RecordVariants(self.config.augmentation, self.config.attributes, self.train.tensors)
        standalone, contrastive = (
            self._fitting(
                EncoderModule(encoder, settings, self.train, self.val, rng, stage, variants), header
            )
            for stage in (STANDALONE, CONTRASTIVE)
        )
        contrastive.begin(last)
        if last is None and settings.standalone_epochs:
            standalone.begin()
            standalone.run(device, tracker, self.progress, "fashion, standalone")
        return contrastive.run(device, tracker, self.progress, "fashion training")

    def _fitting(self, module: EncoderModule, header: Mapping[str, Any]) -> Fitting:
        settings, alone = self.config.training, module.stage == STANDALONE
        every = settings.standalone_epochs if alone else settings.save_every_n_epochs
        return Fitting(
            module,
            self.keep(module.stage, every),
            header,
            FitSettings(
                max_epochs=settings.standalone_epochs if alone else settings.max_epochs,
                patience=settings.early_stopping_patience,
                clip_norm=settings.gradient_clip_norm,
                steps_before=0 if alone else settings.standalone_epochs,
            ),
            standing=lambda figures: (figures.get(HEADLINE, 0.0), -figures["val/loss"]),
            headline="val/loss" if alone else HEADLINE,
        )


def _measure(best: Mapping[str, Any], val: GarmentTensors) -> dict[str, Any]:
    """The best epoch, and how its encoder retrieves on the validation split."""
    record_ND = encode_tensors(restore_encoder(best), val.tensors)
    picture_ND = val.picture_ND.numpy()
    return {
        "best_epoch": best["epoch"],
        "val": evaluate_retrieval(record_ND, picture_ND, val.keys),
        "val_image_to_record": evaluate_retrieval(picture_ND, record_ND, val.keys),
        "val_in_batch": evaluate_in_batch(record_ND, picture_ND, val.keys),
    }


def _deciding(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that decide the weights of a run, by dotted name."""
    training = config["training"]
    settings = settings_by_name(
        {
            "encoder": read_encoder_settings(config["encoder"]).model_dump(mode="json"),
            "augmentation": config.get("augmentation", {}),
            "training": training,
        }
    )
    if training.get("schedule") == "cosine":
        # The cosine reaches its end with the last epoch: other epochs are other rates all along.
        settings["training.max_epochs"] = training["max_epochs"]
    return settings


def _summary(body: Mapping[str, Any]) -> dict[str, Any]:
    """What a reader asks first: the headline beside chance and ceiling, when it was reached, on what."""
    val, epochs = body["val"], body["epochs"]
    return {
        "image": body["image"]["version"],
        "garments": body["split"],
        "epochs": len(epochs),
        "best_epoch": body["best_epoch"],
        "final_train_loss": epochs[-1]["train/loss"] if epochs else None,
        "top1": val["recall"]["1"],
        "top5": val["recall"]["5"],
        "recall@10": val["recall"]["10"],
        "chance@10": val["chance"]["10"],
        "tie_ceiling@10": val["tie_ceiling"]["10"],
        "mrr": val["mrr"],
        "in_batch_top5": body["val_in_batch"]["recall"].get("5"),
        "in_batch_chance5": body["val_in_batch"]["chance"].get("5"),
        "seconds": body["seconds"],
    }


def _draw_history(path: Path, history: Sequence[Mapping[str, float]]) -> Path:
    """Loss, Top-1 and Top-5, similarities and the learning rate over the epochs, as one PNG."""
    figure = new_figure(10, 7)
    epochs = [figures["epoch"] for figures in history]
    marker = "." if len(epochs) < 30 else ""
    for axes, (title, lines) in zip(figure.subplots(2, 2).flat, _CHARTS.items(), strict=True):
        for label, name in lines.items():
            axes.plot(epochs, [figures[name] for figures in history], label=label, marker=marker)
        axes.set(title=title, xlabel="epoch")
        if len(lines) > 1:
            axes.legend()
    return save_figure(figure, path)


def quick_settings(config: FashionConfig) -> FashionConfig:
    """The settings with 2 epochs and batches of 4."""
    training = {"max_epochs": EPOCHS, "standalone_epochs": 1, "batch_size": BATCH_SIZE}
    return change_settings(config, {f"training.{name}": value for name, value in training.items()})


def quick_garments(garments: tuple[GarmentRecord, ...]) -> tuple[GarmentRecord, ...]:
    """The first garments of each part, 64 at most."""
    by_part: dict[str, list[GarmentRecord]] = {}
    for garment in garments:
        by_part.setdefault(garment.part, []).append(garment)
    share = GARMENTS // len(by_part)
    return tuple(garment for members in by_part.values() for garment in members[:share])


def train_quickly(
    data: Path, image: Version, space: Workspace, config: FashionConfig
) -> FashionReport | None:
    """Train in the run's folder; None if it has a run already."""
    if (space.out / CHECKPOINTS / BEST).exists():
        return None
    config, garments = open_garments(data, quick_settings(config))
    return train_fashion(config, quick_garments(garments), image, space)
