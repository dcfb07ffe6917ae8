"""Training of an attribute encoder against vectors of the published image model (F-9, F-10, F-13, F-22)."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from model_store.store import Version
from trainer.errors import InvalidCheckpoint
from trainer.fashion.augmentation.records import RecordVariants
from trainer.fashion.augmentation.sample_sheet import SAMPLES, draw_samples
from trainer.fashion.augmentation.views import encode_views
from trainer.fashion.config import FashionConfig, read_encoder_settings
from trainer.fashion.data.prepared_data import GarmentRecord, GarmentSplit, data_version, split_records
from trainer.fashion.dataset import GarmentTensors, make_tensors
from trainer.fashion.encoders import build_encoder, encode_tensors, restore_encoder
from trainer.fashion.evaluation.in_batch import evaluate_in_batch
from trainer.fashion.evaluation.retrieval import evaluate_retrieval
from trainer.fashion.module import EncoderModule, Stage
from trainer.fashion.summary import draw_training, summarise
from trainer.features import vectors_of_files
from trainer.loop.checkpointing import BEST, CheckpointKeeper, CheckpointWriter, read_last
from trainer.loop.checkpoints import load_checkpoint
from trainer.loop.device import choose_device, one_thread
from trainer.loop.fitting import FitSettings, Fitting
from trainer.loop.run_folder import claimed
from trainer.loop.tracking import TrackedRun, Tracker, tracking
from trainer.reports.json_report import write_report
from trainer.workspace import Workspace

KIND = "fashion-attributes"
CHECKPOINTS, RESULTS, LOGS = "checkpoints", "results", "logs"
RESULTS_FILE, SUMMARY_FILE, CHARTS_FILE = (
    "training_results.json",
    "training_summary.json",
    "training_charts.png",
)
STANDALONE: Stage = "standalone"
CONTRASTIVE: Stage = "contrastive"
HEADLINE = "val/recall@10"
# Settings that a resumed run may change: they alter when it stops, not what it has done.
_FREE = ("max_epochs", "early_stopping_patience", "wandb_project", "wandb_run_name", "wandb_enabled")


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
    Raises InvalidCheckpoint: when there is nothing to resume, or it was another run's.
    """
    return EncoderRun(config, garments, image, space).train(resume)


def _written(folder: Path, every: int) -> CheckpointKeeper:
    return CheckpointWriter(folder, top=1, every=every)


