"""The document that a run writes and every front end reads: `results/dashboard.json` (D-1).

Its JSON Schema is committed as `docs/dashboard.schema.json`. Pictures are paths relative to the run's folder.
A number that does not exist (an accuracy without pairs) is null.
"""

from collections.abc import Iterator
from typing import Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

SCHEMA_VERSION: Final = 1
# Points of a curve that a document holds at most.
MOST_POINTS: Final = 2_000

RunState = Literal["running", "done", "failed", "interrupted"]
# "unknown": of a run in a list whose header cannot be read.
RunKind = Literal["artwork", "fashion", "items", "fashion_tuning", "unknown"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null", allow_inf_nan=True)


class Headline(_Part):
    """The figure that matters most, as progress bars show it."""

    name: str
    value: float | None


class RunHeader(_Part):
    """What a list of runs shows of one.

    state: as its process left it; a reader turns "running" without a process into "interrupted".
    failure: in one line what ended a failed run. stage: what the run is doing, or did last.
    """

    schema_version: int = Field(SCHEMA_VERSION, ge=1, le=SCHEMA_VERSION)
    kind: RunKind
    state: RunState
    stage: str = ""
    started_at: AwareDatetime
    updated_at: AwareDatetime
    epoch: int = Field(ge=0)
    max_epochs: int = Field(ge=0)
    headline: Headline | None = None
    failure: str | None = None


class ItemCounts(_Part):
    """Items of a run: all, by part of the split, and by category (a style, or a tier of artworks)."""

    items: int = Field(ge=0)
    parts: dict[str, int] = {}
    categories: dict[str, int] = {}


class SimilarityFigures(_Part):
    """Mean cosine of a record with its own picture, and with other pictures."""

    positive: float | None
    negative: float | None


class NormFigures(_Part):
    """Lengths of the embeddings; `state` is "unit" where all are 1 within 1e-3, "free" otherwise."""

    mean: float | None
    std: float | None
    min: float | None
    max: float | None
    state: Literal["unit", "free"]


class ReliabilityFigures(_Part):
    """Stated probabilities beside what happened, bin by bin; `error` is the expected calibration error."""

    temperature: float | None = None
    error: float | None
    stated: list[float]
    actual: list[float]
    count: list[int]


class KeyFigures(_Part):
    """The cards of a run.

    metrics: by name, of the best epoch so far: `top_1`, `top_5`, `mrr`, `pair_accuracy`, …
    breakdowns: figures by group, as `pair_accuracy_by_gap` → {"S-A": 0.9}.
    """

    counts: ItemCounts
    epoch: int = Field(ge=0)
    max_epochs: int = Field(ge=0)
    progress: float = Field(ge=0, le=1)
    metrics: dict[str, float | None] = {}
    similarity: SimilarityFigures | None = None
    norm: NormFigures | None = None
    calibration: ReliabilityFigures | None = None
    breakdowns: dict[str, dict[str, float | None]] = {}


class LossCurve(_Part):
    """Curves over the same epochs: `train_loss`, `val_loss`, `learning_rate`, `norm_mean`, …"""

    epochs: list[int] = []
    series: dict[str, list[float | None]] = {}

    @model_validator(mode="after")
    def _check_lengths(self) -> "LossCurve":
        for name, values in self.series.items():
            if len(values) != len(self.epochs):
                raise ValueError(f"{name} has {len(values)} values for {len(self.epochs)} epochs")
        return self


class SearchQuery(_Part):
    """What was searched for."""

    label: str
    image: str | None = None
    attributes: dict[str, list[str]] = {}


class SearchMatch(_Part):
    """One of the nearest items, or of an order of artworks.

    label: what else is known of it, as the tier of an artwork. is_match: it is the query's own item or equal
    to it; of an artwork, that the order puts it into its own tier.
    """

    item_id: str
    image: str | None = None
    label: str = ""
    score: float
    is_match: bool = False


class SearchExample(_Part):
    """A query with its nearest items, nearest first."""

    query: SearchQuery
    results: list[SearchMatch]


class CategorySearches(_Part):
    """The searches of one category."""

    category: str
    queries: list[SearchExample]


class TopImages(_Part):
    """Searches by category, as the model of `epoch` answers them."""

    epoch: int | None = None
    categories: list[CategorySearches] = []


class TuningTrial(_Part):
    """One training of a study; `state` as in the study: finished, pruned or failed."""

    number: int
    phase: str
    state: str
    value: float | None
    settings: dict[str, Any] = {}


class TuningSummary(_Part):
    """The trials of a study and the best of them."""

    objective: str
    best: TuningTrial | None
    trials: list[TuningTrial] = []


class Hyperparameters(_Part):
    """Settings by dotted name, and the study that the run belongs to."""

    settings: dict[str, Any] = {}
    tuning: TuningSummary | None = None


class AugmentedSample(_Part):
    """A picture or a record after augmentation, with what it was before."""

    image: str | None = None
    attributes: dict[str, list[str]] = {}
    original_image: str | None = None
    original_attributes: dict[str, list[str]] = {}
    note: str = ""


class DashboardDocument(_Part):
    """A whole run, as `results/dashboard.json` holds it."""

    schema_version: int = Field(SCHEMA_VERSION, ge=1, le=SCHEMA_VERSION)
    run: RunHeader
    kpi: KeyFigures
    loss_curve: LossCurve = LossCurve()
    top_k_images: TopImages = TopImages()
    hyperparams: Hyperparameters = Hyperparameters()
    augmented_samples: list[AugmentedSample] = []

    def pictures(self) -> frozenset[str]:
        """Every picture that the document names."""
        return frozenset(path for path in self._pictures() if path is not None)

    def _pictures(self) -> Iterator[str | None]:
        for sample in self.augmented_samples:
            yield from (sample.image, sample.original_image)
        for category in self.top_k_images.categories:
            for example in category.queries:
                yield example.query.image
                yield from (result.image for result in example.results)


def dashboard_schema() -> dict[str, Any]:
    """The JSON Schema of the document."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **DashboardDocument.model_json_schema(mode="serialization"),
    }
