"""The fitted pipeline: from rows of the table to unit vectors, saved as numbers in JSON (I-2, M-1).

New items are transformed by the file that old items were transformed by, and by the same code. The file holds
no code and no pickle; it does not depend on the version of scikit-learn that fitted it.
Shapes: N rows, F features, D dimensions.
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import pandas as pd
from pydantic import Field, ValidationError, model_validator

from model_store.schema import reason
from trainer.configuration import Settings
from trainer.errors import InvalidCheckpoint, InvalidData
from trainer.items.config import CleaningSettings, ItemsConfig, ProjectionSettings
from trainer.items.features.assembly import (
    EncodedWords,
    FeatureAssembler,
    FeatureMatrix,
    OneHotWords,
    ScaledNumber,
    build_feature_matrix,
)
from trainer.items.features.cleaning import CleaningCounts, DataCleaner, NumberRule, WordRule
from trainer.items.features.drift import ColumnProfile, profile_columns
from trainer.items.features.weighting import WeightingRule, apply_weights, fit_weighting, harmonic_weights

# Of the variance of the first dimension: what is below is rounding.
_LEAST_VARIANCE = 1e-9
_LEAST_NORM = 1e-9

Vector = tuple[float, ...]


class Projection(Settings):
    """The directions of the largest weighted variance.

    components: D orthogonal vectors of F features, scaled by `projection.whitening`. explained: the
    share of each group's variance, and of all variance ("all"), that the directions hold.
    """

    components: tuple[Vector, ...]
    explained: dict[str, float]


class FittedPipeline(Settings):
    """Everything that turns a row into a vector."""

    schema_version: Literal[1] = 1
    cleaning: CleaningSettings
    rules: dict[str, NumberRule | WordRule]
    encoders: dict[str, Annotated[ScaledNumber | OneHotWords | EncodedWords, Field(discriminator="kind")]]
    weighting: WeightingRule
    floor: float = Field(gt=0)
    weighted: bool
    item_weight: str | None
    domain: str | None
    projection: Projection
    profiles: dict[str, ColumnProfile]

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        width = len(self._assembler.feature_names())
        if any(len(component) != width for component in self.projection.components):
            raise ValueError(f"projection: its components are not of the {width} features")
        unruled = self.encoders.keys() - self.rules.keys()
        if unruled:
            raise ValueError(f"rules: none for {', '.join(sorted(unruled))}")
        return self

    @classmethod
    def fit(cls, sample: pd.DataFrame, config: ItemsConfig, domain_weights: Mapping[str, float]) -> Self:
        """Fit on a frame of the configured columns. Raises InvalidData: see `build_feature_matrix`."""
        built = build_feature_matrix(sample, config)
        columns = config.columns
        weighting = fit_weighting(
            None if columns.item_weight is None else sample[columns.item_weight], domain_weights
        )
        weights = _weights(sample, weighting, columns.item_weight, columns.domain)
        matrix_NF = built.matrix_NF
        if config.weighting.enabled:
            matrix_NF = apply_weights(matrix_NF, *weights, floor=config.weighting.floor)
        return cls(
            cleaning=config.cleaning,
            rules=built.cleaner.rules_,
            encoders=built.assembler.encoders_,
            weighting=weighting,
            floor=config.weighting.floor,
            weighted=config.weighting.enabled,
            item_weight=columns.item_weight,
            domain=columns.domain,
            projection=_project(matrix_NF, built, config.projection),
            profiles=profile_columns(built.cleaner.transform(sample)),
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """The pipeline in a file. Raises InvalidCheckpoint: if it is not one that this build reads."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise InvalidCheckpoint(f"{path}: not a fitted pipeline ({reason(error)})") from error

    def save(self, path: Path) -> None:
        """Write the pipeline. The same pipeline gives the same bytes."""
        path.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")

    @property
    def dimension(self) -> int:
        """D."""
        return len(self.projection.components)

    def clean(self, frame: pd.DataFrame, counts: CleaningCounts) -> pd.DataFrame:
        """The cleaned columns; adds to `counts` what was changed."""
        return self._cleaner.clean(frame, counts)

    def vectors(self, cleaned: pd.DataFrame) -> np.ndarray:
        """float32 vector_ND of cleaned rows, each of norm 1.

        Raises InvalidData: for a row that is exactly average in everything, which has no direction.
        """
        feature_NF = self._assembler.transform(cleaned)
        vector_ND = feature_NF @ self._component_table
        norm_N = np.linalg.norm(vector_ND, axis=1, keepdims=True)
        if not (np.isfinite(norm_N).all() and (norm_N > _LEAST_NORM).all()):
            row = int(np.flatnonzero(~(norm_N[:, 0] > _LEAST_NORM))[0])
            raise InvalidData(f"row {row} of a batch has a vector of norm {norm_N[row, 0]:g}")
        return np.asarray(vector_ND / norm_N, dtype=np.float32)

    def weights(self, frame: pd.DataFrame) -> np.ndarray:
        """float64 weight_N of rows as the table has them: the harmonic mean of both weights."""
        return harmonic_weights(
            *_weights(frame, self.weighting, self.item_weight, self.domain), floor=self.floor
        )

    @cached_property
    def _cleaner(self) -> DataCleaner:
        return DataCleaner.from_rules(self.rules, self.cleaning)

    @cached_property
    def _assembler(self) -> FeatureAssembler:
        return FeatureAssembler.from_encoders(self.encoders)

    @cached_property
    def _component_table(self) -> np.ndarray:
        return np.ascontiguousarray(np.array(self.projection.components, dtype=np.float32).T)


