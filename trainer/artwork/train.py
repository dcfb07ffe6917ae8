"""Training of an artwork head on the features of the published backbone (A-9, A-12, A-14, A-15).

Shapes: N artworks, V views, D backbone feature.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from inference.pixels import ImageLimits
from model_store.durable import write_text
from model_store.store import Version
from trainer.artwork.config import ArtworkConfig
from trainer.artwork.data.metadata import Artwork, data_version
from trainer.artwork.data.seen import SeenWorks
from trainer.artwork.data.splits import SPLIT_FILE, Split, check_no_leak, split_artworks, write_split
from trainer.artwork.evaluate import Evaluator
from trainer.artwork.head_checkpoint import FIELDS, KIND, calibrate_judge, restore_judge
from trainer.artwork.model import PairwiseRankingModel
from trainer.artwork.module import Graded, open_fitting, scores_of
from trainer.artwork.report import (
    CHART_FILE,
    EVALUATION_FILES,
    SampleSheet,
    draw_report,
    markdown_of,
    warnings_of,
)
from trainer.artwork.showing import RankingBoard
from trainer.features import check_pictures, vectors_of_files, vectors_of_pictures
from trainer.loop.checkpoints import (
    BEST,
    ENSEMBLE,
    CheckpointWriter,
    LastCheckpoint,
    load_checkpoint,
    save_checkpoint,
)
from trainer.loop.device import choose_device
from trainer.loop.run_folder import check_apart
from trainer.loop.training_run import TrainingRun, settings_by_name
from trainer.reports.json_report import write_report
from trainer.views import PictureChanges, augment_picture, join_views, view_names, view_seed
from trainer.workspace import Workspace

SAMPLE_FILE, REPORT_FILE, MARKDOWN_FILE = "samples.png", "report.json", "report.md"
# What a run writes beside its checkpoints.
FILES = (SPLIT_FILE, SAMPLE_FILE, REPORT_FILE, MARKDOWN_FILE, CHART_FILE)
# Sections of the settings that decide the weights.
_DECIDING = ("head", "augmentation", "training")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtworkReport:
    """What a run made: the checkpoint to publish and how good it is; `body` is `report.json`."""

    checkpoint: Path
    body: dict[str, Any]

    @property
    def test_accuracy(self) -> float:
        """Pairwise accuracy on the test split, in [0, 1]."""
        return float(self.body["test"]["pairwise_accuracy"])


def train_artwork(
    config: ArtworkConfig,
    artworks: tuple[Artwork, ...],
    backbone: Version,
    space: Workspace,
    *,
    resume: bool = False,
    overwrite: bool = False,
) -> ArtworkReport:
    """Train a head; what it leaves behind lies under `space.out`.

    Writes `checkpoints/`, `split.json`, `samples.png` and `report.{json,md,png}`. Test pictures are not even
    encoded before training has ended. The same arguments give the same weights on the CPU, and so does a run
    that was killed at any moment and then resumed. overwrite: replace a run that is there.
    Raises InvalidData: when the artworks cannot be split or read, or the run would overwrite one. Raises
    LeakDetected: see `splits`. Raises InvalidCheckpoint: when there is nothing to resume, or it was another
    run's. Raises RunExists: when a run is there. Raises FolderInUse: when another run is in it.
    Raises Diverged, OutOfMemory: when training cannot go on.
    """
    training = _Training(config, artworks, backbone, space)
    check_apart(training.written(), [artwork.path for artwork in artworks])
    run = training.run
    with run.claim(resume, overwrite) as last, run.record("artwork", last) as recorder:
        return training.train(last, RankingBoard(recorder, config, training.split))


class _Training:
    def __init__(
        self, config: ArtworkConfig, artworks: tuple[Artwork, ...], backbone: Version, space: Workspace
    ) -> None:
        self.config, self.artworks, self.backbone = config, artworks, backbone
        self.space = replace(space, limits=config.pictures.limits())
        self.split = split_artworks(artworks, config.training.seed)
        settings = config.training
        self.device = choose_device(settings.device)
        self.checkpoints = CheckpointWriter(
            space.out / settings.checkpoint_dir, top=settings.keep_top, every=settings.save_every_n_epochs
        )
        self.run = TrainingRun(
            folder=space.out,
            checkpoints=self.checkpoints.folder,
            training=settings,
            header={
                "kind": KIND,
                "config": config.model_dump(mode="json"),
                "space_id": backbone.space_id,
                "data_version": data_version(artworks),
                "split": self.split.digest,
                "seed": settings.seed,
            },
            identity=("data_version", "space_id", "split"),
            # What the backbone was made with is part of its space, which is compared by itself.
            deciding=lambda body: settings_by_name({name: body[name] for name in _DECIDING}),
            fields=FIELDS,
            results=(
                *(name for name in FILES if name != SPLIT_FILE),
                *(f"{settings.checkpoint_dir}/evaluation/{name}" for name in EVALUATION_FILES),
            ),
        )

    def train(self, last: LastCheckpoint | None, board: RankingBoard) -> ArtworkReport:
        started = time.monotonic()
        split = self.split
        seen = (*split.train, *split.val)
        check_no_leak(seen, split.test)
        # They are encoded when training has ended, which is no time to learn that one is broken.
        check_pictures([a.path for a in split.test], self.backbone, self.space, "checking test pictures")
        board.show_samples()
        feature_ND = vectors_of_files([a.path for a in seen], self.backbone, self.space, "artwork features")
        train = self._with_views(split.train, feature_ND[: len(split.train)])
        val = self._graded(split.val, feature_ND[len(split.train) :, None])
        self.run.clear()
        write_split(split, self.space.out / SPLIT_FILE)
        history = self._fit(train, val, last, board)
        checkpoint = self._calibrate(train, val, split)
        report = self._report(split, checkpoint, history, started)
        board.show_results(report.body)
        return report

    def written(self) -> list[Path]:
        """Every file that the run would write over."""
        out = self.space.out
        return [*(out / name for name in FILES), *self.checkpoints.folder.glob("*.pt")]

    def _fit(
        self, train: Graded, val: Graded, last: LastCheckpoint | None, board: RankingBoard
    ) -> list[dict[str, float]]:
        settings, split = self.config.training, self.split
        samples = SampleSheet(split.val, settings.seed, self.space.limits)
        with self.run.track(last) as tracker:
            header = {
                **self.run.header,
                "input_dim": train.feature_NVD.shape[-1],
                "wandb_run": tracker.run_id,
                "seen": SeenWorks.of((*split.train, *split.val)).state(),
            }
            fitting = open_fitting(self.config, train, val, self.checkpoints, header)
            fitting.begin(last)
            board.begin(fitting.history)

            def show(model: PairwiseRankingModel, epoch: int) -> None:
                score_N = scores_of(model, val)
                sheet = samples.draw(score_N, self.space.out / SAMPLE_FILE)
                board.show_order(score_N, epoch)
                tracker.show("val/samples", sheet, epoch)

            def show_some(epoch: int) -> None:
                board.show_epoch(fitting.history[-1])
                if epoch % settings.save_every_n_epochs == 0:
                    model = fitting.module.network
                    assert isinstance(model, PairwiseRankingModel)
                    show(model, epoch)

            history = fitting.run(self.device, tracker, self.space.progress, "artwork training", show_some)
            # The sheet that stays is of the epoch that is published, however short the run was.
            show(self._best_model(), int(history[-1]["epoch"]))
            return history

    def _best_model(self) -> PairwiseRankingModel:
        """The model of the best epoch on the device of the run."""
        model = restore_judge(load_checkpoint(self.checkpoints.top()[0], KIND)).models[0]
        assert isinstance(model, PairwiseRankingModel)
        return model.to(self.device)

    def _calibrate(self, train: Graded, val: Graded, split: Split) -> Path:
        """Fit the probabilities of the best checkpoint and, where asked for, those of the ensemble.

        Returns the checkpoint to publish.
        """
        pictures = {"train": _arrays(train), "val": _arrays(val)}
        artists = [artwork.artist for artwork in split.val]
        best, top = self.checkpoints.folder / BEST, self.checkpoints.top()
        save_checkpoint(best, calibrate_judge(top[:1], **pictures, val_artists=artists))
        members = self.config.training.ensemble
        if members == 1:
            return best
        together = self.checkpoints.folder / ENSEMBLE
        save_checkpoint(together, calibrate_judge(top[:members], **pictures, val_artists=artists))
        return together

    def _report(
        self, split: Split, checkpoint: Path, history: list[dict[str, float]], started: float
    ) -> ArtworkReport:
        evaluation = Evaluator(checkpoint, self.space).evaluate(split.test)
        body = {
            "device": str(self.device),
            "backbone": {"version": str(self.backbone), "space_id": self.backbone.space_id},
            "split": {"digest": split.digest, "seed": split.seed, **split.report()},
            "epochs": history,
            **_chosen(checkpoint),
            "test": evaluation.figures,
            "seconds": round(time.monotonic() - started, 2),
        }
        out = self.space.out
        written = write_report(out / REPORT_FILE, body)
        write_text(out / MARKDOWN_FILE, markdown_of(written))
        ranks = np.array([artwork.rank for artwork in split.test])
        draw_report(out / CHART_FILE, evaluation.figures, evaluation.score_N, ranks)
        for warning in warnings_of(written):
            _log.warning(warning)
        return ArtworkReport(checkpoint=checkpoint, body=written)

    def _with_views(self, artworks: Sequence[Artwork], feature_ND: np.ndarray) -> Graded:
        """Training pictures with their views, which are encoded like pictures of their own."""
        settings = self.config.augmentation
        if not settings.views:
            return self._graded(artworks, feature_ND[:, None])
        pictures, names = (
            _views(artworks, settings, self.space.limits),
            view_names((a.path for a in artworks), settings.views),
        )
        view_ND = vectors_of_pictures(pictures, names, self.backbone, self.space, "artwork views")
        return self._graded(artworks, join_views(feature_ND, view_ND))

    def _graded(self, artworks: Sequence[Artwork], feature_NVD: np.ndarray) -> Graded:
        rank_N = torch.tensor([artwork.rank for artwork in artworks], device=self.device)
        return Graded(feature_NVD=torch.from_numpy(feature_NVD).to(self.device), rank_N=rank_N)


def _views(artworks: Sequence[Artwork], settings: PictureChanges, limits: ImageLimits) -> Iterator[bytes]:
    for artwork in artworks:
        picture = artwork.path.read_bytes()
        for view in range(settings.views):
            yield augment_picture(picture, settings, view_seed(artwork.picture_digest, view), limits)


def _arrays(part: Graded) -> tuple[np.ndarray, np.ndarray]:
    """float32 feature_ND of the pictures themselves, and rank_N."""
    return part.feature_NVD[:, 0].cpu().numpy(), part.rank_N.cpu().numpy()


def _chosen(checkpoint: Path) -> dict[str, Any]:
    body = load_checkpoint(checkpoint, KIND)
    return {
        "checkpoint": checkpoint.name,
        "members": 1 + len(body["members"]),
        "best_epoch": body["epoch"],
        "val": {name.removeprefix("val/"): value for name, value in body["metrics"].items()},
        "temperature": body["temperature"],
        "calibration": body["calibration"],
        "uncertainty_gain": body["uncertainty_gain"],
        "data_version": body["data_version"],
        "wandb_run": body["wandb_run"],
    }
