"""Every setting of item vectors (I-1 … I-5); the columns of the table are settings too."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from trainer.configuration import CONFIG_DIRECTORY, Settings, read_settings

Encoding = Literal["number", "log", "onehot", "target"]
Names = tuple[Annotated[str, Field(min_length=1)], ...]


class InputSettings(Settings):
    """The files of a run."""

    features: Path
    metadata: Path


class ColumnSettings(Settings):
    """What single columns of the table mean.

    item_weight: amount produced. domain: the industry, a key of `domain_weights` in the metadata. targets:
    numbers whose means stand for target-encoded words. labels: what a record shows of an item.
    """

    item_id: str
    item_weight: str | None = None
    domain: str | None = None
    targets: Names = ()
    labels: Names = ()


class FeatureGroup(Settings):
    """Columns that belong together, by how they become features.

    number: scaled as they are. log: scaled after log(1 + x). onehot: words, a feature each. target: words,
    each replaced by the means of `columns.targets`. weight: how much the group counts in a distance.
    """

    number: Names = ()
    log: Names = ()
    onehot: Names = ()
    target: Names = ()
    weight: float = Field(1.0, gt=0, le=100)

    def columns(self) -> Iterator[tuple[str, Encoding]]:
        """Each column with its encoding."""
        for encoding in ("number", "log", "onehot", "target"):
            for name in getattr(self, encoding):
                yield name, encoding


class CleaningSettings(Settings):
    """What counts as an outlier and as a rare word.

    outlier_factor: interquartile ranges beyond the quartiles. outliers: moved to that limit, or treated as
    missing. least_share: words of a smaller share of the items are one word. most_words: of a column.
    """

    outlier_factor: float = Field(3.0, gt=0)
    outliers: Literal["clip", "missing"] = "missing"
    least_share: float = Field(0.0005, ge=0, lt=1)
    most_words: int = Field(2_000, ge=1, le=100_000)


class WeightingSettings(Settings):
    """How item and domain weights count. floor: a row is never scaled by less."""

    enabled: bool = True
    floor: float = Field(0.05, gt=0, le=1)


class ProjectionSettings(Settings):
    """The vectors.

    whitening: how far directions that many columns share are scaled down: 0 keeps their deviation, 1 gives
    every direction the same. fit_rows: rows that everything is fitted on, drawn with the seed.
    """

    dimension: int = Field(128, ge=2, le=4096)
    whitening: float = Field(0.5, ge=0, le=1)
    fit_rows: int = Field(200_000, ge=2)
    batch_rows: int = Field(50_000, ge=1)


class HnswSettings(Settings):
    """The graph of nearest neighbours. threads: 0 is every core; 1 gives the same graph each time."""

    M: int = Field(32, ge=2, le=256)
    ef_construction: int = Field(200, ge=2, le=10_000)
    ef: int = Field(100, ge=1, le=10_000)
    threads: int = Field(0, ge=0, le=1024)


class ProjectorSettings(Settings):
    """What TensorBoard shows. most_items: drawn with the seed where there are more."""

    enabled: bool = True
    most_items: int = Field(10_000, ge=1, le=1_000_000)


class OutputSettings(Settings):
    """The folders of the results, relative to the folder of the run."""

    models: Path = Path("models")
    logs: Path = Path("logs")

    @field_validator("models", "logs")
    @classmethod
    def _stays_inside(cls, folder: Path) -> Path:
        if folder.is_absolute() or ".." in folder.parts or not folder.parts:
            raise ValueError(f"{str(folder)!r} is no folder inside the folder of the run")
        return folder


class ItemsConfig(Settings):
    """A run over a table of items."""

    input: InputSettings
    columns: ColumnSettings
    groups: dict[str, FeatureGroup] = Field(min_length=1)
    cleaning: CleaningSettings = CleaningSettings()
    weighting: WeightingSettings = WeightingSettings()
    projection: ProjectionSettings = ProjectionSettings()
    index: HnswSettings = HnswSettings()
    projector: ProjectorSettings = ProjectorSettings()
    output: OutputSettings = OutputSettings()
    seed: int = Field(42, ge=0, lt=1 << 32)

    @model_validator(mode="after")
    def _agrees(self) -> "ItemsConfig":
        names = [name for group in self.groups.values() for name, _ in group.columns()]
        if not names:
            raise ValueError("groups: they name no column")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"groups: columns named more than once: {', '.join(twice)}")
        if self.columns.item_id in names:
            raise ValueError(f"groups: {self.columns.item_id} is the identifier, not a feature")
        encoded = [name for group in self.groups.values() for name in group.target]
        if encoded and not self.columns.targets:
            raise ValueError(f"columns.targets is missing: {encoded[0]} is target-encoded")
        return self

    def deciding(self) -> dict[str, object]:
        """The settings that decide vectors and index, by dotted name: an incremental run shares them."""
        body = self.model_dump(mode="json")
        free = {"fit_rows", "batch_rows", "ef", "threads"}
        named = {
            f"{section}.{name}": value
            for section in ("columns", "groups", "cleaning", "weighting", "projection", "index")
            for name, value in body[section].items()
            if name not in free and (section, name) != ("columns", "labels")
        }
        return named | {"seed": self.seed}


def read_items_config(path: Path | None = None, overrides: Mapping[str, object] | None = None) -> ItemsConfig:
    """The settings in `path`, or those of `config/trainer.yml`. Raises InvalidConfig: naming the field."""
    return read_settings(ItemsConfig, path or CONFIG_DIRECTORY / "trainer.yml", overrides)