def _weights(
    frame: pd.DataFrame, rule: WeightingRule, item_weight: str | None, domain: str | None
) -> tuple[np.ndarray, np.ndarray]:
    nothing_N = np.full(len(frame), np.nan)
    return (
        nothing_N if item_weight is None else rule.item_weights(frame[item_weight]),
        nothing_N if domain is None else rule.weights_of_domains(frame[domain]),
    )


def _project(weighted_NF: np.ndarray, built: FeatureMatrix, settings: ProjectionSettings) -> Projection:
    """The leading eigenvectors of the weighted rows' second moments, and what of the features they keep."""
    value_F, vector_FF = np.linalg.eigh(_second_moments(weighted_NF))
    order = np.argsort(value_F)[::-1]
    kept = order[value_F[order] > _LEAST_VARIANCE * value_F[order[0]]][: settings.dimension]
    component_DF = vector_FF[:, kept].T
    # The sign of an eigenvector is free: its largest entry is positive.
    largest_D = component_DF[np.arange(len(component_DF)), np.abs(component_DF).argmax(axis=1)]
    component_DF = component_DF * np.sign(largest_D)[:, None]
    # A deviation s becomes s^(1 − whitening), relative to the largest.
    scale_D = (value_F[kept] / value_F[kept[0]]) ** (-settings.whitening / 2)
    scaled_DF = (component_DF * scale_D[:, None]).astype(np.float32)
    return Projection(
        components=tuple(tuple(map(float, component)) for component in scaled_DF),
        explained=_explained(_second_moments(built.matrix_NF), component_DF, built.groups),
    )


def _second_moments(matrix_NF: np.ndarray) -> np.ndarray:
    """float64 (F, F), summed in pieces: the matrix is never copied as a whole."""
    moment_FF = np.zeros((matrix_NF.shape[1],) * 2)
    for start in range(0, len(matrix_NF), 20_000):
        piece_NF = matrix_NF[start : start + 20_000].astype(np.float64)
        moment_FF += piece_NF.T @ piece_NF
    return np.asarray(moment_FF / len(matrix_NF))


def _explained(moment_FF: np.ndarray, component_DF: np.ndarray, groups: tuple[str, ...]) -> dict[str, float]:
    """The share of variance that remains after projection, by group."""
    kept_FF = component_DF.T @ component_DF
    kept_F = np.einsum("ij,jk,ki->i", kept_FF, moment_FF, kept_FF, optimize=True)
    total_F, named = np.diag(moment_FF), np.array(groups)
    shares: dict[str, Any] = {
        group: kept_F[named == group].sum() / total_F[named == group].sum() for group in dict.fromkeys(groups)
    }
    shares["all"] = kept_F.sum() / total_F.sum()
    return {group: round(float(share), 6) for group, share in shares.items()}
