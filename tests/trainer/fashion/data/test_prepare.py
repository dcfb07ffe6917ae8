import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from inference.attributes import AttributeSchema
from inference.errors import InvalidTable
from trainer.errors import InvalidData
from trainer.fashion.config import read_fashion_config
from trainer.fashion.data.kfashion import STYLES, load_dataset
from trainer.fashion.data.prepare import PrepareOptions
from trainer.fashion.data.prepare_kfashion import prepare_kfashion
from trainer.fashion.data.prepare_table import prepare_table
from trainer.fashion.data.prepared_data import (
    RECORDS,
    VOCABULARY_FILE,
    open_garments,
    read_records,
    read_vocabulary,
)
from trainer.loop.progress import silent
from trainer.pictures import PictureBounds
from trainer.synthetic.kfashion import write_kfashion

SETTINGS = read_fashion_config().attributes


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(20):
        Image.new("RGB", (20, 30), (number * 10, 40, 90)).save(folder / f"{number}.jpg")
    return folder


def table(path: Path, rows: list[str]) -> Path:
    path.write_text("\n".join(["image,category,material,colour,brand,group", *rows]) + "\n", encoding="utf-8")
    return path


def prepare(path: Path, images: Path, out: Path, *, strict: bool = False) -> dict:
    preparation = PrepareOptions(out=out, strict=strict, seed=42, progress=silent)
    return prepare_table(path, images, SETTINGS, preparation)


def test_a_table_becomes_records_with_lists_and_gaps(tmp_path: Path, images: Path):
    """`|` separates words, empty is missing, further columns are fields (F-6)."""
    rows = [
        f"{n}.jpg,드레스,{'실크|레이스' if n % 2 else ''},레드,{'Ada' if n else ''},g{n // 2}"
        for n in range(20)
    ]

    prepare(table(tmp_path / "shop.csv", rows), images, tmp_path / "out")

    lines = [json.loads(line) for line in (tmp_path / "out" / RECORDS).read_text().splitlines()]
    assert lines[0]["attributes"] == {"category": "드레스", "colour": "레드"}
    assert lines[1]["attributes"] == {
        "category": "드레스", "material": ["실크", "레이스"], "colour": "레드", "brand": "Ada",
    }  # fmt: skip
    assert all((tmp_path / "out" / line["path"]).exists() for line in lines)


def test_the_vocabulary_is_of_the_training_part_alone(tmp_path: Path, images: Path):
    """A word that only validation has is unknown, as it will be in service (F-4, F-6)."""
    rows = [f"{n}.jpg,종류{n // 2},,색{n % 3},,g{n // 2}" for n in range(20)]
    out = tmp_path / "out"

    prepare(table(tmp_path / "shop.csv", rows), images, out)

    lines = [json.loads(line) for line in (out / RECORDS).read_text().splitlines()]
    words = {
        part: {line["attributes"]["category"] for line in lines if line["split"] == part}
        for part in ("train", "val")
    }
    settings = read_vocabulary(out, SETTINGS)
    known = {field.name: field for field in settings.fields}
    assert set(known) == {"category", "colour"}
    assert set(known["category"].words) == words["train"]
    assert words["val"]
    assert not words["val"] & set(known["category"].words)
    assert known["category"].core
    assert not known["colour"].core
    schema = AttributeSchema(settings.preprocessing())
    assert len(read_records(out / RECORDS, out, schema)) == 20


def test_a_table_in_progress_knows_its_end(tmp_path: Path, images: Path):
    """Rows and records are counted against their number (F-6)."""
    seen: dict[str, list[tuple[int, int]]] = {}
    options = PrepareOptions(
        out=tmp_path / "out",
        strict=False,
        seed=42,
        progress=lambda stage, done, total, *_: seen.setdefault(stage, []).append((done, total)),
    )

    prepare_table(
        table(tmp_path / "shop.csv", [f"{n}.jpg,드레스,,,," for n in range(5)]), images, SETTINGS, options
    )

    assert seen == {
        "reading the table": [(n, 5) for n in range(1, 6)],
        "writing records": [(5, 10), (10, 10)],
    }


def test_columns_are_fields_under_the_names_of_the_schema(tmp_path: Path, images: Path):
    """Capitals, spaces, Korean names; the shop's own name stays for display (F-6)."""
    path = tmp_path / "shop.csv"
    head = "image,Category,Base Colour,소재,Brand Name,원산지"
    rows = [f"{n}.jpg,Skirts,Blue,면,Ada,한국" for n in range(6)]
    path.write_text("\n".join([head, *rows]), encoding="utf-8")

    report = prepare(path, images, tmp_path / "out")

    fields = {field.name: field for field in read_vocabulary(tmp_path / "out", SETTINGS).fields}
    own = report["columns"]["원산지"]
    assert fields.keys() == {"category", "colour", "material", "brand_name", own}
    assert own.startswith("field_")
    assert fields["category"].core
    assert fields["material"].multiple
    assert {name: field.label for name, field in fields.items()} == {
        "category": "Category", "colour": "Base Colour", "material": "소재", "brand_name": "Brand Name",
        own: "원산지",
    }  # fmt: skip


