"""Clean columns to a matrix of features: one-hot and target-encoded words, scaled numbers (I-2, I-3).

Each column of the table has a variance of 1 over all its features, times the square of its group's weight: a
column of many words counts no more than a column of numbers.
Shapes: N rows, F features, K words of a column.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler, TargetEncoder

from trainer.configuration import Settings
from trainer.errors import InvalidData
from trainer.items.config import ItemsConfig
from trainer.items.features.cleaning import DataCleaner

_LEAST_DEVIATION = 1e-9


class ScaledNumber(Settings):
    """A column of numbers as one feature: (x − mean) · scale."""

    kind: Literal["number"] = "number"
    group: str
    mean: float
    scale: float


class OneHotWords(Settings):
    """A column of words as a feature a word: (1 or 0 − its share) · scale."""

    kind: Literal["onehot"] = "onehot"
    group: str
    words: tuple[str, ...]
    shares: tuple[float, ...]
    scale: float


class EncodedWords(Settings):
    """A column of words as a feature a target: the value of the row's word, for each word in order."""

    kind: Literal["target"] = "target"
    group: str
    words: tuple[str, ...]
    targets: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]


Encoder = ScaledNumber | OneHotWords | EncodedWords


class FeatureAssembler(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A cleaned frame as float32 (N, F), centred over the rows that it was fitted on.

    onehot, target: columns of words. groups: the group of each column and its weight. `fit` takes the targets
    of target encoding as its second argument: a frame of finite numbers, a column a target. After `fit`,
    `encoders_` holds an Encoder by column; a column that does not vary is left out and named in `constant_`.
    """

    def __init__(
        self,
        onehot: Sequence[str] = (),
        target: Sequence[str] = (),
        groups: Mapping[str, tuple[str, float]] | None = None,
        seed: int = 42,
    ) -> None:
        self.onehot, self.target, self.groups, self.seed = onehot, target, groups, seed

    @classmethod
    def from_encoders(cls, encoders: Mapping[str, Encoder]) -> Self:
        """A fitted assembler with these encoders."""
        assembler = cls()
        assembler.encoders_, assembler.constant_ = dict(encoders), ()
        return assembler

    def fit(self, frame: pd.DataFrame, targets: pd.DataFrame | None = None) -> Self:
        """Find means, shares and encodings."""
        encoders: dict[str, Encoder | None] = {}
        for name in frame.columns:
            group, weight = (self.groups or {}).get(name, ("features", 1.0))
            if name in self.onehot:
                encoders[name] = _one_hot(frame[name], group, weight)
            elif name in self.target:
                encoders[name] = self._encode(frame[name], targets, group, weight)
            else:
                encoders[name] = _scaled(frame[name], group, weight)
        self.encoders_: dict[str, Encoder] = {
            name: each for name, each in encoders.items() if each is not None
        }
        self.constant_: tuple[str, ...] = tuple(name for name, each in encoders.items() if each is None)
        return self

    def transform(self, frame: pd.DataFrame) -> np.ndarray:
        """float32 feature_NF."""
        names = self.feature_names()
        feature_NF = np.empty((len(frame), len(names)), dtype=np.float32)
        start = 0
        for name, encoder in self.encoders_.items():
            width = _width(encoder)
            _write(feature_NF[:, start : start + width], frame[name], encoder)
            start += width
        return feature_NF

    def feature_names(self) -> list[str]:
        """The name of each feature: that of its column, "column=word", or "column~target"."""
        return [feature for name, encoder in self.encoders_.items() for feature in _names(name, encoder)]

    def feature_groups(self) -> list[str]:
        """The group of each feature."""
        return [encoder.group for encoder in self.encoders_.values() for _ in range(_width(encoder))]

    def _encode(
        self, column: pd.Series, targets: pd.DataFrame | None, group: str, weight: float
    ) -> EncodedWords | None:
        if targets is None or not len(targets.columns):
            raise InvalidData(f"column {column.name} is target-encoded, and there is no target")
        words = tuple(map(str, column.cat.categories))
        word_N1, code_N = column.astype(object).to_numpy()[:, None], column.cat.codes.to_numpy()
        varying: dict[str, np.ndarray] = {}
        for target in targets.columns:
            encoder = TargetEncoder(
                categories=[list(words)], target_type="continuous", random_state=self.seed
            )
            value_K = np.asarray(encoder.fit(word_N1, targets[target]).encodings_[0], dtype=np.float64)
            value_N = value_K[code_N]
            if value_N.std() > _LEAST_DEVIATION:
                varying[target] = (value_K - value_N.mean()) / value_N.std()
        if not varying:
            return None
        value_KT = np.stack([*varying.values()], axis=1) * (weight / len(varying) ** 0.5)
        values = tuple(tuple(map(float, value_T)) for value_T in value_KT)
        return EncodedWords(group=group, words=words, targets=tuple(varying), values=values)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureMatrix:
    """Features of a frame, float32 (N, F), with the fitted pipeline that made them."""

    matrix_NF: np.ndarray
    names: tuple[str, ...]
    groups: tuple[str, ...]
    pipeline: Pipeline

    @property
    def cleaner(self) -> DataCleaner:
        """The fitted step "clean"."""
        step: DataCleaner = self.pipeline.named_steps["clean"]
        return step

    @property
    def assembler(self) -> FeatureAssembler:
        """The fitted step "assemble"."""
        step: FeatureAssembler = self.pipeline.named_steps["assemble"]
        return step


def build_feature_matrix(df: pd.DataFrame, config: ItemsConfig) -> FeatureMatrix:
    """Fit cleaning and assembly on a frame of N rows and return its matrix, float32 (N, F).

    df: the columns that `config.groups` and `config.columns.targets` name. Numbers may be NaN or infinite,
    words None.
    Raises InvalidData: for columns that are missing, each named; for a column of numbers without one; when
    no column varies.
    """
    pipeline = feature_pipeline(config)
    missing = [name for name in _needed(config) if name not in df.columns]
    if missing:
        raise InvalidData(f"missing columns: {', '.join(missing)}")
    matrix_NF = pipeline.fit_transform(df, _targets(df, config))
    assembler: FeatureAssembler = pipeline.named_steps["assemble"]
    if not matrix_NF.shape[1]:
        raise InvalidData(f"no column varies over the {len(df)} rows: {', '.join(assembler.constant_)}")
    return FeatureMatrix(
        matrix_NF=matrix_NF,
        names=tuple(assembler.feature_names()),
        groups=tuple(assembler.feature_groups()),
        pipeline=pipeline,
    )


def feature_pipeline(config: ItemsConfig) -> Pipeline:
    """The scikit-learn pipeline of the settings, not fitted: the steps "clean" and "assemble"."""
    columns = {name: (key, how) for key, group in config.groups.items() for name, how in group.columns()}

    def named(*encodings: str) -> tuple[str, ...]:
        return tuple(name for name, (_, how) in columns.items() if how in encodings)

    cleaner = DataCleaner(
        numbers=named("number"), logs=named("log"), words=named("onehot", "target"), settings=config.cleaning
    )
    assembler = FeatureAssembler(
        onehot=named("onehot"),
        target=named("target"),
        groups={name: (key, config.groups[key].weight) for name, (key, _) in columns.items()},
        seed=config.seed,
    )
    return Pipeline([("clean", cleaner), ("assemble", assembler)])


def _needed(config: ItemsConfig) -> list[str]:
    names = [name for group in config.groups.values() for name, _ in group.columns()]
    return [*dict.fromkeys([*names, *config.columns.targets])]


def _targets(frame: pd.DataFrame, config: ItemsConfig) -> pd.DataFrame:
    """The targets without outliers and gaps, so that one bad row moves no encoding; amounts as logarithms."""
    amounts = {name for group in config.groups.values() for name in group.log}
    names = config.columns.targets
    cleaner = DataCleaner(
        numbers=[name for name in names if name not in amounts],
        logs=[name for name in names if name in amounts],
        settings=config.cleaning,
    )
    cleaned: pd.DataFrame = cleaner.fit_transform(frame)
    return cleaned


def _scaled(column: pd.Series, group: str, weight: float) -> ScaledNumber | None:
    scaler = StandardScaler().fit(column.to_numpy()[:, None])
    mean, deviation = float(scaler.mean_[0]), float(np.sqrt(scaler.var_[0]))
    if deviation < _LEAST_DEVIATION * max(1.0, abs(mean)):
        return None
    return ScaledNumber(group=group, mean=mean, scale=weight / deviation)


def _one_hot(column: pd.Series, group: str, weight: float) -> OneHotWords | None:
    words = tuple(map(str, column.cat.categories))
    share_K = np.bincount(column.cat.codes, minlength=len(words)) / len(column)
    variance = 1.0 - float((share_K**2).sum())
    if variance < _LEAST_DEVIATION:
        return None
    return OneHotWords(
        group=group, words=words, shares=tuple(map(float, share_K)), scale=weight / float(np.sqrt(variance))
    )


def _names(column: str, encoder: Encoder) -> list[str]:
    match encoder:
        case OneHotWords():
            return [f"{column}={word}" for word in encoder.words]
        case EncodedWords():
            return [f"{column}~{target}" for target in encoder.targets]
        case _:
            return [column]


def _width(encoder: Encoder) -> int:
    return len(_names("", encoder))


def _write(into_NK: np.ndarray, column: pd.Series, encoder: Encoder) -> None:
    match encoder:
        case ScaledNumber():
            into_NK[:, 0] = (column.to_numpy() - encoder.mean) * encoder.scale
        case EncodedWords():
            into_NK[:] = np.array(encoder.values)[column.cat.codes.to_numpy()]
        case OneHotWords():
            into_NK[:] = -np.array(encoder.shares) * encoder.scale
            into_NK[np.arange(len(column)), column.cat.codes.to_numpy()] += encoder.scale
