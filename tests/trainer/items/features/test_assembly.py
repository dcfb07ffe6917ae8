"""One-hot and target encoding, scaling, and the matrix of a frame (I-2, I-3)."""

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.preprocessing import OneHotEncoder, StandardScaler, TargetEncoder

from tests.trainer.items.conftest import configured
from trainer.errors import InvalidData
from trainer.items.config import FeatureGroup
from trainer.items.features.assembly import FeatureAssembler, build_feature_matrix


def _frame() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    return pd.DataFrame({
        "size": rng.normal(5, 2, 300),
        "material": pd.Categorical(rng.choice(["steel", "brass", "abs"], 300, p=[0.6, 0.3, 0.1])),
        "tool": pd.Categorical(rng.choice([f"T{n}" for n in range(40)], 300)),
    })  # fmt: skip


def test_features_are_those_of_scikit_learn_but_for_their_scale() -> None:
    """Each column equals its scikit-learn encoder up to one factor and offset (I-2)."""
    frame, targets = _frame(), pd.DataFrame({"cost": np.random.default_rng(4).random(300)})
    assembler = FeatureAssembler(onehot=["material"], target=["tool"], seed=42).fit(frame, targets)
    reference = ColumnTransformer([
        ("size", StandardScaler(), ["size"]),
        ("material", OneHotEncoder(sparse_output=False), ["material"]),
        ("tool", TargetEncoder(target_type="continuous"), ["tool"]),
    ])  # fmt: skip

    expected = reference.fit(frame.astype({"tool": object}), targets["cost"]).transform(
        frame.astype({"tool": object})
    )
    actual = assembler.transform(frame)

    assert assembler.feature_names() == [
        "size",
        "material=abs",
        "material=brass",
        "material=steel",
        "tool~cost",
    ]
    assert np.allclose(actual[:, 0], expected[:, 0], atol=1e-5)
    for column in range(1, 5):
        assert abs(np.corrcoef(actual[:, column], expected[:, column])[0, 1]) == pytest.approx(1, abs=1e-6)


def test_every_column_has_the_variance_of_its_group() -> None:
    """A column of many words counts as much as a column of numbers; a group's weight squares (I-2)."""
    frame, targets = _frame(), pd.DataFrame({"a": np.arange(300.0), "b": np.arange(300.0) % 7})
    groups = {"size": ("one", 1.0), "material": ("two", 2.0), "tool": ("two", 2.0)}

    assembler = FeatureAssembler(onehot=["material"], target=["tool"], groups=groups).fit(frame, targets)
    feature_NF = assembler.transform(frame)

    variance_F = feature_NF.var(axis=0)
    assert np.allclose(feature_NF.mean(axis=0), 0, atol=1e-5)
    assert variance_F[:1].sum() == pytest.approx(1, rel=1e-4)
    assert variance_F[1:4].sum() == pytest.approx(4, rel=1e-4)
    assert variance_F[4:].sum() == pytest.approx(4, rel=1e-4)
    assert assembler.feature_groups() == ["one", *["two"] * 5]


def test_a_matrix_of_a_frame_of_any_kind_of_text(frame: pd.DataFrame, drawn) -> None:
    """Text columns need not be categorical; the matrix is float32, finite, of N rows (I-3)."""
    built = build_feature_matrix(frame, configured(drawn))

    assert built.matrix_NF.dtype == np.float32
    assert built.matrix_NF.shape == (len(frame), len(built.names))
    assert np.isfinite(built.matrix_NF).all()
    assert (built.matrix_NF.var(axis=0) > 0).sum() >= len(built.names) - len(built.cleaner.words) * 2
    assert set(built.groups) == set(configured(drawn).groups)


def test_missing_columns_are_all_named(frame: pd.DataFrame, drawn) -> None:
    """Features and targets alike (I-7)."""
    with pytest.raises(InvalidData, match=r"missing columns: material, weight_g"):
        build_feature_matrix(frame.drop(columns=["material", "weight_g"]), configured(drawn))


def test_columns_that_do_not_vary_are_left_out(frame: pd.DataFrame, drawn) -> None:
    """They are named; nothing else than them is an error (I-2)."""
    constant = frame.assign(density=7.8, material="steel")

    built = build_feature_matrix(constant, configured(drawn))

    assert set(built.assembler.constant_) == {"density", "material"}
    only = configured(drawn).model_copy(update={"groups": {"one": FeatureGroup(number=("density",))}})
    with pytest.raises(InvalidData, match=r"no column varies over the 1000 rows: density"):
        build_feature_matrix(constant, only)
