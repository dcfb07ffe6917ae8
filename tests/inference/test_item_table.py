"""The one reader of a shop's table, for training and for the catalog."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.errors import InvalidTable
from inference.item_table import ItemRow, default_item_ids, read_item_table, words_of


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def _read(path: Path, text: str) -> list[ItemRow]:
    return list(read_item_table(_write(path, text)))


def test_a_csv_gives_text_and_lists_and_leaves_empty_cells_out(tmp_path: Path):
    """`|` separates the values of a list; spaces around values and empty values are dropped (F-6)."""
    text = "image,category,material,brand\na.jpg, 드레스 ,실크| 레이스|,\nb.jpg,,|,Ada\n"

    rows = _read(tmp_path / "shop.csv", text)

    assert [row.attributes for row in rows] == [
        {"category": "드레스", "material": ["실크", "레이스"]},
        {"brand": "Ada"},
    ]
    assert [row.line for row in rows] == [2, 3]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949"])
def test_a_csv_is_read_as_spreadsheets_save_it(tmp_path: Path, encoding: str):
    """UTF-8 with or without a byte-order mark, and CP949, which Korean Excel saves (F-6)."""
    path = tmp_path / "shop.csv"
    path.write_bytes("image,카테고리\n가.jpg,니트웨어\n".encode(encoding))

    (row,) = read_item_table(path)

    assert (row.image, row.attributes) == ("가.jpg", {"카테고리": "니트웨어"})


@pytest.mark.parametrize("suffix", ["jsonl", "ndjson", "JSON"])
def test_json_lines_keep_their_values(tmp_path: Path, suffix: str):
    """Lists are lists, numbers stay numbers, text with `|` is text; null, "" and [] are left out (F-6)."""
    row = {
        "image": "a.jpg",
        "style": ["모던", "펑크"],
        "price": 12.5,
        "name": "a|b",
        "x": None,
        "y": "",
        "z": [],
    }

    (item,) = _read(tmp_path / f"shop.{suffix}", "\n" + json.dumps(row) + "\n")

    assert item.attributes == {"style": ["모던", "펑크"], "price": 12.5, "name": "a|b"}
    assert item.line == 2


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_identifier_and_group_are_columns_of_their_own(tmp_path: Path, suffix: str):
    """`image`, `item_id` and `group` are never attributes, in neither format."""
    text = {
        "csv": "\ufeffimage,item_id,group,colour\na.jpg,i1,look 1,레드\nb.jpg,,,레드\n",
        "jsonl": '\ufeff{"image": "a.jpg", "item_id": "i1", "group": "look 1", "colour": "레드"}\n'
        '{"image": "b.jpg", "colour": "레드"}\n',
    }[suffix]

    rows = _read(tmp_path / f"shop.{suffix}", text)

    assert [(row.image, row.item_id, row.group) for row in rows] == [
        ("a.jpg", "i1", "look 1"),
        ("b.jpg", "b", "b"),
    ]
    assert all(row.attributes == {"colour": "레드"} for row in rows)


def test_the_default_identifier_is_the_path_without_its_suffix(tmp_path: Path):
    """As a folder's own pictures are named; with the suffix where two pictures differ in nothing else."""
    names = ["a.jpg", "twin.jpg", "twin.png", "./a2.jpg", "deep//b.jpg", "스커트 1.jpg"]

    rows = _read(tmp_path / "shop.csv", "image\n" + "\n".join(names) + "\n")

    assert [row.item_id for row in rows][:4] == ["a", "twin.jpg", "twin.png", "a2"]
    assert re.fullmatch(r"deep-b-[0-9a-f]{8}", rows[4].item_id)
    assert rows[4].item_id == default_item_ids(["deep/b.jpg"])["deep/b.jpg"]
    assert re.fullmatch(r"1-[0-9a-f]{8}", rows[5].item_id)


@given(st.lists(st.text(min_size=1, max_size=200), max_size=20, unique=True))
def test_default_identifiers_are_valid_and_differ(names: list[str]):
    """Any names give identifiers that the catalog takes, whatever their order."""
    found = default_item_ids(names)

    assert len(set(found.values())) == len(names)
    assert all(
        re.fullmatch(r"[A-Za-z0-9_:-][A-Za-z0-9._:-]{0,127}", each, re.ASCII) for each in found.values()
    )
    assert default_item_ids(names[::-1]) == found


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "picture,category\n1.jpg,x\n", "no column image; the columns are picture, category"),
        ("a.csv", "", "no column image; the columns are none"),
        ("a.csv", "image,category\n1.jpg,x,y\n", "line 2: more cells than columns"),
        ("a.csv", "image,category\n,x\n", "line 2: no image"),
        ("a.jsonl", '{"image": "1.jpg"}\n{', "line 2: not JSON"),
        ("a.jsonl", '{"category": "x"}\n', "line 1: no image"),
        ("a.jsonl", "[]\n", "line 1: not a JSON object"),
    ],
)
def test_a_broken_table_is_refused_by_file_and_line(tmp_path: Path, name: str, text: str, message: str):
    """The error names the file, the line and the fault, before the first row is read (F-6)."""
    path = _write(tmp_path / name, text)

    with pytest.raises(InvalidTable, match=message) as caught:
        read_item_table(path)

    assert str(path) in str(caught.value)


