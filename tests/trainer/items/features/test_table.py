"""The table of features and its metadata: formats, schema, identifiers, batches (I-1, I-7)."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.trainer.items.conftest import configured
from trainer.errors import InvalidData
from trainer.items.config import ItemsConfig
from trainer.items.features.metadata import ItemMetadata, read_item_metadata
from trainer.items.features.table import FeatureTable, digest_rows

SMALL = {
    "input": {"features": "none", "metadata": "none"},
    "columns": {"item_id": "id", "labels": ["material"]},
    "groups": {"all": {"number": ["size"], "onehot": ["material"]}},
    "projection": {"batch_rows": 3},
}


def _written(path: Path, **columns: Any) -> Path:
    frame = pd.DataFrame({"id": list("abcdefg"), "size": np.arange(7.0), "material": [*"xxyyzz", None]})
    frame = frame.assign(**columns)
    frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)
    return path


@pytest.mark.parametrize("name", ["t.parquet", "t.csv"])
def test_both_formats_give_the_same_rows_in_batches(tmp_path: Path, name: str) -> None:
    """Batches have exactly the asked-for rows but for the last; a gap is a gap in both (I-1)."""
    table = FeatureTable(_written(tmp_path / name), ItemsConfig.model_validate(SMALL))

    batches = list(table.batches())

    assert [len(batch) for batch in batches] == [3, 3, 1]
    assert table.item_ids == list("abcdefg")
    assert pd.concat([b["size"] for b in batches]).tolist() == list(range(7))
    assert batches[2]["material"].isna().tolist() == [True]
    assert table.rows(np.array([1, 3, 6]))["id"].tolist() == ["b", "d", "g"]


def test_the_first_rows_of_a_csv_decide_no_more_than_they_know(tmp_path: Path) -> None:
    """Whole numbers may be followed by fractions, gaps by words, and identifiers keep their zeros (I-1)."""
    path = tmp_path / "t.csv"
    rows = "\n".join(f"{n:09d},{n},," for n in range(600_000))
    path.write_text(f"id,size,material,rest\n{rows}\n00x,0.5,steel,late\n")

    table = FeatureTable(path, ItemsConfig.model_validate({**SMALL, "projection": {}}))
    last = list(table.batches())[-1]

    assert table.item_ids[7] == "000000007"
    assert last["size"].iloc[-1] == 0.5
    assert last["material"].iloc[-1] == "steel"
    assert table.columns == {"id": "string", "material": "string", "rest": "string", "size": "double"}


def test_columns_that_a_file_stores_by_word_are_words(tmp_path: Path) -> None:
    """Categorical columns of pandas, whose batches have lists of their own, read like text (I-1)."""
    path = tmp_path / "t.parquet"
    frame = pd.read_parquet(_written(path)).astype({"material": "category", "id": "category"})
    frame.to_parquet(path, row_group_size=2)

    table = FeatureTable(path, ItemsConfig.model_validate(SMALL))

    words = [word for batch in table.batches() for word in batch["material"].astype(object)]
    assert words[:6] == list("xxyyzz")
    assert table.item_ids == list("abcdefg")


def test_equal_rows_have_equal_digests_in_any_file(tmp_path: Path) -> None:
    """Order, format and neighbours of a row do not move its digest; its values do (I-4)."""
    config = ItemsConfig.model_validate(SMALL)
    digests = []
    for name in ("t.parquet", "t.csv"):
        table = FeatureTable(_written(tmp_path / name), config)
        digests.append(np.concatenate([digest_rows(b[table.deciding_columns]) for b in table.batches()]))
    changed = FeatureTable(_written(tmp_path / "c.parquet", size=[0, 1, 2, 3, 4, 5, 99.0]), config)
    other = np.concatenate([digest_rows(b[changed.deciding_columns]) for b in changed.batches()])

    assert (digests[0] == digests[1]).all()
    assert (digests[0] == other).tolist() == [True] * 6 + [False]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"id": ["a", "a", *"cdefg"]}, r"1 values of id occur twice or more: a"),
        ({"id": ["a b", None, *"cdefg"]}, r"2 values of id are not .*row 0: 'a b', row 1: None"),
        ({"size": list("abcdefg")}, r"size holds words, the settings expect numbers"),
        ({"material": pd.date_range("2026", periods=7)}, r"material holds values that are neither text nor"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    """Columns of another kind, and identifiers that repeat or that the catalog does not take (I-7)."""
    path = _written(tmp_path / "t.parquet", **columns)

    with pytest.raises(InvalidData, match=message):
        _ = FeatureTable(path, ItemsConfig.model_validate(SMALL)).item_ids


def test_missing_columns_files_and_rows_are_named(tmp_path: Path) -> None:
    """Each message has the file, and the columns that it lacks and has (I-7)."""
    config = ItemsConfig.model_validate(SMALL)
    pd.DataFrame({"id": ["a"]}).to_parquet(tmp_path / "few.parquet")
    pd.DataFrame({"id": [], "size": [], "material": []}).astype(
        {"id": str, "size": float, "material": str}
    ).to_parquet(tmp_path / "empty.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 nothing")

    with pytest.raises(InvalidData, match=r"few.parquet: missing columns: material, size; the file has id"):
        FeatureTable(tmp_path / "few.parquet", config)
    with pytest.raises(InvalidData, match=r"nowhere.parquet: no such file"):
        FeatureTable(tmp_path / "nowhere.parquet", config)
    with pytest.raises(InvalidData, match=r"t.xlsx: not a table: expected a file that ends with"):
        FeatureTable(tmp_path / "t.xlsx", config)
    with pytest.raises(InvalidData, match=r"broken.parquet: cannot be read as a table"):
        FeatureTable(tmp_path / "broken.parquet", config)
    with pytest.raises(InvalidData, match=r"empty.parquet: no rows"):
        _ = FeatureTable(tmp_path / "empty.parquet", config).item_ids


def test_a_csv_that_changes_its_mind_is_refused(tmp_path: Path) -> None:
    """A text in a column that began as numbers is an error of the file, with its value (I-7)."""
    path = tmp_path / "t.csv"
    rows = "\n".join(f"i{n},{n},steel" for n in range(600_000))
    path.write_text(f"id,size,material\n{rows}\nlast,five,steel\n")

    with pytest.raises(InvalidData, match=r"t.csv: cannot be read as a table .*five"):
        list(FeatureTable(path, ItemsConfig.model_validate({**SMALL, "projection": {}})).batches())


def test_every_configured_column_is_read_of_a_drawn_table(drawn: Path) -> None:
    """About sixty columns, words categorical, numbers float64 (I-1)."""
    table = FeatureTable(drawn / "features.parquet", configured(drawn))

    batch = next(table.batches())

    assert len(batch.columns) == len(table.columns) == 64
    assert set(map(str, batch.dtypes)) == {"category", "float64"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ({}, "snapshot_id is missing"),
        ({"snapshot_id": 3}, "snapshot_id is missing or not a text"),
        ({"snapshot_id": "s", "domain_weights": {"rail": -1}}, "domain_weights"),
        ({"snapshot_id": "s", "domain_weights": {"rail": True}}, "domain_weights"),
        ('{"snapshot_id": "s", "domain_weights": {"rail": NaN}}', "domain_weights"),
        ({"snapshot_id": "s", "items": []}, "items is not a mapping"),
        ({"snapshot_id": "s", "item": {}}, "unknown fields item"),
    ],
)
def test_metadata_of_another_form_is_refused(tmp_path: Path, body: Any, message: str) -> None:
    """The file and the field are named (I-7)."""
    path = tmp_path / "item_metadata.json"
    path.write_text(body if isinstance(body, str) else json.dumps(body))

    with pytest.raises(InvalidData, match=rf"item_metadata.json: .*{message}"):
        read_item_metadata(path)


def test_metadata_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A missing input is one line (I-7)."""
    with pytest.raises(InvalidData, match=r"none.json: cannot be read \(No such file"):
        read_item_metadata(tmp_path / "none.json")


def test_domain_weights_and_records_are_optional(tmp_path: Path) -> None:
    """A snapshot id alone is enough (I-1)."""
    path = tmp_path / "item_metadata.json"
    path.write_text('{"snapshot_id": "erp-7"}')

    assert read_item_metadata(path) == ItemMetadata(snapshot_id="erp-7")
