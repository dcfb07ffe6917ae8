"""Training of an artwork head on the features of the published backbone (A-9, A-12, A-14, A-15).

Shapes: N artworks, B batch, D backbone feature, P pairs.
"""

import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from model_store.store import Version
from trainer.artwork.calibration import fit_temperature
from trainer.artwork.charts import CHART_FILE, draw_report
from trainer.artwork.config import ArtworkConfig
from trainer.artwork.evaluate import compute_pairwise_accuracy
from trainer.artwork.evaluator import KIND, Evaluator
from trainer.artwork.markdown import markdown_of, warnings_of
from trainer.artwork.metadata import Artwork, data_version
from trainer.artwork.model import PairwiseRankingModel
from trainer.artwork.splits import check_no_leak, split_artworks, write_split
from trainer.checkpoints import load_checkpoint, save_checkpoint
from trainer.features import vectors_of_files
from trainer.runs import Patience, choose_device, gpu_memory, one_thread, write_report
from trainer.tracking import Tracked, Tracker, tracking
from trainer.workspace import Workspace

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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Graded:
    """Feature (N, D) and tier rank (N,) of one part of the split, on the device of the run."""

    features: torch.Tensor
    ranks: torch.Tensor

    def __len__(self) -> int:
        return len(self.ranks)


def train_artwork(
    config: ArtworkConfig, artworks: tuple[Artwork, ...], backbone: Version, space: Workspace
) -> ArtworkReport:
    """Train a head; what it leaves behind lies under `space.out`.

    Writes `checkpoints/{best_model,last}.pt`, `split.json` and `report.{json,md,png}`. Test pictures are not
    even encoded before training has ended. The same arguments give the same weights on the CPU.
    Raises InvalidData: when the artworks cannot be split or read. Raises LeakDetected: see `splits`.
    """
    started = time.monotonic()
    space.out.mkdir(parents=True, exist_ok=True)
    split = split_artworks(artworks, config.training.seed)
    write_split(split, space.out / "split.json")
    device = choose_device(config.training.device)
    seen = (*split.train, *split.val)
    check_no_leak(seen, split.test)
    feature_ND = vectors_of_files([a.path for a in seen], backbone, space, "artwork features")
    train = _graded(split.train, feature_ND[: len(split.train)], device)
    val = _graded(split.val, feature_ND[len(split.train) :], device)
    header = _header(config, artworks, backbone, feature_ND.shape[1])
    tracked = Tracked(
        directory=space.out,
        project=config.training.wandb_project,
        name=config.training.wandb_run_name,
        enabled=config.training.wandb_enabled,
        settings=config.model_dump(mode="json"),
    )
    with tracking(tracked) as tracker, one_thread():
        history = _Fit(config, space, header | {"wandb_run": tracker.run_id}).run(train, val, tracker)
    checkpoint = space.out / config.training.checkpoint_dir / "best_model.pt"
    judged = Evaluator(checkpoint, space).evaluate(split.test)
    test = judged.figures
    body = {
        "device": str(device),
        "backbone": {"version": str(backbone), "space_id": backbone.space_id},
        "split": {"digest": split.digest, "seed": split.seed, **split.report()},
        "epochs": history,
        **_chosen(checkpoint),
        "test": test,
        "seconds": round(time.monotonic() - started, 2),
    }
    written = write_report(space.out / "report.json", body)
    (space.out / "report.md").write_text(markdown_of(written), encoding="utf-8")
    draw_report(space.out / CHART_FILE, test, judged.score_N, np.array([a.rank for a in split.test]))
    for warning in warnings_of(written):
        _log.warning(warning)
    return ArtworkReport(checkpoint=checkpoint, body=written)


