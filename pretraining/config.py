"""Settings of the pretraining, from `config/encoders.yml`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, AliasChoices, Field, model_validator

from trainer.configuration import CONFIG_DIRECTORY, Settings, read_settings


def _rising(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] > bounds[1]:
        raise ValueError(f"the first of {list(bounds)} must not exceed the second")
    return bounds


_Positive = Annotated[float, Field(gt=0)]
Span = Annotated[tuple[_Positive, _Positive], AfterValidator(_rising)]
_Share = Annotated[float, Field(gt=0, le=1)]
_Lighting = Annotated[float, Field(gt=-1, le=1)]


class ViewSettings(Settings):
    """How far a view may be from its picture.

    `area` is the share of a photograph that is seen; drawn garments are seen whole, within `garment_area`,
    because their words name cut and length. `turn` is in degrees.
    """

    area: Span
    garment_area: Span
    stretch: float = Field(ge=0)
    turn: float = Field(ge=0)
    beyond: float = Field(ge=0)
    light: float = Field(ge=0, lt=1)
    tint: float = Field(ge=0, lt=1)
    cover: float = Field(ge=0, le=1)


class SceneSettings(Settings):
    """How drawn garments are laid on the grounds of photographs.

    `room` is the side of the view in lengths of the garment, `shift` the largest distance from the middle, in
    half lengths; where room is small, turn and shift cut a little off. `corner` is the side of the ground
    that is shown, in sides of its photograph, `turn` in degrees, `light` what is added to a brightness of 1.
    """

    room: Span
    shift: float = Field(ge=0)
    stretch: float = Field(ge=0)
    turn: float = Field(ge=0)
    corner: Annotated[tuple[_Share, _Share], AfterValidator(_rising)]
    light: Annotated[tuple[_Lighting, _Lighting], AfterValidator(_rising)]


class OptimiserSettings(Settings):
    """What the training of both encoders has in common; `warmup` is a share of all steps."""

    epochs: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    warmup: float = Field(gt=0, lt=1)
    average_decay: float = Field(ge=0, lt=1)
    device: Literal["cuda", "cpu"]
    seed: int = Field(ge=0)


class FashionEncoderSettings(OptimiserSettings):
    """The network and the training of the compact `fashion-image`."""

    trunk: str
    size: int = Field(ge=32, le=512)
    test_size: int = Field(ge=32, le=512)
    source_size: int = Field(ge=32, le=1024)
    garments: int = Field(ge=8)
    small_size: int = Field(ge=32, le=512)
    small_share: float = Field(ge=0, le=1)
    photographs_a_batch: int = Field(ge=2)
    garments_a_batch: int = Field(ge=1)
    laid_a_batch: int = Field(ge=0)
    sender_balance: float = Field(ge=0, le=1)
    smoothing: float = Field(ge=0, lt=1)
    scale: float = Field(gt=0)
    mix: float = Field(ge=0, le=1)
    paste: float = Field(ge=0, le=1)
    laid_weight: float = Field(ge=0)
    attribute_weight: float = Field(ge=0)
    colour_weight: float = Field(ge=0)
    views: ViewSettings
    scenes: SceneSettings

    @model_validator(mode="after")
    def _check_batch_and_sizes(self) -> "FashionEncoderSettings":
        if self.laid_a_batch > min(self.garments_a_batch, self.photographs_a_batch):
            raise ValueError(
                f"laid_a_batch {self.laid_a_batch} is more than garments_a_batch {self.garments_a_batch} "
                f"or photographs_a_batch {self.photographs_a_batch}"
            )
        if not self.small_size <= self.size <= self.source_size:
            raise ValueError(
                f"small_size {self.small_size}, size {self.size} and source_size {self.source_size} "
                "must rise in this order"
            )
        return self


class ArtworkEncoderSettings(OptimiserSettings):
    """The network and the training of the compact `artwork-backbone`."""

    hidden: int = Field(ge=8)
    layers: int = Field(ge=1)
    heads: int = Field(ge=1)
    patch: int = Field(ge=4)
    filter_gain: float = Field(gt=0)
    size: int = Field(ge=28)
    view: int = Field(ge=28)
    source_size: int = Field(ge=28)
    longest_side: int = Field(ge=28)
    paintings: int = Field(ge=0)
    garments: int = Field(ge=0)
    chains: int = Field(ge=1)
    chains_a_batch: int = Field(ge=1)
    fault_weight: float = Field(ge=0)
    order_weight: float = Field(ge=0)
    teacher_weight: float = Field(ge=0)
    gradient_weight: float = Field(ge=0)

    @model_validator(mode="after")
    def _check_sizes(self) -> "ArtworkEncoderSettings":
        for name, side in (("size", self.size), ("view", self.view)):
            if side % self.patch or side > self.source_size:
                raise ValueError(
                    f"{name} {side} must be a multiple of patch {self.patch} "
                    f"and at most source_size {self.source_size}"
                )
        if self.hidden > self.patch**2:
            raise ValueError(f"hidden {self.hidden} is more than the {self.patch**2} pixels of a patch")
        if self.hidden % self.heads:
            raise ValueError(f"hidden {self.hidden} does not divide into {self.heads} heads")
        return self


class BenchmarkSettings(Settings):
    """How many garments, pictures and pairs the benchmark of an encoder holds."""

    garments: int = Field(ge=30)
    sources: int = Field(ge=2)
    paintings: int = Field(ge=0)
    pairs: int = Field(ge=10)


class HeadsSettings(Settings):
    """The drawn sets of the packaged heads, and settings of their trainings over those of `config/`."""

    garments: int = Field(ge=20)
    paintings: int = Field(ge=20)
    graded_garments: int = Field(ge=0)
    seed: int = Field(ge=0)
    artwork: dict[str, object]
    fashion: dict[str, object]


class PretrainingSettings(Settings):
    """Both compact encoders, their heads, and their benchmark, which files of before call `exam`."""

    fashion: FashionEncoderSettings
    artwork: ArtworkEncoderSettings
    heads: HeadsSettings
    benchmark: BenchmarkSettings = Field(validation_alias=AliasChoices("benchmark", "exam"))


def read_pretraining_settings(
    path: Path | None = None, overrides: Mapping[str, object] | None = None
) -> PretrainingSettings:
    """The settings in a YAML file, by default `config/encoders.yml`, with `overrides` over them.

    Raises InvalidConfig: if the file or a value is not usable, naming the file and the field.
    """
    return read_settings(PretrainingSettings, path or CONFIG_DIRECTORY / "encoders.yml", overrides)
