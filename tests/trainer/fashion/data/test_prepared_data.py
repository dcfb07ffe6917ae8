import json
from pathlib import Path

import pytest
from PIL import Image

from inference.attributes import AttributeSchema
from trainer.errors import InvalidData
from trainer.fashion.config import read_fashion_config
from trainer.fashion.data.prepared_data import read_records, tie_ceiling, tie_ceilings
from trainer.fashion.data.splits import split_records


@pytest.fixture
def schema() -> AttributeSchema:
    return AttributeSchema(read_fashion_config().attributes.preprocessing())


def _lines(folder: Path, lines: list[object]) -> Path:
    for number in range(6):
        Image.new("RGB", (8, 8), (number * 40, 0, 0)).save(folder / f"{number}.png")
    path = folder / "g.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


def _line(number: int, **more: object) -> dict[str, object]:
    return {"item_id": f"g{number}", "path": f"{number}.png", "attributes": {"category": "코트"}, **more}


def test_words_are_spelt_as_the_manifest_says(tmp_path: Path, schema: AttributeSchema):
    """Training normalises records as serving does; unknown fields are left out (F-4)."""
    attributes = {"silhouette": "노말", "print": ["하운즈\u00a0투스", "♥"], "season": "FW"}

    garment = read_records(_lines(tmp_path, [_line(0, attributes=attributes)]), tmp_path, schema)[0]

    assert garment.attributes["silhouette"] == ("노멀",)
    assert garment.attributes["print"] == ("하운즈투스", "하트")
    assert "season" not in garment.attributes


def test_all_bad_lines_are_reported_together(tmp_path: Path, schema: AttributeSchema):
    """One error lists every bad line with its number and its fault."""
    lines = [
        _line(0),
        "{",
        _line(1, path="none.png"),
        _line(2, path="../x.png"),
        _line(0),
        _line(3, attributes={"category": 3}),
    ]

    with pytest.raises(InvalidData) as caught:
        read_records(_lines(tmp_path, lines), tmp_path, schema)

    message = str(caught.value)
    for part in (
        "5 bad lines",
        "line 2: not a JSON object",
        "line 3: no file",
        "line 4: path ../x.png leaves",
        "g0 twice",
        "line 6: field 'category'",
    ):
        assert part in message


def test_equal_records_have_equal_keys(tmp_path: Path, schema: AttributeSchema):
    """The order of a list's words makes no other query."""
    one = _line(0, attributes={"detail": ["단추", "포켓"]})
    other = _line(1, attributes={"detail": ["포켓", "단추"], "category": None})

    garments = read_records(_lines(tmp_path, [one, other]), tmp_path, schema)

    assert garments[0].key == garments[1].key


def test_groups_stay_together(tmp_path: Path, schema: AttributeSchema):
    """Garments of one look are never on both sides (F-5)."""
    lines = [_line(n, group=f"look{n // 2}") for n in range(6)]

    for seed in range(10):
        split = split_records(read_records(_lines(tmp_path, lines), tmp_path, schema), seed)

        assert split.train
        assert split.val
        assert not {g.group for g in split.train} & {g.group for g in split.val}


def test_tie_ceiling_is_what_equal_records_allow():
    """Twenty equal records can put ten of their pictures among the first ten (F-13)."""
    assert tie_ceiling(["a"] * 20, 10) == 0.5
    assert tie_ceiling(["a"] * 20 + ["b"] * 20, 10) == 0.5
    assert tie_ceiling([str(i) for i in range(20)], 10) == 1.0


def test_ceilings_of_queries_have_the_ceiling_as_their_mean():
    """Of two tied queries and another, the first two find their own in half of the draws (F-13)."""
    assert tie_ceilings(["a", "b", "a"], 1).tolist() == [0.5, 1.0, 0.5]
    assert tie_ceiling(["a", "b", "a"], 1) == pytest.approx(2 / 3)