class _Fit:
    """One run of the optimiser: epochs, validation, checkpoints, early stopping."""

    def __init__(self, config: ArtworkConfig, space: Workspace, header: Mapping[str, Any]) -> None:
        settings = config.training
        torch.manual_seed(settings.seed)
        self.settings, self.space, self.header = settings, space, header
        self.device = choose_device(settings.device)
        self.model = PairwiseRankingModel.build(int(header["input_dim"]), config.head).to(self.device)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(
            self.optimizer, T_max=settings.scheduler_t_max, eta_min=settings.scheduler_eta_min
        )
        self.criterion = nn.MarginRankingLoss(margin=settings.margin)
        self.rng = np.random.default_rng(settings.seed)
        self.best = (-1.0, -float("inf"))

    def run(self, train: _Graded, val: _Graded, tracker: Tracker) -> list[dict[str, float]]:
        """Figures of each epoch; the checkpoints are on disk."""
        history: list[dict[str, float]] = []
        patience = Patience(self.settings.early_stopping_patience)
        for epoch in range(1, self.settings.max_epochs + 1):
            started = time.monotonic()
            lr = float(self.scheduler.get_last_lr()[0])
            train_loss = self._epoch(train)
            figures = {
                "train/loss": train_loss,
                "train/accuracy": _accuracy(self.model, train),
                "train/lr": lr,
            }
            figures |= {"val/loss": self._loss(val), "val/accuracy": _accuracy(self.model, val)}
            figures |= {
                "system/epoch_time": time.monotonic() - started,
                "system/gpu_memory": gpu_memory(self.device),
            }
            tracker.log(figures, epoch)
            history.append({"epoch": epoch, **figures})
            self._keep(epoch, figures, val)
            self.space.progress("artwork training", epoch, self.settings.max_epochs)
            if patience.exhausted(figures["val/loss"]) or lr <= self.settings.scheduler_eta_min:
                _log.info("training stopped early", extra={"epoch": epoch, "lr": lr})
                break
        return history

    def _epoch(self, train: _Graded) -> float:
        self.model.train()
        losses = []
        for batch_B in self._batches(len(train)):
            score_B = self.model.forward_single(train.features[batch_B])[1]
            loss = self._pair_loss(score_B, train.ranks[batch_B])
            if loss is None:
                continue
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.gradient_clip_norm)
            self.optimizer.step()
            losses.append(float(loss.detach()))
        self.scheduler.step()
        return float(np.mean(losses)) if losses else 0.0

    def _batches(self, count: int) -> Iterator[torch.Tensor]:
        order = torch.from_numpy(self.rng.permutation(count)).to(self.device)
        yield from torch.split(order, self.settings.batch_size)

    def _pair_loss(self, score_B: torch.Tensor, rank_B: torch.Tensor) -> torch.Tensor | None:
        """The margin loss over every cross-tier pair of the batch; None when it has none."""
        better_P, worse_P = torch.where(rank_B[:, None] > rank_B[None, :])
        if not len(better_P):
            return None
        loss: torch.Tensor = self.criterion(
            score_B[better_P], score_B[worse_P], torch.ones_like(score_B[better_P])
        )
        return loss

    @torch.no_grad()
    def _loss(self, graded: _Graded) -> float:
        self.model.eval()
        loss = self._pair_loss(self.model.forward_single(graded.features)[1], graded.ranks)
        return 0.0 if loss is None else float(loss)

    def _keep(self, epoch: int, figures: Mapping[str, float], val: _Graded) -> None:
        folder = self.space.out / self.settings.checkpoint_dir
        body = {
            **self.header,
            "epoch": epoch,
            "model_state_dict": {name: tensor.cpu() for name, tensor in self.model.state_dict().items()},
            "optimizer_state_dict": self.optimizer.state_dict(),
            "metrics": {name: float(value) for name, value in figures.items() if name.startswith("val/")},
            "temperature": fit_temperature(_scores(self.model, val.features), val.ranks.cpu().numpy()),
        }
        save_checkpoint(folder / "last.pt", body)
        if epoch % self.settings.save_every_n_epochs == 0:
            save_checkpoint(folder / f"epoch_{epoch:03d}.pt", body)
        standing = (figures["val/accuracy"], -figures["val/loss"])
        if standing > self.best:
            self.best = standing
            save_checkpoint(folder / "best_model.pt", body)


def _graded(artworks: tuple[Artwork, ...], feature_ND: np.ndarray, device: torch.device) -> _Graded:
    rank_N = torch.tensor([a.rank for a in artworks], device=device)
    return _Graded(features=torch.from_numpy(feature_ND).to(device), ranks=rank_N)


@torch.no_grad()
def _scores(model: PairwiseRankingModel, feature_ND: torch.Tensor) -> np.ndarray:
    model.eval()
    return model.forward_single(feature_ND)[1].cpu().numpy()


def _accuracy(model: PairwiseRankingModel, graded: _Graded) -> float:
    return compute_pairwise_accuracy(_scores(model, graded.features), graded.ranks.cpu().numpy())


def _chosen(checkpoint: Path) -> dict[str, Any]:
    body = load_checkpoint(checkpoint, KIND)
    return {
        "best_epoch": body["epoch"],
        "val": {name.removeprefix("val/"): value for name, value in body["metrics"].items()},
        "temperature": body["temperature"],
        "data_version": body["data_version"],
        "wandb_run": body["wandb_run"],
    }


def _header(
    config: ArtworkConfig, artworks: tuple[Artwork, ...], backbone: Version, input_dim: int
) -> dict[str, Any]:
    return {
        "kind": KIND,
        "config": config.model_dump(mode="json"),
        "input_dim": input_dim,
        "space_id": backbone.space_id,
        "data_version": data_version(artworks),
        "seed": config.training.seed,
    }
