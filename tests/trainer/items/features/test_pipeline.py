"""The fitted pipeline: unit vectors, what they keep, and its file (I-2, M-1)."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.trainer.items.conftest import configured
from trainer.errors import InvalidCheckpoint
from trainer.items.config import ItemsConfig
from trainer.items.features.cleaning import CleaningCounts
from trainer.items.features.pipeline import FittedPipeline


@pytest.fixture(scope="module")
def config(drawn: Path) -> ItemsConfig:
    return configured(drawn)


@pytest.fixture(scope="module")
def pipeline(frame: pd.DataFrame, config: ItemsConfig) -> FittedPipeline:
    return FittedPipeline.fit(frame, config, {"automotive": 2.0})


def _vectors(pipeline: FittedPipeline, frame: pd.DataFrame) -> np.ndarray:
    return pipeline.vectors(pipeline.clean(frame, CleaningCounts()))


def test_vectors_are_unit_float32_and_vary_in_every_dimension(
    pipeline: FittedPipeline, frame: pd.DataFrame
) -> None:
    """128 dimensions, norm 1, finite, none of them constant (I-7)."""
    vector_ND = _vectors(pipeline, frame)

    assert vector_ND.dtype == np.float32
    assert vector_ND.shape == (len(frame), 128)
    assert np.allclose(np.linalg.norm(vector_ND, axis=1), 1, atol=1e-5)
    assert (vector_ND.var(axis=0) > 1e-8).all()


def test_a_saved_pipeline_gives_the_same_vectors_to_the_bit(
    pipeline: FittedPipeline, frame: pd.DataFrame, tmp_path: Path
) -> None:
    """Saved and read, also row by row: what a new item gets does not depend on its batch mates (I-4)."""
    pipeline.save(tmp_path / "pipeline.json")

    read = FittedPipeline.load(tmp_path / "pipeline.json")

    assert read == pipeline
    assert (_vectors(read, frame) == _vectors(pipeline, frame)).all()
    assert np.allclose(_vectors(read, frame[7:8]), _vectors(pipeline, frame)[7], atol=1e-6)


def test_the_same_rows_give_the_same_file(frame: pd.DataFrame, config: ItemsConfig, tmp_path: Path) -> None:
    """Two fits write the same bytes (Q-5)."""
    for name in ("a", "b"):
        FittedPipeline.fit(frame, config, {}).save(tmp_path / name)

    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"schema_version": 1', '"schema_version": 9'),
        lambda text: text.replace('"floor"', '"flour"'),
        lambda text: text.replace('"kind": "onehot"', '"kind": "pickle"'),
        lambda text: text.replace('"rules": {\n', '"rules": {}, "old": {\n'),
    ],
)
def test_a_file_that_is_no_pipeline_is_refused(pipeline: FittedPipeline, tmp_path: Path, change) -> None:
    """Cut, newer, misspelt, of another kind: named, and nothing of it is run (I-7)."""
    path = tmp_path / "pipeline.json"
    pipeline.save(path)
    changed = change(path.read_text())
    assert changed != path.read_text()
    path.write_text(changed)

    with pytest.raises(InvalidCheckpoint, match=r"pipeline.json: not a fitted pipeline"):
        FittedPipeline.load(path)


def test_unseen_words_and_wild_numbers_still_have_vectors(
    pipeline: FittedPipeline, frame: pd.DataFrame
) -> None:
    """New suppliers, materials and a misplaced unit give finite vectors near the item's own (I-2)."""
    wild = frame[:50].assign(supplier="S9999", material="magnesium", weight_g=1e12)

    near = (_vectors(pipeline, wild) * _vectors(pipeline, frame[:50])).sum(axis=1)

    assert np.isfinite(near).all()
    assert near.mean() > 0.7


def test_fewer_features_than_dimensions_give_fewer_dimensions(
    frame: pd.DataFrame, config: ItemsConfig
) -> None:
    """No dimension is padding: three numbers give three (I-7)."""
    small = config.model_copy(
        update={
            "groups": {"one": config.groups["record"]},
            "columns": config.columns.model_copy(update={"targets": ()}),
        }
    )

    assert FittedPipeline.fit(frame, small, {}).dimension == 4


def test_weights_move_what_is_kept(frame: pd.DataFrame, config: ItemsConfig) -> None:
    """Weighted rows decide the directions; without weights they are others (I-2)."""
    plain = config.model_copy(update={"weighting": config.weighting.model_copy(update={"enabled": False})})

    weighted, unweighted = (FittedPipeline.fit(frame, each, {"automotive": 5.0}) for each in (config, plain))

    assert weighted.projection != unweighted.projection
    assert weighted.encoders == unweighted.encoders


def test_the_share_of_every_group_is_known(pipeline: FittedPipeline, config: ItemsConfig) -> None:
    """Explained variance by group and in all, each between 0 and 1 (I-5)."""
    explained = pipeline.projection.explained

    assert set(explained) == {*config.groups, "all"}
    assert all(0 < share <= 1 + 1e-6 for share in explained.values())
    assert explained["all"] > 0.9