def test_every_bad_row_is_reported(tmp_path: Path):
    """One error lists all of them, twenty in full and how many more."""
    path = _write(tmp_path / "a.jsonl", "{\n" * 12 + '{"image": "a.jpg"}\n' + "[]\n" * 12)

    with pytest.raises(InvalidTable) as caught:
        read_item_table(path)

    message = str(caught.value)
    assert "bad rows: 24" in message
    assert "line 12: not JSON" in message
    assert "line 14: not a JSON object" in message
    assert "… and 4 more" in message


@pytest.mark.parametrize("content", [b"image\n\xff\xfe\n", None])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None):
    """Bytes that are not UTF-8, and a file that is missing."""
    path = tmp_path / "shop.csv"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(InvalidTable, match=r"shop\.csv: cannot be read as a table"):
        read_item_table(path)


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, ()), ("", ()), (" a ", ("a",)), (["a", "", " b"], ("a", "b")), (3, ("3",)), ([], ())],
)
def test_the_words_of_a_value(value: object, words: tuple[str, ...]):
    """A list gives its words, anything else itself as text; empty words are left out."""
    assert words_of(value) == words


def test_columns_can_be_kept_apart(tmp_path: Path):
    """They are no attributes; empty ones are left out, `false` stays (R-12)."""
    text = json.dumps({"image": "a.jpg", "in_stock": False, "product_id": "", "colour": "red"})
    path = _write(tmp_path / "shop.jsonl", text)

    (row,) = read_item_table(path, other=("in_stock", "product_id"))

    assert (row.attributes, row.other) == ({"colour": "red"}, {"in_stock": False})


def test_an_object_of_attributes_stays_as_it_is(tmp_path: Path):
    """It may name a field as a column is named, and hold what a column leaves out (R-12)."""
    inner = {"image": "x", "in_stock": "y", "tags": [], "note": ""}
    path = _write(tmp_path / "shop.jsonl", json.dumps({"image": "a.jpg", "b": 1, "attributes": inner}))

    (row,) = read_item_table(path, other=("in_stock",))

    assert (row.attributes, row.other) == ({"b": 1} | inner, {})


def test_a_column_called_attributes_is_an_attribute_unless_it_is_an_object(tmp_path: Path):
    """As in a CSV."""
    (row,) = _read(tmp_path / "shop.csv", "image,attributes\na.jpg,wool\n")

    assert row.attributes == {"attributes": "wool"}


def test_another_column_can_stand_for_the_picture(tmp_path: Path):
    """Such a row needs an identifier; without either it is refused with its line (R-12)."""
    rows = [{"item_id": "bare", "vector": [1]}, {"vector": [1]}, {"item_id": "none"}]
    path = _write(tmp_path / "shop.jsonl", "\n".join(map(json.dumps, rows[:1])))
    bad = _write(tmp_path / "bad.jsonl", "\n".join(map(json.dumps, rows)))

    (row,) = read_item_table(path, other=("vector",), instead_of_image="vector")

    assert (row.item_id, row.image, row.other) == ("bare", "", {"vector": [1]})
    needs = r"line 2: no item_id, which a row without image needs\n.*line 3: no image"
    with pytest.raises(InvalidTable, match=needs):
        read_item_table(bad, other=("vector",), instead_of_image="vector")
    with pytest.raises(InvalidTable, match="line 1: no image"):
        read_item_table(path)


def test_columns_are_called_otherwise(tmp_path: Path) -> None:
    """A table with names of its own is read by ours; a column without a name here is left out. (F-6)"""
    columns = {"photo": "image", "sku": "item_id", "note": "", "kind": "category"}
    text = {"t.csv": "photo,sku,note,kind\na.jpg,one,x,bag\n",
            "t.jsonl": '{"photo": "a.jpg", "sku": "one", "note": "x", "kind": "bag"}\n'}  # fmt: skip
    rows = [
        list(read_item_table(_write(tmp_path / name, body), columns=columns)) for name, body in text.items()
    ]

    assert [[(row.image, row.item_id, row.attributes) for row in table] for table in rows] == [
        [("a.jpg", "one", {"category": "bag"})]
    ] * 2