class EncoderRun:
    """One training of an encoder, and what it writes: `keep` makes what takes the checkpoints of a folder."""

    def __init__(
        self,
        config: FashionConfig,
        garments: tuple[GarmentRecord, ...],
        image: Version,
        space: Workspace,
        keep: Callable[[Path, int], CheckpointKeeper] = _written,
    ) -> None:
        self.config, self.garments, self.image, self.space = config, garments, image, space
        self.preprocessing = config.attributes.preprocessing()
        self.folder = space.out / CHECKPOINTS
        self.device = choose_device(config.training.device)
        self.keep = keep

    def open_parts(self) -> tuple[GarmentTensors, GarmentTensors]:
        """The garments to train on and those to validate on."""
        return self._wardrobes(split_records(self.garments, self.config.training.seed))

    def fit(self, train: GarmentTensors, val: GarmentTensors, tracker: Tracker) -> list[dict[str, float]]:
        """Both stages from the beginning; the figures of each epoch of the second."""
        with one_thread():
            return self._fit(train, val, tracker, None)

    def train(self, resume: bool) -> FashionReport:
        """The whole of `train_fashion`."""
        if resume:
            # Before the folder is claimed: one without a run stays as it is.
            self._last()
        with claimed(self.space.out):
            return self._train(self._last() if resume else None)

    def _train(self, last: dict[str, Any] | None) -> FashionReport:
        started = time.monotonic()
        split = split_records(self.garments, self.config.training.seed)
        train, val = self._wardrobes(split)
        tracked = TrackedRun(
            directory=self.space.out,
            project=self.config.training.wandb_project,
            name=self.config.training.wandb_run_name,
            enabled=self.config.training.wandb_enabled,
            settings=self.config.model_dump(mode="json"),
            run_id=None if last is None else last["wandb_run"],
            next_step=0 if last is None else int(last["epoch"]) + self.config.training.standalone_epochs + 1,
            events=self.space.out / LOGS,
        )
        with tracking(tracked) as tracker, one_thread():
            history = self._fit(train, val, tracker, last)
        return self._report(split, val, history, started)

    def _wardrobes(self, split: GarmentSplit) -> tuple[GarmentTensors, GarmentTensors]:
        members = (*split.train, *split.val)
        vector_ND = vectors_of_files([g.path for g in members], self.image, self.space, "fashion vectors")
        cut, settings = len(split.train), self.config.augmentation
        if settings.views:
            draw_samples(split.train, self.config, self.space.out / SAMPLES)
        views = encode_views(split.train, vector_ND[:cut], settings, self.image, self.space)
        return (
            make_tensors(split.train, vector_ND[:cut], self.preprocessing, views),
            make_tensors(split.val, vector_ND[cut:], self.preprocessing),
        )

    def _fit(
        self, train: GarmentTensors, val: GarmentTensors, tracker: Tracker, last: Mapping[str, Any] | None
    ) -> list[dict[str, float]]:
        """Both stages; the first only where the second has nothing to go on from."""
        settings = self.config.training
        torch.manual_seed(settings.seed)
        rng = torch.Generator().manual_seed(settings.seed)
        encoder = build_encoder(self.preprocessing.fields, self.config.encoder)
        variants = RecordVariants(self.config.augmentation, self.config.attributes, train.tensors)
        header = self._header() | {"wandb_run": tracker.run_id}
        contrastive = self.keep(self.folder, settings.save_every_n_epochs)
        if last is None:
            contrastive.clear()
        if last is None and settings.standalone_epochs:
            standalone = self.keep(self.folder / STANDALONE, settings.standalone_epochs)
            standalone.clear()
            module = EncoderModule(encoder, settings, train, val, rng, STANDALONE, variants)
            self._fitting(module, standalone, header, settings.standalone_epochs).run(
                self.device, tracker, self.space.progress, "fashion, standalone"
            )
        module = EncoderModule(encoder, settings, train, val, rng, variants=variants)
        before = settings.standalone_epochs
        fitting = self._fitting(module, contrastive, header, settings.max_epochs)
        if last is not None:
            fitting.restore(last)
        return fitting.run(self.device, _Shifted(tracker, before), self.space.progress, "fashion training")

    def _fitting(
        self, module: EncoderModule, keeper: CheckpointKeeper, header: Mapping[str, Any], epochs: int
    ) -> Fitting:
        settings = self.config.training
        return Fitting(
            module,
            keeper,
            header,
            FitSettings(
                max_epochs=epochs,
                patience=settings.early_stopping_patience,
                clip_norm=settings.gradient_clip_norm,
            ),
            standing=lambda figures: (figures.get(HEADLINE, 0.0), -figures["val/loss"]),
            headline=HEADLINE if module.stage == CONTRASTIVE else "val/loss",
        )

    def _last(self) -> dict[str, Any]:
        last = read_last(self.folder, KIND)
        header = self._header()
        for name in ("data_version", "space_id", "preprocessing"):
            if last[name] != header[name]:
                raise InvalidCheckpoint(f"{self.folder}: the run to resume has another {name}")
        was, asked = _settings(last), _settings(header)
        changed = [name for name in asked if name not in was or was[name] != asked[name]]
        epochs = [config["training"]["max_epochs"] for config in (last["config"], header["config"])]
        if self.config.training.schedule == "cosine" and epochs[0] != epochs[1]:
            # The cosine reaches its end with the last epoch: other epochs are other rates all along.
            changed.append("training.max_epochs")
        if changed:
            raise InvalidCheckpoint(f"{self.folder}: the run has other settings of {', '.join(changed)}")
        return last

    def _report(
        self, split: GarmentSplit, val: GarmentTensors, history: list[dict[str, float]], started: float
    ) -> FashionReport:
        checkpoint = self.folder / BEST
        best = load_checkpoint(checkpoint, KIND)
        record_ND = encode_tensors(restore_encoder(best), val.tensors)
        picture_ND = val.picture_ND.numpy()
        body = {
            "image": {"version": str(self.image), "space_id": self.image.space_id},
            "split": {"train": len(split.train), "val": len(split.val), "seed": self.config.training.seed},
            "epochs": history,
            "best_epoch": best["epoch"],
            "val": evaluate_retrieval(record_ND, picture_ND, val.keys),
            "val_image_to_record": evaluate_retrieval(picture_ND, record_ND, val.keys),
            "val_in_batch": evaluate_in_batch(record_ND, picture_ND, val.keys),
            "config": self.config.model_dump(mode="json", exclude={"attributes"}),
            "data_version": best["data_version"],
            "wandb_run": best["wandb_run"],
            "seconds": round(time.monotonic() - started, 2),
        }
        results = self.space.out / RESULTS
        draw_training(results / CHARTS_FILE, history)
        write_report(results / SUMMARY_FILE, summarise(body))
        return FashionReport(checkpoint=checkpoint, body=write_report(results / RESULTS_FILE, body))

    def _header(self) -> dict[str, Any]:
        return {
            "kind": KIND,
            "config": self.config.model_dump(mode="json"),
            "preprocessing": self.preprocessing.model_dump(mode="json"),
            "space_id": self.image.space_id,
            "data_version": data_version(self.garments),
            "seed": self.config.training.seed,
        }


def _settings(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """What decides how a run goes, by dotted name."""
    config = checkpoint["config"]
    encoder = read_encoder_settings(config["encoder"]).model_dump(mode="json")
    training = {name: value for name, value in config["training"].items() if name not in _FREE}
    return {
        f"{part}.{name}": settings[name]
        for part, settings in (
            ("encoder", encoder),
            ("augmentation", config.get("augmentation", {})),
            ("training", training),
        )
        for name in sorted(settings)
    }


class _Shifted:
    """A tracker whose steps come after those of the stage before."""

    def __init__(self, tracker: Tracker, before: int) -> None:
        self._tracker, self._before = tracker, before

    @property
    def run_id(self) -> str | None:
        return self._tracker.run_id

    def log(self, figures: Mapping[str, float], step: int) -> None:
        self._tracker.log(figures, step + self._before)

    def show(self, name: str, picture: Path, step: int) -> None:
        self._tracker.show(name, picture, step + self._before)
