"""Every setting of a fashion model and of its training (F-3, F-4, F-7, F-9)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from model_store.manifest import AttributeField, AttributePreprocessing
from trainer.configuration import CONFIG_DIRECTORY, Settings, read_settings
from trainer.schedules import Schedule

Positive = Annotated[int, Field(ge=1)]


class ImageSettings(Settings):
    """The frozen image tower."""

    source: str = "hf-hub:Marqo/marqo-fashionCLIP"
    library: Literal["auto", "open_clip", "transformers"] = "auto"


class FieldSettings(Settings):
    """One attribute and the closed list of its words."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    multiple: bool
    core: bool
    words: tuple[str, ...] = Field(min_length=1)


class AttributeSettings(Settings):
    """The schema of attribute records."""

    extended: bool = True
    fields: tuple[FieldSettings, ...] = Field(min_length=1)
    spelling: dict[str, str] = Field(default_factory=dict)

    def preprocessing(self) -> AttributePreprocessing:
        """The schema as it goes into a manifest: the core fields, and the others unless `extended` is off."""
        return AttributePreprocessing(
            fields=tuple(
                AttributeField(name=field.name, multiple=field.multiple, vocabulary=field.words)
                for field in self.fields
                if field.core or self.extended
            ),
            spelling=self.spelling,
        )


class EncoderSettings(Settings):
    """Widths of the attribute encoder."""

    field_dim: Positive = 128
    hidden_dim: Positive = 512
    dropout: float = Field(0.1, ge=0, lt=1)


class FashionTraining(Settings):
    """How an attribute encoder is trained."""

    learning_rate: float = Field(1e-4, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    batch_size: int = Field(64, ge=2)
    max_epochs: Positive = 10
    schedule: Schedule = "constant"
    step_epochs: Positive = 20
    step_factor: float = Field(0.5, gt=0, le=1)
    exponential_factor: float = Field(0.97, gt=0, le=1)
    temperature: float = Field(0.1, gt=0)
    exclude_ties: bool = True
    standalone_epochs: int = Field(5, ge=0)
    save_every_n_epochs: Positive = 5
    field_dropout: float = Field(0.2, ge=0, lt=1)
    unknown_rate: float = Field(0.02, ge=0, lt=1)
    gradient_clip_norm: float = Field(1.0, gt=0)
    early_stopping_patience: Positive = 10
    checkpoint_dir: str = "checkpoints"
    wandb_enabled: bool = True
    wandb_project: str = "atelier-fashion"
    wandb_run_name: str | None = None
    device: Literal["cuda", "cpu"] = "cuda"
    seed: int = Field(42, ge=0)


class FashionConfig(Settings):
    """A fashion run."""

    checkpoint: str | None = None
    image: ImageSettings = ImageSettings()
    attributes: AttributeSettings
    encoder: EncoderSettings = EncoderSettings()
    training: FashionTraining = FashionTraining()


def read_fashion_config(
    path: Path | None = None, overrides: Mapping[str, object] | None = None
) -> FashionConfig:
    """The settings in `path`, or those of `config/fashion.yml`. Raises InvalidConfig: naming the field."""
    return read_settings(FashionConfig, path or CONFIG_DIRECTORY / "fashion.yml", overrides)
