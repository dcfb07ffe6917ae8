"""Every setting of a fashion model and of its training (F-3, F-4, F-7, F-9, F-22, F-23)."""

import re
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, model_validator
from pydantic_core import PydanticCustomError

from inference.attributes import normalise_text
from model_store.manifest import AttributeField, AttributePreprocessing
from trainer.configuration import CONFIG_DIRECTORY, Positive, Settings, TrainingSettings, read_settings
from trainer.errors import InvalidConfig
from trainer.loop.schedules import Schedule
from trainer.pictures import PictureBounds
from trainer.views import PictureChanges

Share = Annotated[float, Field(ge=0, le=1)]


def _pattern(text: str) -> str:
    try:
        groups = re.compile(text).groups
    except re.error as error:
        raise PydanticCustomError("pattern", "Input should be a regular expression") from error
    if groups != 1:
        raise PydanticCustomError("pattern", "Input should have one group, which is the look")
    return text


Pattern = Annotated[str, AfterValidator(_pattern)]
# By field, then by word: the words of that field that may replace it or stand beside it.
Lexicon = dict[str, dict[str, tuple[str, ...]]]


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
    # What a shop calls it, for display; empty where that is its name.
    label: str = ""


class AttributeSettings(Settings):
    """The schema of attribute records. columns: the field of a shop's column, by its name there."""

    extended: bool = True
    fields: tuple[FieldSettings, ...] = Field(min_length=1)
    spelling: dict[str, str] = Field(default_factory=dict)
    columns: dict[str, str] = Field(default_factory=dict)

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


class SplitSettings(Settings):
    """Shares of the garments, by whole photographs and looks, that are held back from training (F-5).

    Every choice is made on the validation part; the headline is of the test part, which 0 leaves out.
    """

    validation: float = Field(0.1, gt=0, lt=1)
    test: float = Field(0.2, ge=0, lt=1)

    @model_validator(mode="after")
    def _some_are_left(self) -> "SplitSettings":
        if self.validation + self.test >= 1:
            raise ValueError(f"validation {self.validation} and test {self.test} leave nothing to train on")
        return self


# How checkpoints that state no shares were trained: without a test part.
EARLIER_SPLIT = SplitSettings(validation=0.2, test=0.0)


class PooledSettings(Settings):
    """Widths of the default encoder."""

    kind: Literal["pooled"] = "pooled"
    field_dim: Positive = 128
    hidden_dim: Positive = 512
    dropout: float = Field(0.1, ge=0, lt=1)


class AttentionSettings(Settings):
    """The encoder with attention between fields; each of `dim` divides into each of `heads`."""

    kind: Literal["attention"] = "attention"
    dim: Literal[128, 256, 512] = 128
    heads: Literal[4, 8, 16] = 4
    layers: Literal[2, 4, 6] = 2
    dropout: float = Field(0.1, ge=0, lt=1)


def _tenths(value: float) -> float:
    if value not in (0.1, 0.2, 0.3):
        raise PydanticCustomError("tenths", "Input should be 0.1, 0.2 or 0.3")
    return value


class ResidualSettings(Settings):
    """The encoder of residual blocks."""

    kind: Literal["residual"] = "residual"
    field_dim: Positive = 128
    hidden_dim: Positive = 512
    blocks: Literal[3, 5, 7] = 3
    activation: Literal["relu", "gelu", "silu"] = "relu"
    norm: Literal["batch", "layer"] = "batch"
    dropout: Annotated[float, AfterValidator(_tenths)] = 0.1


def _with_kind(settings: Any) -> Any:
    # Older files and checkpoints state no kind.
    return {"kind": "pooled", **settings} if isinstance(settings, Mapping) else settings


EncoderSettings = Annotated[
    PooledSettings | AttentionSettings | ResidualSettings,
    Field(discriminator="kind"),
    BeforeValidator(_with_kind),
]
_ENCODER: TypeAdapter[EncoderSettings] = TypeAdapter(EncoderSettings)


class AugmentationSettings(PictureChanges):
    """How pictures and records of the training part are varied (F-22, F-24).

    Shares of `mixup` and `cutmix` are of the views; rates are of the fields or words of each record.
    """

    rotation: float = Field(15.0, ge=0, le=180)
    colour: float = Field(0.2, ge=0, lt=1)
    crop: float = Field(0.8, gt=0, le=1)
    autoaugment: bool = False
    mixup: Share = 0.0
    cutmix: Share = 0.0
    synonym_rate: Share = 0.0
    synonyms: Lexicon = Field(default_factory=dict)
    mixing_rate: Share = 0.0
    mixing_within: tuple[str, ...] = Field(("category",), min_length=1)
    emphasis_rate: Share = 0.0
    emphasis: Lexicon = Field(default_factory=dict)

    @model_validator(mode="after")
    def _views_are_mixed_once(self) -> "AugmentationSettings":
        if self.mixup + self.cutmix > 1:
            raise ValueError(f"mixup {self.mixup} and cutmix {self.cutmix} are more than all views")
        return self


