"""An attribute encoder in training, in two stages (F-9).

Standalone: two views of a record, each with fields left out, are to find each other; no pictures are needed.
Contrastive: records are to find their pictures, and pictures their records.

Shapes: N garments, B garments of a batch, M records beside them, D vector.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch.nn import functional

from inference.attributes import AttributeSchema
from model_store.manifest import AttributePreprocessing
from trainer.fashion.augmentation.records import RecordVariants, dropped_fields, unknown_words
from trainer.fashion.augmentation.views import PictureViews
from trainer.fashion.config import LOWEST_TEMPERATURE, FashionTraining
from trainer.fashion.data.prepared_data import GarmentRecord, number_ties, query_keys
from trainer.fashion.encoders import FieldEncoder, encode_tensors
from trainer.fashion.evaluation.retrieval import evaluate_retrieval
from trainer.loop.board import measure_norms
from trainer.loop.module import EpochBatches, EpochModule
from trainer.loop.schedules import cosine_rate, exponential_rate, step_rate

Stage = Literal["standalone", "contrastive"]

# The learned scale is one number, which moves far: as many times the rate of the weights.
_SCALE_RATE = 10.0
# What the views of a record to validate with are drawn from: the same ones after every epoch.
_VIEW_SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GarmentTensors:
    """A part of a split: index tensors by name, float32 picture_ND of length 1, int64 tie_N, keys.

    Records that are equal to an encoder have the same key and the same tie: they are the same query. `views`
    are for training; measurements use the pictures themselves.
    """

    tensors: Mapping[str, torch.Tensor]
    picture_ND: torch.Tensor
    tie_N: torch.Tensor
    keys: tuple[str, ...]
    views: PictureViews | None = None

    def __len__(self) -> int:
        return len(self.keys)

    def rows(self, row_B: torch.Tensor) -> dict[str, torch.Tensor]:
        """The index tensors of some garments."""
        return {name: tensor[row_B] for name, tensor in self.tensors.items()}


def make_tensors(
    garments: Sequence[GarmentRecord],
    vector_ND: np.ndarray,
    preprocessing: AttributePreprocessing,
    views: PictureViews | None = None,
) -> GarmentTensors:
    """The garments with the vectors that the image model gave for their pictures."""
    schema, records = AttributeSchema(preprocessing), [garment.attributes for garment in garments]
    arrays, keys = schema.tensors(records), query_keys(records, schema)
    return GarmentTensors(
        tensors={name: torch.from_numpy(array) for name, array in arrays.items()},
        picture_ND=torch.from_numpy(vector_ND),
        tie_N=torch.from_numpy(number_ties(keys)),
        keys=keys,
        views=views,
    )


class EncoderModule(EpochModule):
    """Trains an encoder on one part of a split and measures it on the other.

    variants: how records of the training part are varied. Validation sees records and pictures as they are.
    """

    network: FieldEncoder

    def __init__(
        self,
        encoder: FieldEncoder,
        settings: FashionTraining,
        train: GarmentTensors,
        val: GarmentTensors,
        rng: torch.Generator,
        stage: Stage = "contrastive",
        variants: RecordVariants | None = None,
    ) -> None:
        super().__init__(encoder, (rng,), weight_decay=settings.weight_decay)
        self.settings, self.stage, self.rng, self.variants = settings, stage, rng, variants
        self.train_part, self.val_part = train, val
        # The first stage only starts the encoder: its temperature is that of the settings.
        learnt = settings.learn_temperature and stage == "contrastive"
        self.scale = torch.nn.Parameter(torch.tensor(settings.temperature).log().neg()) if learnt else None

    @property
    def rate(self) -> float:
        # Records alone only start the encoder: their few epochs follow no schedule.
        return (
            self.settings.learning_rate if self.stage == "standalone" else rate_of(self.settings, self.epoch)
        )

    @property
    def temperature(self) -> torch.Tensor | float:
        """What similarities are divided by: as set, or as learnt so far."""
        return self.settings.temperature if self.scale is None else torch.exp(-self.scale)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        optimizer = super().configure_optimizers()
        if self.scale is not None:
            optimizer.add_param_group({"params": [self.scale], "weight_decay": 0.0})
        return optimizer

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        if self.scale is not None:
            optimizer = self.optimizers()
            assert isinstance(optimizer, LightningOptimizer)
            optimizer.param_groups[-1]["lr"] = _SCALE_RATE * self.rate

    def on_train_batch_end(self, _outputs: Any, _batch: Any, _number: int) -> None:
        if self.scale is not None:
            with torch.no_grad():
                self.scale.clamp_(0.0, -math.log(LOWEST_TEMPERATURE))

    def state(self) -> dict[str, Any]:
        scale = {} if self.scale is None else {"scale": self.scale.detach().cpu()}
        return {**super().state(), **scale}

    def restore(self, epoch: int, state: Mapping[str, Any]) -> None:
        super().restore(epoch, state)
        if self.scale is not None:
            with torch.no_grad():
                self.scale.copy_(state["scale"])

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
            record_ND = encode_tensors(self.network, self.val_part.tensors)
        finally:
            self.network.train()
        figures = evaluate_retrieval(record_ND, self.val_part.picture_ND.numpy(), self.val_part.keys)
        return {
            "train/temperature": float(self.temperature),
            "val/loss": loss,
            "val/mrr": figures["mrr"],
            **{f"val/recall@{k}": figures["recall"][k] for k in ("1", "5", "10")},
            **{f"val/{name}": figures[name] for name in ("positive_similarity", "negative_similarity")},
            **measure_norms(np.linalg.norm(record_ND, axis=1)),
        }

    def _batches(self) -> Iterator[torch.Tensor]:
        order_N = torch.randperm(len(self.train_part), generator=self.rng)
        # A garment alone has nothing to be distinguished from.
        yield from (row_B for row_B in torch.split(order_N, self.settings.batch_size) if len(row_B) > 1)

    def _val_loss(self) -> torch.Tensor:
        """The mean over batches as long as those of training: time and memory grow with the garments."""
        rng = torch.Generator().manual_seed(_VIEW_SEED)
        batches = torch.split(torch.arange(len(self.val_part)), self.settings.batch_size)
        # The last one may be shorter, and a garment alone has nothing to be distinguished from.
        weighed = [(len(row_B), row_B) for row_B in batches if len(row_B) > 1 or len(batches) == 1]
        losses = [
            count * self._contrast(self.val_part, row_B, rng, training=False) for count, row_B in weighed
        ]
        return torch.stack(losses).sum() / sum(count for count, _ in weighed)

    def _contrast(
        self, part: GarmentTensors, row_B: torch.Tensor, rng: torch.Generator, *, training: bool
    ) -> torch.Tensor:
        if self.stage == "standalone":
            one_BD, other_BD = (self._vectors(self._written(part, row_B, rng, training)) for _ in range(2))
            return info_nce(one_BD, other_BD, self.temperature, self._ties(part, row_B))
        if not training:
            record_BD, picture_BD = self._vectors(part.rows(row_B)), part.picture_ND[row_B]
        elif part.views is not None:
            return self._contrast_views(part, part.views, row_B, rng)
        else:
            record_BD = self._vectors(self._written(part, row_B, rng, training))
            picture_BD = part.picture_ND[row_B]
        return info_nce(record_BD, picture_BD.to(self.device), self.temperature, self._ties(part, row_B))

    def _contrast_views(
        self, part: GarmentTensors, views: PictureViews, row_B: torch.Tensor, rng: torch.Generator
    ) -> torch.Tensor:
        """One view of each garment, against the records of all garments that the views show."""
        seen = views.draw(row_B, rng)
        record_MD = self._vectors(self._written(part, seen.row_M, rng, training=True))
        return shared_info_nce(
            record_MD,
            seen.picture_BD.to(self.device),
            seen.share_BM.to(self.device),
            self.temperature,
            self._ties(part, seen.row_M),
        )

    def _ties(self, part: GarmentTensors, row_B: torch.Tensor) -> torch.Tensor | None:
        return part.tie_N[row_B].to(self.device) if self.settings.exclude_ties else None

    def _written(
        self, part: GarmentTensors, row_B: torch.Tensor, rng: torch.Generator, training: bool
    ) -> Mapping[str, torch.Tensor]:
        """Records as customers write them: incomplete, with unknown words; in training in variants too."""
        variants = self.variants if training else None
        tensors = part.rows(row_B) if variants is None else variants.draw(row_B, rng)
        tensors = dropped_fields(tensors, self.network.fields, self.settings.field_dropout, rng)
        return unknown_words(tensors, self.settings.unknown_rate, rng)

    def _vectors(self, tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """float32 vector_BD."""
        with self.trainer.precision_plugin.forward_context():
            named = [tensors[name].to(self.device) for name in self.network.inputs]
            vector_BD: torch.Tensor = self.network(*named)
        return vector_BD.float()


def rate_of(settings: FashionTraining, epoch: int) -> float:
    """The rate of an epoch, counted from 1, by `settings.schedule`; nothing else decides it."""
    highest = settings.learning_rate
    match settings.schedule:
        case "constant":
            return highest
        case "cosine":
            return cosine_rate(epoch, highest=highest, lowest=0.0, period=settings.max_epochs)
        case "step":
            return step_rate(epoch, highest=highest, every=settings.step_epochs, factor=settings.step_factor)
        case "exponential":
            return exponential_rate(epoch, highest=highest, factor=settings.exponential_factor)


def info_nce(
    record_BD: torch.Tensor,
    picture_BD: torch.Tensor,
    temperature: torch.Tensor | float,
    key_B: torch.Tensor | None = None,
) -> torch.Tensor:
    """Mean cross-entropy of finding each record's picture and each picture's record in the batch.

    Both inputs have length 1. With `key_B`, equal for equal records, the other members of a tie are not
    negatives: they are the same query.
    """
    logit_BB = record_BD @ picture_BD.T / temperature
    if key_B is not None:
        tied_BB = (key_B[:, None] == key_B[None, :]) & ~torch.eye(
            len(key_B), dtype=torch.bool, device=key_B.device
        )
        logit_BB = logit_BB.masked_fill(tied_BB, -torch.inf)
    own_B = torch.arange(len(record_BD), device=record_BD.device)
    return (functional.cross_entropy(logit_BB, own_B) + functional.cross_entropy(logit_BB.T, own_B)) / 2


def shared_info_nce(
    record_MD: torch.Tensor,
    picture_BD: torch.Tensor,
    share_BM: torch.Tensor,
    temperature: torch.Tensor | float,
    key_M: torch.Tensor | None = None,
) -> torch.Tensor:
    """`info_nce` where a picture may show two garments: each pair counts by its share, in both directions.

    share_BM: how much of a picture belongs to a record; rows sum to 1. A record that ties with one that a
    picture shows is not a negative of that picture. With a single record a picture this is `info_nce`.
    """
    logit_BM = picture_BD @ record_MD.T / temperature
    shown_BM = share_BM > 0
    if key_M is not None:
        same_MM = (key_M[:, None] == key_M[None, :]).to(share_BM.dtype)
        logit_BM = logit_BM.masked_fill((share_BM @ same_MM > 0) & ~shown_BM, -torch.inf)
    # A probability may be 0 where nothing is shown, and 0 times its logarithm is NaN.
    log_BM = (functional.log_softmax(logit_BM, 1) + functional.log_softmax(logit_BM, 0)) / 2
    return -(share_BM * torch.where(shown_BM, log_BM, 0.0)).sum() / len(picture_BD)
