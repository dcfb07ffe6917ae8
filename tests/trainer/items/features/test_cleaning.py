"""Outliers, gaps, logarithms and rare words (I-2)."""

import numpy as np
import pandas as pd
import pytest

from trainer.errors import InvalidData
from trainer.items.config import CleaningSettings
from trainer.items.features.cleaning import MISSING, OTHER, CleaningCounts, DataCleaner, NumberRule, WordRule


def test_gaps_and_outliers_become_the_median_and_are_counted() -> None:
    """A wrong unit, a gap and an infinite value stand at the median; the rest stays (I-2)."""
    values = [*map(float, range(100)), np.nan, np.inf, 50_000.0]
    frame = pd.DataFrame({"size": values})
    counts = CleaningCounts()

    cleaned = DataCleaner(numbers=["size"]).fit(frame).clean(frame, counts)["size"]

    assert cleaned[:100].tolist() == values[:100]
    assert cleaned[100:].tolist() == [cleaned.median()] * 3
    assert counts.by_column() == {"size": {"missing": 2, "outliers": 1}}


def test_outliers_can_be_moved_to_the_limit() -> None:
    """With `clip` an outlier stands at the limit, three interquartile ranges off (I-2)."""
    frame = pd.DataFrame({"size": [*range(101), 10_000]}).astype(float)

    cleaner = DataCleaner(numbers=["size"], settings=CleaningSettings(outliers="clip")).fit(frame)

    rule = cleaner.rules_["size"]
    assert isinstance(rule, NumberRule)
    assert cleaner.transform(frame)["size"].iloc[-1] == rule.high < 300


def test_amounts_are_logarithms_and_negative_ones_impossible() -> None:
    """log(1 + x); −1 is counted as impossible and stands at the median (I-2)."""
    frame = pd.DataFrame({"volume": [0.0, np.e - 1, np.e**2 - 1, -1.0]})
    counts = CleaningCounts()

    cleaned = DataCleaner(logs=["volume"]).fit(frame).clean(frame, counts)["volume"]

    assert cleaned.tolist() == pytest.approx([0.0, 1.0, 2.0, 1.0])
    assert counts.by_column() == {"volume": {"impossible": 1}}


def test_rare_and_unseen_words_are_one_word() -> None:
    """Words below the least share, beyond the most words, or never seen are OTHER; None is MISSING (I-2)."""
    settings = CleaningSettings(least_share=0.2, most_words=2)
    fitted = pd.DataFrame({"material": ["steel"] * 5 + ["brass"] * 3 + ["abs"] * 3 + ["peek", None]})

    cleaner = DataCleaner(words=["material"], settings=settings).fit(fitted)

    assert cleaner.rules_["material"] == WordRule(words=(MISSING, OTHER, "abs", "steel"))
    shown = cleaner.transform(pd.DataFrame({"material": ["steel", "brass", "peek", "wood", None]}))
    assert shown["material"].tolist() == ["steel", OTHER, OTHER, OTHER, MISSING]


def test_a_word_that_spells_a_gap_is_a_gap() -> None:
    """The word "(missing)" in a table means what it says (I-2)."""
    frame = pd.DataFrame({"material": [MISSING] * 3 + ["steel"] * 3})

    cleaned = DataCleaner(words=["material"]).fit_transform(frame)["material"]

    assert cleaned.tolist() == [MISSING] * 3 + ["steel"] * 3


def test_a_column_without_a_number_is_named() -> None:
    """A column of gaps cannot be fitted (I-7)."""
    with pytest.raises(InvalidData, match=r"column size has no usable number in the 2 rows"):
        DataCleaner(numbers=["size"]).fit(pd.DataFrame({"size": [np.nan, np.inf]}))


def test_a_column_that_hardly_varies_keeps_its_values() -> None:
    """Quartiles that coincide give limits by quantiles, not an empty range (I-2)."""
    frame = pd.DataFrame({"holes": [0.0] * 90 + [1.0] * 10})

    assert DataCleaner(numbers=["holes"]).fit_transform(frame)["holes"].tolist() == frame["holes"].tolist()


def test_the_order_of_rows_decides_nothing() -> None:
    """The same rows in another order give the same rules (Q-5)."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"size": rng.random(200), "word": rng.choice(["a", "b", "c"], 200)})

    rules = [
        DataCleaner(numbers=["size"], words=["word"]).fit(each).rules_
        for each in (frame, frame.sample(frac=1, random_state=2))
    ]

    assert rules[0] == rules[1]
