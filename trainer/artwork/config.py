"""Every setting of an artwork model and of its training (A-5 … A-9, A-20, A-21)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from trainer.artwork.batches import Loader
from trainer.configuration import CONFIG_DIRECTORY, Positive, Settings, TrainingSettings, read_settings
from trainer.pictures import PictureBounds
from trainer.views import PictureChanges

Width = Annotated[int, Field(ge=1, le=8192)]


class BackboneSettings(Settings):
    """The frozen network and the pictures that it sees."""

    source: str = "facebook/dinov2-large"
    height: int = Field(768, ge=14, le=4096)
    width: int = Field(768, ge=14, le=4096)
    fit: Literal["squash", "letterbox", "crop"] = "squash"
    pooling: Literal["cls", "cls+mean+std"] = "cls"


class HeadSettings(Settings):
    """The projector and the score head."""

    hidden_dim: Width = 512
    output_dim: Width = 256
    score_dim: Width = 64
    standardise: bool = True
    dropout: float = Field(0.1, ge=0, lt=1)
    depth: int = Field(2, ge=2, le=4)


class TrainingConfig(TrainingSettings):
    """How a head is trained."""

    loader: Loader = "in_batch"
    pairs_per_epoch: int = Field(100_000, ge=0)
    hardest_pairs: float = Field(1.0, gt=0, le=1)
    warmup_epochs: int = Field(0, ge=0)
    gradient_accumulation: Positive = 1
    keep_top: Positive = 3
    ensemble: Positive = 1
    tie_probability: float = Field(0.55, ge=0.5, lt=1)
    margin: float = Field(1.0, gt=0)
    batch_size: int = Field(32, ge=2, le=1 << 20)
    scheduler_t_max: Positive = 100
    scheduler_eta_min: float = Field(1e-6, ge=0)
    checkpoint_dir: str = "checkpoints"
    wandb_project: str = "mirip-ranking"  # project name in wandb

    @field_validator("checkpoint_dir")
    @classmethod
    def _stays_inside(cls, folder: str) -> str:
        # A run clears this folder: one outside would be another run's.
        if not folder or not folder.isprintable() or Path(folder).is_absolute() or ".." in Path(folder).parts:
            raise ValueError(f"{folder!r} is no folder inside the folder of the run")
        return folder

    @model_validator(mode="after")
    def _agrees(self) -> "TrainingConfig":
        if self.scheduler_eta_min > self.learning_rate:
            raise ValueError(
                f"scheduler_eta_min is {self.scheduler_eta_min:g}, above learning_rate {self.learning_rate:g}"
            )
        if self.ensemble > self.keep_top:
            raise ValueError(
                f"ensemble is {self.ensemble}, above keep_top {self.keep_top}: lower it or raise keep_top"
            )
        return self


class ArtworkConfig(Settings):
    """An artwork run."""

    checkpoint: str | None = None
    pictures: PictureBounds = PictureBounds()
    backbone: BackboneSettings = BackboneSettings()
    head: HeadSettings = HeadSettings()
    augmentation: PictureChanges = PictureChanges()
    training: TrainingConfig = TrainingConfig()


def read_artwork_config(
    path: Path | None = None, overrides: Mapping[str, object] | None = None
) -> ArtworkConfig:
    """The settings in `path`, or those of `config/artwork.yml`. Raises InvalidConfig: naming the field."""
    return read_settings(ArtworkConfig, path or CONFIG_DIRECTORY / "artwork.yml", overrides)
