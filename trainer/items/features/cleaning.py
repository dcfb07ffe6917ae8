"""Outliers, missing values, logarithms and rare words (I-2).

Shapes: N rows.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin

from trainer.configuration import Settings
from trainer.errors import InvalidData
from trainer.items.config import CleaningSettings

# The words of every column of words: nothing there, and what is too rare or was not there at the fit.
MISSING, OTHER = "(missing)", "(other)"
# Where a column hardly varies, its limits are these quantiles.
_EXTREMES = (0.001, 0.999)


class NumberRule(Settings):
    """How a column of numbers is cleaned. Limits and median are of log(1 + x) where `log` is set."""

    log: bool
    low: float
    high: float
    median: float


class WordRule(Settings):
    """How a column of words is cleaned: the words that are kept, MISSING and OTHER first."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CleaningCounts:
    """How many values of each column were changed, by reason."""

    missing: Counter[str] = field(default_factory=Counter)
    impossible: Counter[str] = field(default_factory=Counter)
    outliers: Counter[str] = field(default_factory=Counter)
    other_words: Counter[str] = field(default_factory=Counter)

    def by_column(self) -> dict[str, dict[str, int]]:
        """Each column with at least one changed value: how many, by reason."""
        counters = {
            name: getattr(self, name) for name in ("missing", "impossible", "outliers", "other_words")
        }
        columns = sorted({column for counter in counters.values() for column in counter if counter[column]})
        return {
            column: {name: counter[column] for name, counter in counters.items() if counter[column]}
            for column in columns
        }


class DataCleaner(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Numbers without gaps, outliers or heavy tails; words from a closed list.

    Takes a frame with the columns `numbers` and `logs` (numeric) and `words` (text or categorical), and
    returns one of those columns: numbers float64 and finite, words categorical over the rule's list. After
    `fit`, `rules_` holds a NumberRule or WordRule by column.
    """

    def __init__(
        self,
        numbers: Sequence[str] = (),
        logs: Sequence[str] = (),
        words: Sequence[str] = (),
        settings: CleaningSettings | None = None,
    ) -> None:
        self.numbers, self.logs, self.words, self.settings = numbers, logs, words, settings

    @classmethod
    def from_rules(cls, rules: Mapping[str, NumberRule | WordRule], settings: CleaningSettings) -> Self:
        """A fitted cleaner with these rules."""
        numbers = {name: rule for name, rule in rules.items() if isinstance(rule, NumberRule)}
        cleaner = cls(
            numbers=[name for name, rule in numbers.items() if not rule.log],
            logs=[name for name, rule in numbers.items() if rule.log],
            words=[name for name in rules if name not in numbers],
            settings=settings,
        )
        cleaner.rules_ = dict(rules)
        return cleaner

    def fit(self, frame: pd.DataFrame, _target: Any = None) -> Self:
        """Find limits, medians and words. Raises InvalidData: for a column of numbers without a number."""
        settings = self.settings or CleaningSettings()
        self.rules_: dict[str, NumberRule | WordRule] = {}
        for name in (*self.numbers, *self.logs):
            self.rules_[name] = _number_rule(name, frame[name], name in self.logs, settings)
        for name in self.words:
            self.rules_[name] = _word_rule(frame[name], settings)
        return self

    def transform(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The cleaned frame."""
        return self.clean(frame, CleaningCounts())

    def clean(self, frame: pd.DataFrame, counts: CleaningCounts) -> pd.DataFrame:
        """The cleaned frame; adds to `counts` what was changed."""
        settings = self.settings or CleaningSettings()
        cleaned: dict[str, Any] = {}
        for name, rule in self.rules_.items():
            if isinstance(rule, NumberRule):
                cleaned[name] = _clean_numbers(frame[name], rule, settings.outliers == "clip", counts)
            else:
                cleaned[name] = _clean_words(frame[name], rule, counts)
        return pd.DataFrame(cleaned, index=frame.index)


def _number_rule(name: str, column: pd.Series, log: bool, settings: CleaningSettings) -> NumberRule:
    value_N = _possible(_finite(column), log)
    value_N = value_N[~np.isnan(value_N)]
    if not len(value_N):
        raise InvalidData(
            f"column {name} has no usable number in the {len(column)} rows that it is fitted on"
        )
    low, median, high = np.quantile(value_N, [0.25, 0.5, 0.75])
    reach = settings.outlier_factor * (high - low)
    if reach > 0:
        low, high = low - reach, high + reach
    else:
        low, high = np.quantile(value_N, _EXTREMES)
    return NumberRule(log=log, low=float(low), high=float(high), median=float(median))


def _clean_numbers(column: pd.Series, rule: NumberRule, clip: bool, counts: CleaningCounts) -> np.ndarray:
    name = str(column.name)
    finite_N = _finite(column)
    value_N = _possible(finite_N, rule.log)
    missing_N = np.isnan(value_N)
    counts.missing[name] += int(np.isnan(finite_N).sum())
    counts.impossible[name] += int((missing_N & ~np.isnan(finite_N)).sum())
    outlier_N = (value_N < rule.low) | (value_N > rule.high)
    counts.outliers[name] += int(outlier_N.sum())
    cleaned_N: np.ndarray = np.clip(value_N, rule.low, rule.high)
    cleaned_N[missing_N if clip else missing_N | outlier_N] = rule.median
    return cleaned_N


def _finite(column: pd.Series) -> np.ndarray:
    """A copy as float64 in which infinite values are missing."""
    value_N = np.array(column, dtype=np.float64)
    value_N[np.isinf(value_N)] = np.nan
    return value_N


def _possible(value_N: np.ndarray, log: bool) -> np.ndarray:
    """log(1 + x) where asked for; a negative amount has none and is missing."""
    if not log:
        return value_N
    return np.asarray(np.log1p(np.where(value_N < 0, np.nan, value_N)))


def _word_rule(column: pd.Series, settings: CleaningSettings) -> WordRule:
    words = column.astype("category")
    count_K = np.bincount(words.cat.codes[words.cat.codes >= 0], minlength=len(words.cat.categories))
    least = max(1.0, settings.least_share * len(column))
    # By count, then by name: the same words in any order of the rows.
    ranked = sorted(
        zip(map(str, words.cat.categories), count_K, strict=True), key=lambda pair: (-pair[1], pair[0])
    )
    kept = [word for word, count in ranked if count >= least and word not in (MISSING, OTHER)]
    return WordRule(words=(MISSING, OTHER, *sorted(kept[: settings.most_words])))


def _clean_words(column: pd.Series, rule: WordRule, counts: CleaningCounts) -> Any:
    name = str(column.name)
    words = column.astype("category").cat
    place = {word: code for code, word in enumerate(rule.words)}
    # One look-up a word, not one a row; the last place is that of no word at all.
    code_K = np.array([*(place.get(str(word), 1) for word in words.categories), 0], dtype=np.int64)
    code_N = code_K[words.codes.to_numpy()]
    counts.missing[name] += int((code_N == 0).sum())
    counts.other_words[name] += int((code_N == 1).sum())
    return pd.Categorical.from_codes(code_N, categories=pd.Index(rule.words))
