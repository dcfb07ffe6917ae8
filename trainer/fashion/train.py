"""Training of an attribute encoder against vectors of the published image model (F-9, F-10, F-13, F-22)."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from model_store.store import Version
from trainer.fashion.augmentation.records import RecordVariants
from trainer.fashion.augmentation.sample_sheet import SAMPLES, draw_samples, take_samples
from trainer.fashion.augmentation.views import encode_views
from trainer.fashion.config import EARLIER_SPLIT, FashionConfig, read_encoder_settings
from trainer.fashion.data.prepared_data import TEST, VAL, GarmentRecord, data_version
from trainer.fashion.data.splits import GarmentSplit, split_records
from trainer.fashion.encoders import FieldEncoder, build_encoder, encode_tensors, restore_encoder
from trainer.fashion.evaluation.retrieval import evaluate_in_batch, evaluate_retrieval
from trainer.fashion.module import EncoderModule, GarmentTensors, Stage, make_tensors
from trainer.fashion.showing import TrainingBoard
from trainer.fashion.training_report import advice_on_epochs, draw_history, judged_part, summary_of
from trainer.features import vectors_of_files
from trainer.loop.checkpoints import (
    BEST,
    CheckpointKeeper,
    CheckpointWriter,
    LastCheckpoint,
    Standing,
    load_checkpoint,
)
from trainer.loop.device import choose_device
from trainer.loop.fitting import FitSettings, Fitting
from trainer.loop.module import Figures
from trainer.loop.progress import Progress
from trainer.loop.tracking import Tracker
from trainer.loop.training_run import TrainingRun, settings_by_name
from trainer.reports.json_report import write_report
from trainer.workspace import Workspace

KIND = "fashion-attributes"
CHECKPOINTS, RESULTS, LOGS = "checkpoints", "results", "logs"
RESULTS_FILE, SUMMARY_FILE = "training_results.json", "training_summary.json"
CHARTS_FILE = "training_charts.png"
# Everything that training, evaluation and search leave beside the checkpoints.
_RESULT_PATTERNS = tuple(
    f"{folder}/*.{kind}"
    for folder in (RESULTS, f"{RESULTS}/similarity_search")
    for kind in ("json", "png", "md", "csv")
)
STANDALONE: Stage = "standalone"
CONTRASTIVE: Stage = "contrastive"
HEADLINE = "val/recall@10"


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
    overwrite: bool = False,
) -> FashionReport:
    """Train an attribute encoder; what it leaves behind lies under `space.out`.

    Writes `checkpoints/`, `results/` (figures, summary, charts, samples) and `logs/` (TensorBoard). The same
    arguments give the same weights on the CPU, and so does a run that was killed and resumed at any moment.
    overwrite: replace a run that is there.
    Raises InvalidData: when the garments cannot be split or their pictures not be read.
    Raises InvalidCheckpoint: when there is nothing to resume, or it was another run's. Raises RunExists: when
    a run is there. Raises FolderInUse: when another run is in it.
    """
    folder, settings = space.out / CHECKPOINTS, config.training
    run = TrainingRun(
        folder=space.out,
        checkpoints=folder,
        training=settings,
        header=checkpoint_header(config, garments, image),
        identity=("data_version", "space_id", "preprocessing"),
        deciding=_deciding,
        results=_RESULT_PATTERNS,
    )
    with (
        run.claim(resume, overwrite) as last,
        run.record("fashion", last, without=["attributes"]) as recorder,
    ):
        started = time.monotonic()
        split = split_records(garments, settings.seed, config.split)
        run.clear()
        board = TrainingBoard(recorder, config, split, standing_of)
        samples = take_samples(split.train, config)
        board.show_samples(samples)
        train, val = open_parts(config, split, image, space)
        if config.augmentation.views:
            draw_samples(samples, space.out / SAMPLES)
        training = EncoderTraining(
            config=config,
            train=train,
            val=val,
            keep=lambda stage, every: CheckpointWriter(
                folder / ("" if stage == CONTRASTIVE else stage), top=1, every=every
            ),
            progress=space.progress,
            board=board,
        )
        next_step = 0 if last is None else int(last.body["epoch"]) + settings.standalone_epochs + 1
        with run.track(last, next_step=next_step, events=space.out / LOGS) as tracker:
            history = training.fit(tracker, {**run.header, "wandb_run": tracker.run_id}, last)
        best = load_checkpoint(folder / BEST, KIND)
        board.show_searches(restore_encoder(best), val, int(best["epoch"]))
        body = {
            "image": {"version": str(image), "space_id": image.space_id},
            "split": {**split.sizes(), "seed": settings.seed},
            "epochs": history,
            "best_epoch": best["epoch"],
            "advice": advice_on_epochs(history, int(best["epoch"]), settings),
            **_measure(best, val, VAL),
            **(_measure(best, test_part(config, split, image, space), TEST) if split.test else {}),
            "config": config.model_dump(mode="json", exclude={"attributes"}),
            "data_version": best["data_version"],
            "wandb_run": best["wandb_run"],
            "seconds": round(time.monotonic() - started, 2),
        }
        board.show_results(body, judged_part(body))
        results = space.out / RESULTS
        draw_history(results / CHARTS_FILE, history)
        write_report(results / SUMMARY_FILE, summary_of(body))
        return FashionReport(checkpoint=folder / BEST, body=write_report(results / RESULTS_FILE, body))


def open_parts(
    config: FashionConfig, split: GarmentSplit, image: Version, space: Workspace
) -> tuple[GarmentTensors, GarmentTensors]:
    """The garments to train on and those to validate on, with their vectors."""
    space = replace(space, limits=config.pictures.limits())
    members, cut = (*split.train, *split.val), len(split.train)
    vector_ND = vectors_of_files([g.path for g in members], image, space, "fashion vectors")
    settings, preprocessing = config.augmentation, config.attributes.preprocessing()
    views = encode_views(split.train, vector_ND[:cut], settings, image, space)
    return (
        make_tensors(split.train, vector_ND[:cut], preprocessing, views),
        make_tensors(split.val, vector_ND[cut:], preprocessing),
    )


def test_part(config: FashionConfig, split: GarmentSplit, image: Version, space: Workspace) -> GarmentTensors:
    """The garments to judge by, with their vectors; nothing that is trained or chosen reads them."""
    space = replace(space, limits=config.pictures.limits())
    vector_ND = vectors_of_files([g.path for g in split.test], image, space, "fashion vectors, test")
    return make_tensors(split.test, vector_ND, config.attributes.preprocessing())


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
    """Both stages of one training. `keep` gives the keeper of a stage and of how many epochs it keeps one.

    board: shows the training where there is somebody to look at it.
    """

    config: FashionConfig
    train: GarmentTensors
    val: GarmentTensors
    keep: Callable[[Stage, int], CheckpointKeeper]
    progress: Progress
    board: TrainingBoard | None = None

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
            if self.board is not None:
                self.board.begin(STANDALONE, ())
            standalone.run(device, tracker, self.progress, "fashion, standalone")
        if self.board is None:
            return contrastive.run(device, tracker, self.progress, "fashion training")
        self.board.begin(CONTRASTIVE, contrastive.history)
        show = partial(self._show, self.board, contrastive)
        return contrastive.run(device, tracker, self.progress, "fashion training", show)

    def _show(self, board: TrainingBoard, fitting: Fitting, _epoch: int) -> None:
        encoder = fitting.module.network
        assert isinstance(encoder, FieldEncoder)
        board.show_epoch(fitting.history[-1], encoder, self.val)

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
            standing=standing_of,
            headline="val/loss" if alone else HEADLINE,
        )


def standing_of(figures: Figures) -> Standing:
    """How good an epoch is: by its headline, then by its loss. The first stage has only the loss."""
    return figures.get(HEADLINE, 0.0), -figures["val/loss"]


def _measure(best: Mapping[str, Any], part: GarmentTensors, name: str) -> dict[str, Any]:
    """How the encoder of the best epoch retrieves on a part of the split, under its name."""
    record_ND = encode_tensors(restore_encoder(best), part.tensors)
    picture_ND = part.picture_ND.numpy()
    return {
        name: evaluate_retrieval(record_ND, picture_ND, part.keys),
        f"{name}_image_to_record": evaluate_retrieval(picture_ND, record_ND, part.keys),
        f"{name}_in_batch": evaluate_in_batch(record_ND, picture_ND, part.keys),
    }


def _deciding(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that decide the weights of a run, by dotted name."""
    training = config["training"]
    settings = settings_by_name(
        {
            "encoder": read_encoder_settings(config["encoder"]).model_dump(mode="json"),
            "augmentation": config.get("augmentation", {}),
            "split": config.get("split", EARLIER_SPLIT.model_dump(mode="json")),
            "training": training,
        }
    )
    if training.get("schedule") == "cosine":
        # The cosine reaches its end with the last epoch: other epochs are other rates all along.
        settings["training.max_epochs"] = training["max_epochs"]
    return settings
