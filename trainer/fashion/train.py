"""Training of an attribute encoder against the vectors of the published image model (F-9, F-13).

Shapes: N garments, B batch, D vector.
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from inference.attributes import AttributeSchema
from model_store.manifest import AttributePreprocessing
from model_store.store import Version
from trainer.checkpoints import load_checkpoint, save_checkpoint
from trainer.fashion.augment import dropped_fields, unknown_words
from trainer.fashion.config import EncoderSettings, FashionConfig
from trainer.fashion.contrast import info_nce
from trainer.fashion.data.records import GarmentRecord, data_version, split_records
from trainer.fashion.encoders.pooled import PooledEncoder
from trainer.fashion.evaluation.retrieval import evaluate_retrieval
from trainer.features import vectors_of_files
from trainer.runs import Patience, choose_device, gpu_memory, one_thread, write_report
from trainer.tracking import Tracked, Tracker, tracking
from trainer.workspace import Workspace

KIND = "fashion-attributes"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class FashionReport:
    """What a run made: the checkpoint to publish and how good it is; `body` is `report.json`."""

    checkpoint: Path
    body: dict[str, Any]

    @property
    def recall_at_10(self) -> float:
        """Full-gallery Recall@10 on the validation split, in [0, 1]; chance and ceiling are in `body`."""
        return float(self.body["val"]["recall"]["10"])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wardrobe:
    """One part of the split as tensors: index tensors by name, picture (N, D), number of each tie (N,)."""

    tensors: Mapping[str, torch.Tensor]
    pictures: torch.Tensor
    ties: torch.Tensor
    keys: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.keys)


def train_fashion(
    config: FashionConfig, garments: tuple[GarmentRecord, ...], image: Version, space: Workspace
) -> FashionReport:
    """Train an attribute encoder; what it leaves behind lies under `space.out`.

    Writes `checkpoints/{best_model,last}.pt` and `report.json`. The same arguments give the same weights
    on the CPU. Raises InvalidData: when the garments cannot be split or their pictures not be read.
    """
    started = time.monotonic()
    space.out.mkdir(parents=True, exist_ok=True)
    split = split_records(garments, config.training.seed)
    members = (*split.train, *split.val)
    vector_ND = vectors_of_files([g.path for g in members], image, space, "fashion vectors")
    preprocessing = config.attributes.preprocessing()
    train = _wardrobe(split.train, vector_ND[: len(split.train)], preprocessing)
    val = _wardrobe(split.val, vector_ND[len(split.train) :], preprocessing)
    header = {
        "kind": KIND,
        "config": config.model_dump(mode="json"),
        "preprocessing": preprocessing.model_dump(mode="json"),
        "space_id": image.space_id,
        "data_version": data_version(garments),
        "seed": config.training.seed,
    }
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
    best = load_checkpoint(checkpoint, KIND)
    body = {
        "image": {"version": str(image), "space_id": image.space_id},
        "split": {"train": len(split.train), "val": len(split.val), "seed": config.training.seed},
        "epochs": history,
        "best_epoch": best["epoch"],
        "val": _retrieval(restore_encoder(best), val),
        "data_version": best["data_version"],
        "wandb_run": best["wandb_run"],
        "seconds": round(time.monotonic() - started, 2),
    }
    return FashionReport(checkpoint=checkpoint, body=write_report(space.out / "report.json", body))


def restore_encoder(checkpoint: Mapping[str, Any]) -> PooledEncoder:
    """The encoder of a checkpoint, ready to encode."""
    preprocessing = AttributePreprocessing.model_validate(checkpoint["preprocessing"])
    encoder = PooledEncoder(
        preprocessing.fields, EncoderSettings.model_validate(checkpoint["config"]["encoder"])
    )
    encoder.load_state_dict(checkpoint["model_state_dict"])
    return encoder.eval()


class _Fit:
    """One run of the optimiser: epochs, validation, checkpoints, early stopping."""

    def __init__(self, config: FashionConfig, space: Workspace, header: Mapping[str, Any]) -> None:
        self.settings, self.space, self.header = config.training, space, header
        self.device = choose_device(self.settings.device)
        torch.manual_seed(self.settings.seed)
        self.rng = torch.Generator().manual_seed(self.settings.seed)
        self.model = PooledEncoder(config.attributes.preprocessing().fields, config.encoder).to(self.device)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=self.settings.learning_rate, weight_decay=self.settings.weight_decay
        )
        self.best = (-1.0, -float("inf"))

    def run(self, train: _Wardrobe, val: _Wardrobe, tracker: Tracker) -> list[dict[str, float]]:
        """Figures of each epoch; the checkpoints are on disk."""
        history: list[dict[str, float]] = []
        patience = Patience(self.settings.early_stopping_patience)
        for epoch in range(1, self.settings.max_epochs + 1):
            started = time.monotonic()
            figures = {"train/loss": self._epoch(train), "train/lr": self.settings.learning_rate}
            found = _retrieval(self.model, val)
            figures |= {
                "val/loss": self._loss(val),
                "val/recall@10": found["recall"]["10"],
                "val/mrr": found["mrr"],
            }
            figures |= {
                "system/epoch_time": time.monotonic() - started,
                "system/gpu_memory": gpu_memory(self.device),
            }
            tracker.log(figures, epoch)
            history.append({"epoch": epoch, **figures})
            self._keep(epoch, figures)
            self.space.progress("fashion training", epoch, self.settings.max_epochs)
            if patience.exhausted(figures["val/loss"]):
                _log.info("training stopped early", extra={"epoch": epoch})
                break
        return history

    def _epoch(self, train: _Wardrobe) -> float:
        self.model.train()
        losses = []
        order = torch.randperm(len(train), generator=self.rng)
        for batch_B in torch.split(order, self.settings.batch_size):
            if len(batch_B) < 2:
                continue
            tensors = {name: tensor[batch_B] for name, tensor in train.tensors.items()}
            tensors = dropped_fields(tensors, self.model.fields, self.settings.field_dropout, self.rng)
            tensors = unknown_words(tensors, self.settings.unknown_rate, self.rng)
            loss = self._contrast(tensors, train.pictures[batch_B], train.ties[batch_B])
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.gradient_clip_norm)
            self.optimizer.step()
            losses.append(float(loss.detach()))
        return float(np.mean(losses))

    def _contrast(
        self, tensors: Mapping[str, torch.Tensor], picture_BD: torch.Tensor, tie_B: torch.Tensor
    ) -> torch.Tensor:
        record_BD = self.model(*(tensors[name].to(self.device) for name in self.model.inputs))
        keys = tie_B.to(self.device) if self.settings.exclude_ties else None
        return info_nce(record_BD, picture_BD.to(self.device), self.settings.temperature, keys)

    @torch.no_grad()
    def _loss(self, val: _Wardrobe) -> float:
        self.model.eval()
        return float(self._contrast(val.tensors, val.pictures, val.ties))

    def _keep(self, epoch: int, figures: Mapping[str, float]) -> None:
        folder = self.space.out / self.settings.checkpoint_dir
        body = {
            **self.header,
            "epoch": epoch,
            "model_state_dict": {name: tensor.cpu() for name, tensor in self.model.state_dict().items()},
            "optimizer_state_dict": self.optimizer.state_dict(),
            "metrics": {name: float(value) for name, value in figures.items() if name.startswith("val/")},
        }
        save_checkpoint(folder / "last.pt", body)
        standing = (figures["val/recall@10"], -figures["val/loss"])
        if standing > self.best:
            self.best = standing
            save_checkpoint(folder / "best_model.pt", body)


def _wardrobe(
    garments: tuple[GarmentRecord, ...], vector_ND: np.ndarray, preprocessing: AttributePreprocessing
) -> _Wardrobe:
    arrays = AttributeSchema(preprocessing).tensors([g.attributes for g in garments])
    keys = tuple(g.key for g in garments)
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return _Wardrobe(
        tensors={name: torch.from_numpy(array) for name, array in arrays.items()},
        pictures=torch.from_numpy(vector_ND),
        ties=torch.tensor([numbers[key] for key in keys]),
        keys=keys,
    )


@torch.no_grad()
def _retrieval(model: PooledEncoder, part: _Wardrobe) -> dict[str, Any]:
    model.eval()
    device = next(model.parameters()).device
    record_ND = model(*(part.tensors[name].to(device) for name in model.inputs)).cpu().numpy()
    return evaluate_retrieval(record_ND, part.pictures.numpy(), part.keys)