# Similarities are multiplied by 100 at most, as in CLIP: Radford et al. 2021, arXiv:2103.00020.
LOWEST_TEMPERATURE = 0.01


class FashionTraining(TrainingSettings):
    """How an attribute encoder is trained."""

    learning_rate: float = Field(1e-3, gt=0)
    batch_size: int = Field(128, ge=2)
    max_epochs: Positive = 50
    schedule: Schedule = "cosine"
    step_epochs: Positive = 20
    step_factor: float = Field(0.5, gt=0, le=1)
    exponential_factor: float = Field(0.97, gt=0, le=1)
    temperature: float = Field(0.02, ge=LOWEST_TEMPERATURE)
    learn_temperature: bool = False
    exclude_ties: bool = True
    standalone_epochs: int = Field(5, ge=0)
    field_dropout: float = Field(0.2, ge=0, lt=1)
    unknown_rate: float = Field(0.02, ge=0, lt=1)
    wandb_project: str = "atelier-fashion"


class FashionConfig(Settings):
    """A fashion run."""

    checkpoint: str | None = None
    pictures: PictureBounds = PictureBounds()
    image: ImageSettings = ImageSettings()
    attributes: AttributeSettings
    split: SplitSettings = SplitSettings()
    looks: tuple[Pattern, ...] = ()
    encoder: EncoderSettings = PooledSettings()
    augmentation: AugmentationSettings = AugmentationSettings()
    training: FashionTraining = FashionTraining()


def known_tables(augmentation: AugmentationSettings, attributes: AttributeSettings) -> AugmentationSettings:
    """The same settings with those fields and words of the tables that a shop's vocabulary has."""
    known = {field.name: _normalised(field.words) for field in attributes.fields}

    def kept(lexicon: Lexicon) -> Lexicon:
        tables = {name: _known_words(words, known.get(name, set())) for name, words in lexicon.items()}
        return {name: words for name, words in tables.items() if words}

    within = tuple(name for name in augmentation.mixing_within if name in known)
    return augmentation.model_copy(
        update={
            "synonyms": kept(augmentation.synonyms),
            "emphasis": kept(augmentation.emphasis),
            "mixing_within": within or (attributes.fields[0].name,),
        }
    )


def _normalised(words: Iterable[str]) -> set[str]:
    return {normalise_text(word, {}) for word in words}


def _known_words(words: Mapping[str, tuple[str, ...]], known: set[str]) -> dict[str, tuple[str, ...]]:
    pairs = {
        word: tuple(other for other in others if _normalised((other,)) <= known)
        for word, others in words.items()
        if _normalised((word,)) <= known
    }
    return {word: others for word, others in pairs.items() if others}


def read_fashion_config(
    path: Path | None = None, overrides: Mapping[str, object] | None = None
) -> FashionConfig:
    """The settings in `path`, or those of `config/fashion.yml`. Raises InvalidConfig: naming the field."""
    path = path or CONFIG_DIRECTORY / "fashion.yml"
    config = read_settings(FashionConfig, path, overrides)
    try:
        _check_tables(config.augmentation, config.attributes)
    except ValueError as error:
        raise InvalidConfig(f"{path}: augmentation: {error}") from error
    return config


def _check_tables(augmentation: AugmentationSettings, attributes: AttributeSettings) -> None:
    """Refuse a word of the tables that is not of its field: misspelt, it would never be drawn.

    For the settings in a file alone: a shop brings its own words, and the tables are reduced to them.
    """
    fields = {field.name: field for field in attributes.fields}
    for what in ("mixing_within", "synonyms", "emphasis"):
        for name in getattr(augmentation, what):
            if name not in fields:
                raise ValueError(f"{what}: there is no field {name!r}")
    for what, lexicon in (("synonyms", augmentation.synonyms), ("emphasis", augmentation.emphasis)):
        for name, words in lexicon.items():
            if what == "emphasis" and not fields[name].multiple:
                raise ValueError(f"emphasis of {name!r}: the field holds one word, none can be added")
            known = _normalised(fields[name].words)
            for word in chain(words, *words.values()):
                if not _normalised((word,)) <= known:
                    raise ValueError(f"{what} of {name!r}: {word!r} is not in its vocabulary")


def read_encoder_settings(body: Mapping[str, Any]) -> EncoderSettings:
    """The settings of an encoder as a checkpoint has them; without a `kind`, those of the default kind.

    Raises pydantic's ValidationError: when this build has no encoder for them.
    """
    return _ENCODER.validate_python(body)
