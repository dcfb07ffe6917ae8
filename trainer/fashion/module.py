"""An attribute encoder in training, in two stages (F-9).

Standalone: two views of a record, each with fields left out, are to find each other; no pictures are needed.
Contrastive: records are to find their pictures, and pictures their records.

Shapes: N garments, B garments of a batch, D vector.
"""

from collections.abc import Iterator
from typing import Any, Literal

import torch

from trainer.fashion.augment import dropped_fields, unknown_words
from trainer.fashion.config import FashionTraining
from trainer.fashion.contrast import info_nce
from trainer.fashion.encoders.base import AttributeEncoder
from trainer.fashion.evaluation.retrieval import evaluate_retrieval
from trainer.fashion.rates import rate_of
from trainer.fashion.wardrobes import Wardrobe
from trainer.fitting import EpochBatches, EpochModule

Stage = Literal["standalone", "contrastive"]

# What the views of a record to validate with are drawn from: the same ones after every epoch.
_VIEW_SEED = 0


class EncoderFit(EpochModule):
    """Trains an encoder on one part of a split and measures it on the other."""

    network: AttributeEncoder

    def __init__(
        self,
        encoder: AttributeEncoder,
        settings: FashionTraining,
        train: Wardrobe,
        val: Wardrobe,
        rng: torch.Generator,
        stage: Stage = "contrastive",
    ) -> None:
        super().__init__(encoder, (rng,))
        self.settings, self.stage, self.rng = settings, stage, rng
        self.train_part, self.val_part = train, val

    @property
    def rate(self) -> float:
        # Records alone only start the encoder: their few epochs follow no schedule.
        return (
            self.settings.learning_rate if self.stage == "standalone" else rate_of(self.settings, self.epoch)
        )

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(
            self.network.parameters(),
            lr=self.settings.learning_rate,
            weight_decay=self.settings.weight_decay,
            fused=True,
        )

    def train_dataloader(self) -> Any:
        return EpochBatches(self._batches)

    def transfer_batch_to_device(self, batch: Any, _device: torch.device, _loader: int) -> Any:
        # Rows are drawn from tensors in host memory.
        return batch

    def training_step(self, row_B: torch.Tensor) -> torch.Tensor:
        loss = self._contrast(self.train_part, row_B, self.rng, training=True)
        self.losses.append(loss.detach())
        return loss

    def measure(self) -> dict[str, float]:
        self.network.eval()
        try:
            with torch.inference_mode():
                loss = float(self._val_loss())
            if self.stage == "standalone":
                return {"val/loss": loss}
            found = measure_retrieval(self.network, self.val_part)
        finally:
            self.network.train()
        return {
            "val/loss": loss,
            "val/recall@1": found["recall"]["1"],
            "val/recall@5": found["recall"]["5"],
            "val/recall@10": found["recall"]["10"],
            "val/mrr": found["mrr"],
        }

    def _batches(self) -> Iterator[torch.Tensor]:
        order_N = torch.randperm(len(self.train_part), generator=self.rng)
        # One garment alone has nothing to be told apart from.
        yield from (row_B for row_B in torch.split(order_N, self.settings.batch_size) if len(row_B) > 1)

    def _val_loss(self) -> torch.Tensor:
        """The mean over batches as long as those of training: time and memory grow with the garments."""
        rng = torch.Generator().manual_seed(_VIEW_SEED)
        batches = torch.split(torch.arange(len(self.val_part)), self.settings.batch_size)
        # The last one may be shorter, and one garment alone has nothing to be told apart from.
        weighed = [(len(row_B), row_B) for row_B in batches if len(row_B) > 1 or len(batches) == 1]
        losses = [
            count * self._contrast(self.val_part, row_B, rng, training=False) for count, row_B in weighed
        ]
        return torch.stack(losses).sum() / sum(count for count, _ in weighed)

    def _contrast(
        self, part: Wardrobe, row_B: torch.Tensor, rng: torch.Generator, *, training: bool
    ) -> torch.Tensor:
        settings = self.settings
        tie_B = part.tie_N[row_B].to(self.device) if settings.exclude_ties else None
        if self.stage == "standalone":
            one_BD, other_BD = (self._vectors(part, row_B, rng, views=True) for _ in range(2))
            return info_nce(one_BD, other_BD, settings.temperature, tie_B)
        record_BD = self._vectors(part, row_B, rng, views=training)
        return info_nce(record_BD, part.picture_ND[row_B].to(self.device), settings.temperature, tie_B)

    def _vectors(
        self, part: Wardrobe, row_B: torch.Tensor, rng: torch.Generator, *, views: bool
    ) -> torch.Tensor:
        """float32 vector_BD; with `views`, of records as customers write them: incomplete, unknown words."""
        tensors = part.rows(row_B)
        if views:
            tensors = dropped_fields(tensors, self.network.fields, self.settings.field_dropout, rng)
            tensors = unknown_words(tensors, self.settings.unknown_rate, rng)
        with self.trainer.precision_plugin.forward_context():
            named = [tensors[name].to(self.device) for name in self.network.inputs]
            found: torch.Tensor = self.network(*named)
        return found.float()


@torch.inference_mode()
def measure_retrieval(encoder: AttributeEncoder, part: Wardrobe) -> dict[str, Any]:
    """Records finding their pictures in all of a part (F-13)."""
    training, device = encoder.training, next(encoder.parameters()).device
    encoder.eval()
    try:
        record_ND = encoder(*(part.tensors[name].to(device) for name in encoder.inputs)).cpu().numpy()
    finally:
        encoder.train(training)
    return evaluate_retrieval(record_ND, part.picture_ND.numpy(), part.keys)
