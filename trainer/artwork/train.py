"""Training of an artwork head on the features of the published backbone (A-9, A-12, A-14, A-15).

Shapes: N artworks, V views, D backbone feature.
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model_store.durable import write_text
from model_store.store import Version
from trainer.artwork.charts import CHART_FILE, draw_report
from trainer.artwork.config import ArtworkConfig, AugmentationSettings
from trainer.artwork.evaluator import Evaluator, seen_pictures
from trainer.artwork.fit import open_fit
from trainer.artwork.judges import FIELDS, KIND, calibrate_judge
from trainer.artwork.markdown import markdown_of, warnings_of
from trainer.artwork.metadata import Artwork, data_version
from trainer.artwork.model import PairwiseRankingModel
from trainer.artwork.module import Graded, scores_of
from trainer.artwork.samples import SampleSheet
from trainer.artwork.splits import SPLIT_FILE, Split, check_no_leak, split_artworks, write_split
from trainer.errors import InvalidCheckpoint
from trainer.features import check_pictures, vectors_of_files, vectors_of_pictures
from trainer.loop.checkpointing import BEST, ENSEMBLE, LAST, Keeper, read_last
from trainer.loop.checkpoints import load_checkpoint, restoring, save_checkpoint
from trainer.loop.device import choose_device, one_thread
from trainer.loop.run_folder import check_apart, claimed
from trainer.loop.tracking import Tracked, tracking
from trainer.reports.json_report import write_report
from trainer.views import augment_picture, join_views, view_names, view_seed
from trainer.workspace import Workspace

SAMPLE_FILE, REPORT_FILE, MARKDOWN_FILE = "samples.png", "report.json", "report.md"
# What a run writes beside its checkpoints.
FILES = (SPLIT_FILE, SAMPLE_FILE, REPORT_FILE, MARKDOWN_FILE, CHART_FILE)
# Settings that a resumed run may change: they alter when it stops, not what it has done.
_FREE = ("max_epochs", "early_stopping_patience", "wandb_project", "wandb_run_name", "wandb_enabled")
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
) -> ArtworkReport:
    """Train a head; what it leaves behind lies under `space.out`.

    Writes `checkpoints/`, `split.json`, `samples.png` and `report.{json,md,png}`. Test pictures are not even
    encoded before training has ended. The same arguments give the same weights on the CPU, and so does a run
    that was killed at any moment and then resumed. Raises InvalidData: when the artworks cannot be split or
    read, or the run would overwrite one. Raises LeakDetected: see `splits`. Raises InvalidCheckpoint: when
    there is nothing to resume, or it was another run's. Raises FolderInUse: when another run is in it.
    Raises Diverged, OutOfMemory: when training cannot go on.
    """
    return _Run(config, artworks, backbone, space).train(resume)


class _Run:
    def __init__(
        self, config: ArtworkConfig, artworks: tuple[Artwork, ...], backbone: Version, space: Workspace
    ) -> None:
        self.config, self.artworks, self.backbone, self.space = config, artworks, backbone, space
        settings = config.training
        self.keeper = Keeper(
            space.out / settings.checkpoint_dir, top=settings.keep_top, every=settings.save_every_n_epochs
        )

    def train(self, resume: bool) -> ArtworkReport:
        check_apart(self._written(), [artwork.path for artwork in self.artworks])
        if resume:
            # Before the folder is claimed: one without a run stays as it is.
            self._last()
        with claimed(self.space.out):
            return self._train(self._last() if resume else None)

    def _train(self, last: dict[str, Any] | None) -> ArtworkReport:
        started = time.monotonic()
        split = split_artworks(self.artworks, self.config.training.seed)
        seen = (*split.train, *split.val)
        check_no_leak(seen, split.test)
        # They are encoded when training has ended, which is no time to learn that one is broken.
        check_pictures([a.path for a in split.test], self.backbone)
        write_split(split, self.space.out / SPLIT_FILE)
        device = choose_device(self.config.training.device)
        feature_ND = vectors_of_files([a.path for a in seen], self.backbone, self.space, "artwork features")
        train = self._graded(split.train, feature_ND[: len(split.train)], device)
        val = _graded(split.val, feature_ND[len(split.train) :, None], device)
        history = self._fit(train, val, split, device, last)
        checkpoint = self._judge(train, val, split)
        return self._report(split, checkpoint, history, device, started)

    def _last(self) -> dict[str, Any]:
        path, last = self.keeper.folder / LAST, read_last(self.keeper.folder, KIND)
        with restoring(path):
            header = self._header(int(last["input_dim"]))
            known = {name: str(last[name]) for name in ("data_version", "space_id")}
            changed = _changed(last["config"], header["config"])
            for name in FIELDS:
                last[name]
        for name, value in known.items():
            if value != header[name]:
                raise InvalidCheckpoint(
                    f"{path}: the run has {name} {value[:12]}, this one {header[name][:12]}"
                )
        if changed:
            raise InvalidCheckpoint(f"{path}: the run has other settings of {', '.join(changed)}")
        return last

    def _fit(
        self,
        train: Graded,
        val: Graded,
        split: Split,
        device: torch.device,
        last: Mapping[str, Any] | None,
    ) -> list[dict[str, float]]:
        settings = self.config.training
        samples = SampleSheet(split.val, settings.seed)
        tracked = Tracked(
            directory=self.space.out,
            project=settings.wandb_project,
            name=settings.wandb_run_name,
            enabled=settings.wandb_enabled,
            settings=self.config.model_dump(mode="json"),
            run_id=None if last is None else last["wandb_run"],
        )
        if last is None:
            self.keeper.clear()
        with tracking(tracked) as tracker, one_thread():

            def sampled(epoch: int) -> None:
                if epoch % settings.save_every_n_epochs == 0:
                    model = fitting.module.network
                    assert isinstance(model, PairwiseRankingModel)
                    sheet = samples.draw(scores_of(model, val), self.space.out / SAMPLE_FILE)
                    tracker.show("val/samples", sheet, epoch)

            header = self._header(train.feature_NVD.shape[-1]) | {
                "wandb_run": tracker.run_id,
                "seen": seen_pictures((*split.train, *split.val)),
            }
            fitting = open_fit(self.config, train, val, self.keeper, header)
            if last is not None:
                with restoring(self.keeper.folder / LAST):
                    fitting.restore(last)
            return fitting.run(device, tracker, self.space.progress, "artwork training", sampled)

    def _judge(self, train: Graded, val: Graded, split: Split) -> Path:
        """Fit the probabilities of the best checkpoint and, where asked for, those of the ensemble.

        Returns the checkpoint to publish.
        """
        pictures = {"train": _arrays(train), "val": _arrays(val)}
        artists = [artwork.artist for artwork in split.val]
        best, top = self.keeper.folder / BEST, self.keeper.top()
        save_checkpoint(best, calibrate_judge(top[:1], **pictures, val_artists=artists))
        members = self.config.training.ensemble
        if members == 1:
            return best
        together = self.keeper.folder / ENSEMBLE
        save_checkpoint(together, calibrate_judge(top[:members], **pictures, val_artists=artists))
        return together

    def _report(
        self,
        split: Split,
        checkpoint: Path,
        history: list[dict[str, float]],
        device: torch.device,
        started: float,
    ) -> ArtworkReport:
        judged = Evaluator(checkpoint, self.space).evaluate(split.test)
        body = {
            "device": str(device),
            "backbone": {"version": str(self.backbone), "space_id": self.backbone.space_id},
            "split": {"digest": split.digest, "seed": split.seed, **split.report()},
            "epochs": history,
            **_chosen(checkpoint),
            "test": judged.figures,
            "seconds": round(time.monotonic() - started, 2),
        }
        out = self.space.out
        written = write_report(out / REPORT_FILE, body)
        write_text(out / MARKDOWN_FILE, markdown_of(written))
        ranks = np.array([artwork.rank for artwork in split.test])
        draw_report(out / CHART_FILE, judged.figures, judged.score_N, ranks)
        for warning in warnings_of(written):
            _log.warning(warning)
        return ArtworkReport(checkpoint=checkpoint, body=written)

    def _written(self) -> list[Path]:
        out = self.space.out
        return [*(out / name for name in FILES), *self.keeper.folder.glob("*.pt")]

    def _graded(self, artworks: Sequence[Artwork], feature_ND: np.ndarray, device: torch.device) -> Graded:
        """Training pictures with their views, which are encoded like pictures of their own."""
        settings = self.config.augmentation
        if not settings.views:
            return _graded(artworks, feature_ND[:, None], device)
        pictures, names = _views(artworks, settings), view_names((a.path for a in artworks), settings.views)
        view_ND = vectors_of_pictures(pictures, names, self.backbone, self.space, "artwork views")
        return _graded(artworks, join_views(feature_ND, view_ND), device)

    def _header(self, input_dim: int) -> dict[str, Any]:
        return {
            "kind": KIND,
            "config": self.config.model_dump(mode="json"),
            "input_dim": input_dim,
            "space_id": self.backbone.space_id,
            "data_version": data_version(self.artworks),
            "seed": self.config.training.seed,
        }


def _views(artworks: Sequence[Artwork], settings: AugmentationSettings) -> Iterator[bytes]:
    for artwork in artworks:
        picture = artwork.path.read_bytes()
        for view in range(settings.views):
            yield augment_picture(picture, settings, view_seed(artwork.picture_digest, view))


def _graded(artworks: Sequence[Artwork], feature_NVD: np.ndarray, device: torch.device) -> Graded:
    rank_N = torch.tensor([artwork.rank for artwork in artworks], device=device)
    return Graded(feature_NVD=torch.from_numpy(feature_NVD).to(device), rank_N=rank_N)


def _arrays(part: Graded) -> tuple[np.ndarray, np.ndarray]:
    """float32 feature_ND of the pictures themselves, and rank_N."""
    return part.feature_NVD[:, 0].cpu().numpy(), part.rank_N.cpu().numpy()


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Settings that decide the weights and are not what they were."""
    found = []
    # What the backbone was made with is part of its space, which is compared by itself.
    for part in ("head", "augmentation", "training"):
        names = before[part].keys() | now[part].keys()
        found += [
            f"{part}.{name}"
            for name in sorted(names)
            if name not in _FREE and before[part].get(name) != now[part].get(name)
        ]
    return found


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