def test_two_columns_of_one_field_are_refused_before_anything_is_written(tmp_path: Path, images: Path):
    """Both are named (F-6)."""
    path = tmp_path / "shop.csv"
    path.write_text("image,Color,base colour\n0.jpg,Red,Blue\n")

    with pytest.raises(InvalidData, match="'Color' and 'base colour' are both the field colour"):
        prepare(path, images, tmp_path / "out")

    assert not (tmp_path / "out").exists()


def test_several_words_in_rows_to_validate_on_make_a_list(tmp_path: Path, images: Path):
    """The folder stays readable whichever part such a row is dealt to (F-6)."""
    plain = [f"{n}.jpg,드레스,,레드,," for n in range(20)]
    for part in ("val", "test", "train"):
        prepare(table(tmp_path / "shop.csv", plain), images, tmp_path / "plain")
        lines = [json.loads(line) for line in (tmp_path / "plain" / RECORDS).read_text().splitlines()]
        place = next(n for n, line in enumerate(lines) if line["split"] == part)
        rows = [row.replace("레드", "레드|블루") if n == place else row for n, row in enumerate(plain)]
        out = tmp_path / part

        prepare(table(tmp_path / "shop.csv", rows), images, out)

        schema = AttributeSchema(read_vocabulary(out, SETTINGS).preprocessing())
        assert len(read_records(out / RECORDS, out, schema)) == 20


def test_a_folder_prepared_again_has_the_words_of_its_own_records(tmp_path: Path, images: Path):
    """No vocabulary of an earlier source stays beside records of another (F-4, F-6)."""
    out, root = tmp_path / "out", write_kfashion(tmp_path / "kfashion", 8)
    prepare(table(tmp_path / "shop.csv", [f"{n}.jpg,Skirt,,Red,," for n in range(9)]), images, out)
    options = PrepareOptions(out=out, strict=False, seed=42, progress=silent)

    prepare_kfashion(load_dataset(root, STYLES), SETTINGS, options)

    config, garments = open_garments(out, read_fashion_config())
    assert config.attributes == SETTINGS
    assert any(word == "스커트" for garment in garments for word in garment.attributes["category"])


def test_a_vocabulary_of_other_garments_is_refused(tmp_path: Path, images: Path):
    """Training would reach chance without a word: the error names the share and a word (F-4)."""
    out, other = tmp_path / "out", tmp_path / "other"
    for folder, word in ((out, "Skirt"), (other, "Coat")):
        prepare(
            table(tmp_path / "shop.csv", [f"{n}.jpg,{word}{n % 2},,,," for n in range(9)]), images, folder
        )
    (out / VOCABULARY_FILE).write_bytes((other / VOCABULARY_FILE).read_bytes())

    with pytest.raises(InvalidData, match=r"has 0 of \d+ words .* of category: it is of other garments"):
        open_garments(out, read_fashion_config())


def test_rows_that_share_a_picture_are_dealt_together(tmp_path: Path, images: Path):
    """The same bytes under two names never stand on both sides (F-5)."""
    for number in range(10, 20):
        (images / f"{number}.jpg").write_bytes((images / f"{number - 10}.jpg").read_bytes())

    report = prepare(
        table(tmp_path / "shop.csv", [f"{n}.jpg,드레스,,,," for n in range(20)]), images, tmp_path / "out"
    )

    lines = [json.loads(line) for line in (tmp_path / "out" / RECORDS).read_text().splitlines()]
    parts = {line["item_id"]: line["split"] for line in lines}
    assert all(parts[str(n)] == parts[str(n + 10)] for n in range(10))
    assert report["split"] == {"train": 14, "test": 4, "val": 2}
    assert all("picture" not in line for line in lines)


def test_the_ceiling_counts_what_the_encoder_sees(tmp_path: Path, images: Path):
    """Words that only other parts have are one unknown word to it, so their records are equal (F-13)."""
    report = prepare(
        table(tmp_path / "shop.csv", [f"{n}.jpg,종류{n},,,," for n in range(20)]), images, tmp_path / "out"
    )

    assert report["tie_ceiling"]["train"]["1"] == 1.0
    assert report["tie_ceiling"]["test"]["1"] == 0.25
    assert report["distinct_records"] == 15


