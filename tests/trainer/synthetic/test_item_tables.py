"""Drawn tables of items: the same each time, as untidy as real ones, with a known truth (I-1)."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from trainer.synthetic.item_tables import (
    DOMAIN_WEIGHTS,
    FEATURES_FILE,
    METADATA_FILE,
    NEW_WORDS,
    NUMBERS,
    WORDS,
    read_truth,
    write_item_table,
)


def _table(folder: Path, count: int = 500, seed: int = 42, snapshot: int = 1) -> pd.DataFrame:
    return (
        pq.read_table(write_item_table(folder, count, seed, snapshot=snapshot))
        .to_pandas()
        .set_index("item_id")
    )


def test_the_same_arguments_give_the_same_files(tmp_path: Path) -> None:
    """Table, metadata and truth; another seed gives another table (I-1, Q-5)."""
    tables = [_table(tmp_path / name, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))]

    assert tables[0].equals(tables[1])
    assert not tables[0].equals(tables[2])
    for name in (FEATURES_FILE, METADATA_FILE):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert read_truth(tmp_path / "a") == read_truth(tmp_path / "b")


def test_a_table_has_about_sixty_columns_with_gaps_and_outliers(tmp_path: Path) -> None:
    """Words and numbers with missing values, amounts beyond any limit and impossible ones (I-1)."""
    table = _table(tmp_path)

    assert len(table) == 500
    assert 55 <= len(table.columns) <= 65
    assert set(table.columns) == {*WORDS, *NUMBERS}
    assert table[[*NUMBERS]].isna().mean().between(0.005, 0.08).all()
    assert table[[*WORDS]].isna().mean().between(0.001, 0.06).all()
    assert (table["weight_g"] / table["weight_g"].median()).max() > 100
    assert (table[["weight_g", "cycle_s", "length_mm"]] < 0).any().any()


def test_items_of_a_routing_are_alike_and_numbered_in_the_truth(tmp_path: Path) -> None:
    """Most items of a routing have its process; the truth names every item (I-1)."""
    table, truth = _table(tmp_path), read_truth(tmp_path)

    assert list(truth) == list(table.index)
    shares = table.groupby(np.array([*truth.values()]))["process"].agg(
        lambda words: words.value_counts(normalize=True).max()
    )
    assert shares.mean() > 0.8


def test_a_later_snapshot_has_lost_changed_and_gained_items(tmp_path: Path) -> None:
    """Old items that stay are the same but for a few; new words are among new items alone (I-1)."""
    first, second = _table(tmp_path / "1", 2_000), _table(tmp_path / "2", 2_000, snapshot=2)

    kept = first.index.intersection(second.index)
    new = second.index.difference(first.index)
    changed = [c for c in first.columns if not first.loc[kept, c].equals(second.loc[kept, c])]
    assert 1_960 <= len(kept) < 2_000
    assert len(new) == 100
    assert changed == ["cycle_s"]
    assert (first.loc[kept, "cycle_s"] != second.loc[kept, "cycle_s"]).sum() < 100
    for name, words in NEW_WORDS.items():
        assert second.loc[new, name].isin(words).sum() > 5
        assert not second.loc[kept, name].isin(words).any()


def test_metadata_names_the_snapshot_the_industries_and_every_item(tmp_path: Path) -> None:
    """The importance of each industry, and a record an item (I-1)."""
    table = _table(tmp_path)
    body = json.loads((tmp_path / METADATA_FILE).read_text())

    assert body["snapshot_id"] == "drawn-1"
    assert body["domain_weights"] == DOMAIN_WEIGHTS
    assert set(DOMAIN_WEIGHTS) == set(WORDS["industry"][0])
    assert list(body["items"]) == list(table.index)
    assert body["items"]["IT-00000007"] == {"name": "part 00000007"}
