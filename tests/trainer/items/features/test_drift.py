"""Drift of new rows, by column (I-4)."""

import numpy as np
import pandas as pd

from trainer.items.features.drift import DriftMeter, profile_columns


def _frame(seed: int, shift: float = 0.0, words: str = "ab") -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    drawn = rng.choice(list(words), 2_000)
    return pd.DataFrame({
        "size": rng.normal(shift, 1, 2_000),
        "word": pd.Categorical(drawn, categories=["a", "b", "c"]),
    })  # fmt: skip


def test_the_same_population_has_not_drifted() -> None:
    """Other rows of one distribution stay far below the limit (I-4)."""
    meter = DriftMeter(profile_columns(_frame(1)))
    for seed in (2, 3):
        meter.observe(_frame(seed))

    report = meter.report()

    assert report is not None
    assert report["rows"] == 4_000
    assert report["drifted"] == []
    assert max(report["stability_index"].values()) < 0.05


def test_a_shifted_number_and_a_new_word_are_named() -> None:
    """The larger drift comes first (I-4)."""
    meter = DriftMeter(profile_columns(_frame(1)))
    meter.observe(_frame(2, shift=1.5, words="ac"))

    report = meter.report()

    assert report is not None
    assert set(report["drifted"]) == {"size", "word"}
    indices = list(report["stability_index"].values())
    assert indices == sorted(indices, reverse=True)


def test_without_rows_there_is_no_report() -> None:
    """Nothing new: None, not zero (I-4)."""
    assert DriftMeter(profile_columns(_frame(1))).report() is None