def test_json_lines_bring_lists_as_lists(tmp_path: Path, images: Path):
    """The same fields, without separators (F-6)."""
    path = tmp_path / "shop.jsonl"
    body = [{"image": f"{n}.jpg", "item_id": f"i{n}", "style": ["모던", "클래식"]} for n in range(4)]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in body))

    prepare(path, images, tmp_path / "out")

    lines = [json.loads(line) for line in (tmp_path / "out" / RECORDS).read_text().splitlines()]
    assert [line["item_id"] for line in lines] == ["i0", "i1", "i2", "i3"]
    assert lines[0]["attributes"] == {"style": ["모던", "클래식"]}


def test_bad_rows_are_counted_by_reason_and_strictly_refused(tmp_path: Path, images: Path):
    """Missing, outside, unreadable, twice: each by line."""
    (images / "bad.jpg").write_bytes(b"no picture")
    named = ("0.jpg", "1.jpg", "3.jpg", "0.jpg", "gone.jpg", "../x.jpg", "bad.jpg")
    rows = [*(f"{name},드레스,,,," for name in named), "2.jpg,,,,,"]
    path = table(tmp_path / "shop.csv", rows)

    report = prepare(path, images, tmp_path / "out")

    assert report["garments"] == 3
    assert report["excluded"] == {
        "item_id twice": 1, "no picture": 1, "picture outside the folder": 1, "picture not readable": 1,
        "no attributes": 1,
    }  # fmt: skip
    assert report["examples"]["no picture"] == ["line 6: gone.jpg"]
    with pytest.raises(InvalidData, match="5 left out"):
        prepare(path, images, tmp_path / "strict", strict=True)
    assert not (tmp_path / "strict" / RECORDS).exists()
    assert not (tmp_path / "strict" / VOCABULARY_FILE).exists()


def test_pictures_beyond_the_bounds_are_left_out_by_the_name_of_the_setting(tmp_path: Path, images: Path):
    """The same bounds hold for a table, for K-Fashion and for the training that reads the folder (S-5)."""
    Image.new("RGB", (200, 300)).save(images / "wide.jpg")
    path = table(tmp_path / "shop.csv", [f"{n}.jpg,드레스,,,," for n in (*range(19), "wide")])
    small = PictureBounds(megapixels=0.01).limits()
    preparation = PrepareOptions(out=tmp_path / "out", strict=False, seed=42, progress=silent, limits=small)

    report = prepare_table(path, images, SETTINGS, preparation)
    with pytest.raises(InvalidData, match=r"the bound is 0\.0 MP \(pictures\.megapixels\)"):
        prepare_kfashion(
            load_dataset(write_kfashion(tmp_path / "drawn", 4), STYLES, ()),
            SETTINGS,
            replace(preparation, out=tmp_path / "cut"),
        )

    assert report["garments"] == 19
    assert report["examples"]["picture not readable"] == [
        "line 21: wide.jpg: 200x300 = 0.1 MP, the bound is 0.0 MP (pictures.megapixels)"
    ]
    prepare(path, images, tmp_path / "whole")
    config = read_fashion_config(overrides={"pictures.megapixels": 0.01})
    with pytest.raises(InvalidData, match=r"line 20: .*\(pictures\.megapixels\)"):
        open_garments(tmp_path / "whole", config)


def test_a_broken_table_leaves_no_folder(tmp_path: Path, images: Path):
    """Every bad row is named, and nothing is written (F-6)."""
    path = table(tmp_path / "shop.csv", ["0.jpg,드레스,,,,", "1.jpg,x,,,,,,", ",x,,,,"])

    with pytest.raises(InvalidTable, match=r"(?s)line 3: more cells than columns.*line 4: no image"):
        prepare(path, images, tmp_path / "out")

    assert not (tmp_path / "out").exists()


def test_a_garment_without_an_identifier_has_that_of_the_catalog(tmp_path: Path, images: Path):
    """Without `item_id` and `group` both are the picture's name without suffix, as on import."""
    path = tmp_path / "shop.csv"
    path.write_text("image,category\n" + "".join(f"{n}.jpg,드레스\n" for n in range(4)))

    prepare(path, images, tmp_path / "out")

    lines = [json.loads(line) for line in (tmp_path / "out" / RECORDS).read_text().splitlines()]
    assert [(line["item_id"], line["group"]) for line in lines] == [(str(n), str(n)) for n in range(4)]


def test_a_damaged_vocabulary_is_named(tmp_path: Path):
    """The file is named."""
    (tmp_path / VOCABULARY_FILE).write_text('{"fields": [{"name": "x"}]}')

    with pytest.raises(InvalidData, match=VOCABULARY_FILE):
        read_vocabulary(tmp_path, SETTINGS)
