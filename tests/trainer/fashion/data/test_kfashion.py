import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from trainer.errors import InvalidConfig, InvalidData
from trainer.fashion.config import read_fashion_config
from trainer.fashion.data.check import check_kfashion
from trainer.fashion.data.kfashion import LABELS, PICTURES, STYLES, Photographed, load_dataset
from trainer.fashion.data.kfashion_label import Box, look_of, numeric_id, polygon_box, read_label, rect_box
from trainer.fashion.data.prepare import REPORT, PrepareOptions
from trainer.fashion.data.prepare_kfashion import prepare_kfashion
from trainer.fashion.data.prepared_data import RECORDS, read_records
from trainer.fashion.data.splits import split_records
from trainer.loop.progress import silent

SETTINGS = read_fashion_config().attributes
EMPTY = {part: [{}] for part in ("상의", "하의", "아우터", "원피스")}


def polygon(left: float, top: float, right: float, bottom: float) -> dict[str, float]:
    """Corners with their keys out of order."""
    return {
        "X좌표2": right, "Y좌표1": top, "X좌표1": left, "Y좌표2": top, "Y좌표3": bottom, "X좌표3": left,
    }  # fmt: skip


def rect(left: float, top: float, width: float, height: float) -> dict[str, float]:
    return {"X좌표": left, "Y좌표": top, "가로": width, "세로": height}


def label(name: str = "SHOP_012_03.jpg", **lists) -> dict:
    details = {
        "렉트좌표": {**EMPTY, **lists.get("rects", {})},
        "폴리곤좌표": {**EMPTY, **lists.get("polygons", {})},
        "라벨링": {
            "스타일": lists.get("style", [{"스타일": "로맨틱", "서브스타일": "페미닌"}]),
            **EMPTY,
            **lists.get("labels", {}),
        },
    }
    return {
        "이미지 정보": {"이미지 식별자": 1, "이미지 높이": 100, "이미지 파일명": name, "이미지 너비": 80},
        "데이터셋 정보": {"파일 번호": 1, "데이터셋 상세설명": details},
    }


SKIRT = {
    "기장": "미디",
    "색상": "화이트",
    "카테고리": "스커트",
    "소재": ["레이스"],
    "디테일": ["플리츠"],
    "핏": "노멀",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "kfashion"


def put(
    root: Path, body, *, style="로맨틱", stem="7", partition="Training", picture=True, form="NFC"
) -> None:
    base = root / partition if partition else root
    folders = [base / unicodedata.normalize(form, kind) for kind in (LABELS, PICTURES)]
    labels, pictures = (folder / unicodedata.normalize(form, style) for folder in folders)
    for folder in (labels, pictures):
        folder.mkdir(parents=True, exist_ok=True)
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    (labels / f"{stem}.json").write_text(text)
    if picture:
        shade = sum(map(ord, stem + style)) % 200
        Image.new("RGB", (80, 100), (shade, 90, 30)).save(pictures / f"{stem}.jpg")


def prepare(root: Path, out: Path, *, strict: bool = False, styles=("로맨틱",)) -> dict:
    preparation = PrepareOptions(out=out, strict=strict, seed=42, progress=silent)
    return prepare_kfashion(load_dataset(root, styles), SETTINGS, preparation)


def records(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / RECORDS).read_text().splitlines()]


def test_a_garment_has_its_own_attributes_and_its_own_box():
    """Two of one part, at the same places of the three lists; the photograph's styles are shared."""
    # proves F-1, F-2, F-3
    trousers = {"카테고리": "팬츠", "소재": ["데님"], "핏": "와이드"}
    body = label(
        labels={"하의": [SKIRT, trousers]},
        polygons={"하의": [polygon(1, 2, 30, 40), polygon(5, 50, 70, 90)]},
        rects={"하의": [rect(0.5, 1.5, 29, 38), rect(30, 49.5, 65, 40)]},
    )

    found = read_label(body, "로맨틱", "7")

    skirt, pants = found.garments
    assert (skirt.part, skirt.place, pants.place) == ("bottom", 0, 1)
    assert skirt.attributes == {
        "category": "스커트", "silhouette": "노멀", "colour": "화이트", "length": "미디",
        "material": ["레이스"], "detail": ["플리츠"], "style": ["로맨틱", "페미닌"],
    }  # fmt: skip
    assert pants.attributes["category"] == "팬츠"
    assert (skirt.box.left, skirt.box.bottom) == (1, 40)
    assert (skirt.rect_disagrees, pants.rect_disagrees) == (False, True)
    assert found.look == "SHOP_012"


def test_what_a_label_leaves_out_is_left_out():
    """A garment of a colour alone; no style: the folder's; the folder of other styles: none (F-3)."""
    body = label(labels={"상의": [{"색상": "블랙"}]}, polygons={"상의": [polygon(0, 0, 9, 9)]}, style=[{}])

    assert read_label(body, "로맨틱", "7").garments[0].attributes == {"colour": "블랙", "style": ["로맨틱"]}
    assert read_label(body, "기타", "7").garments[0].attributes == {"colour": "블랙"}


@pytest.mark.parametrize(
    ("name", "number"), [("116.json", 116), ("(116)IMG_1.json", 116), ("IMG.json", None), ("a7b8.json", 7)]
)
def test_the_number_is_the_first_run_of_digits(name: str, number: int | None):
    """As older releases name their files too (F-1)."""
    assert numeric_id(name) == number


@pytest.mark.parametrize(
    "body", [None, [], {}, {"이미지 정보": {}}, {"이미지 정보": {}, "데이터셋 정보": {}}]
)
def test_another_schema_is_named(body):
    """What is missing is said."""
    with pytest.raises(InvalidData, match="no "):
        read_label(body, "로맨틱", "7")


@pytest.mark.parametrize("partition", ["Training", "Validation", ""])
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_files_are_found_in_either_partition_and_either_spelling(root: Path, partition: str, form: str):
    """macOS takes names apart; some copies have no partitions (F-1)."""
    put(root, label(), partition=partition, form=form)

    dataset = load_dataset(root, ["로맨틱"])

    assert dataset.count() == {"로맨틱": 1}
    (found,) = dataset.photographs()
    assert isinstance(found, Photographed)
    assert found.picture.exists()


def test_nothing_found_names_the_path_and_what_was_expected(root: Path):
    """One line says where it looked (F-1)."""
    put(root, label(), style="레트로")

    with pytest.raises(InvalidData) as caught:
        load_dataset(root, ["로맨틱"])
    assert str(root) in str(caught.value)
    assert f"{LABELS}/로맨틱/*.json" in str(caught.value)
    with pytest.raises(InvalidData, match="no label file"):
        load_dataset(root / "nowhere")
    with pytest.raises(InvalidData, match="귀여운 is unknown; the styles are"):
        load_dataset(root, ["귀여운"])


def test_the_default_styles_are_three_and_all_are_23(root: Path):
    """기타 only when it is asked for (F-1)."""
    for style in ("레트로", "로맨틱", "리조트", "힙합", "기타"):
        put(root, label(), style=style)

    assert load_dataset(root).styles == ("레트로", "로맨틱", "리조트")
    assert len(STYLES) == 23
    assert load_dataset(root, STYLES).styles == ("레트로", "로맨틱", "리조트", "힙합")
    assert "기타" in load_dataset(root, [*STYLES, "기타"]).styles


def test_everything_left_out_is_counted_by_reason_with_its_path(root: Path, tmp_path: Path):
    """Broken files, garments without a place, photographs that are not there: none is silent."""
    # proves F-1, F-2
    good = {"labels": {"하의": [SKIRT]}, "polygons": {"하의": [polygon(1, 2, 60, 90)]}}
    put(root, label("A_001_01.jpg", **good), stem="1")
    put(root, label("A_002_01.jpg", **good), stem="2")
    put(root, "{", stem="3")
    put(root, {"이미지 정보": {}}, stem="4")
    put(root, label(**good), stem="5", picture=False)
    put(root, label(labels={"하의": [SKIRT]}), stem="6")
    put(root, label(labels={"하의": [SKIRT]}, polygons={"하의": [polygon(100, 2, 160, 90)]}), stem="7")
    put(root, label(polygons={"하의": [polygon(1, 2, 60, 90)]}), stem="8")
    rect = {"X좌표": 1, "Y좌표": 2, "가로": 40, "세로": 50}
    put(root, label("A_009_01.jpg", labels={"하의": [SKIRT]}, rects={"하의": [rect]}), stem="9")
    flat = {"X좌표": 1, "Y좌표": 2, "가로": 0, "세로": 50}
    put(root, label(labels={"하의": [SKIRT]}, rects={"하의": [flat]}), stem="10")
    put(root, label(**good), stem="11")
    (root / "Training" / PICTURES / "로맨틱" / "11.jpg").write_bytes(b"no picture")

    report = prepare(root, tmp_path / "out")

    assert report["garments"] == 3
    assert report["excluded"] == {
        "no polygon and no rectangle": 2,
        "not JSON": 1,
        "not a label": 1,
        "no photograph": 1,
        "no area inside the photograph": 1,
        "no attributes": 1,
        "photograph not readable": 1,
    }
    assert report["noted"] == {"box of the rectangle: no polygon": 1}
    assert str(root / "Training" / LABELS / "로맨틱" / "3.json") in report["examples"]["not JSON"][0]
    assert json.loads((tmp_path / "out" / REPORT).read_text()) == report


def test_strictly_nothing_may_be_left_out(root: Path, tmp_path: Path):
    """The error lists the reasons, and no records are written."""
    good = {"labels": {"하의": [SKIRT]}, "polygons": {"하의": [polygon(1, 2, 60, 90)]}}
    put(root, label("A_001_01.jpg", **good), stem="1")
    put(root, label("A_002_01.jpg", **good), stem="2")
    put(root, "{", stem="3")

    with pytest.raises(InvalidData, match=r"(?s)1 left out.*not JSON: 1.*3\.json"):
        prepare(root, tmp_path / "out", strict=True)

    assert not (tmp_path / "out" / RECORDS).exists()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["pictures"]


def test_a_crop_is_the_part_of_the_photograph_inside_its_box(root: Path, tmp_path: Path):
    """Boxes reach over the edge and are in the size that the label states (F-2)."""
    body = label("A_001_01.jpg", labels={"하의": [SKIRT]}, polygons={"하의": [polygon(-10, 20, 40, 140)]})
    put(root, body, stem="1")
    other = {"labels": {"하의": [SKIRT]}, "polygons": {"하의": [polygon(1, 2, 60, 90)]}}
    put(root, label("A_002_01.jpg", **other), stem="2")
    put(root, label("A_003_01.jpg", **other), stem="3")
    halved = Image.new("RGB", (160, 200), "blue")
    halved.paste("red", (0, 40, 80, 200))
    halved.save(root / "Training" / PICTURES / "로맨틱" / "1.jpg", quality=95)

    prepare(root, tmp_path / "out")

    path = next(line["path"] for line in records(tmp_path / "out") if "/1-" in line["path"])
    with Image.open(tmp_path / "out" / path) as crop:
        assert crop.size == (80, 160)
        red, green, blue = crop.convert("RGB").getpixel((40, 80))
    assert red > 200 > 60 > max(green, blue)


def test_words_are_spelt_one_way(root: Path, tmp_path: Path):
    """Taken apart, with a no-break space, or as the sources misspell them (F-4)."""
    drifted = {
        "카테고리": unicodedata.normalize("NFD", "스커트"),
        "핏": "노말",
        "프린트": ["하운즈\u00a0투스", "♥"],
        "넥라인": "홀토넥",
    }
    for stem in ("1", "2", "3"):
        body = label(
            f"A_00{stem}_01.jpg", labels={"하의": [drifted]}, polygons={"하의": [polygon(1, 2, 60, 90)]}
        )
        put(root, body, stem=stem)

    prepare(root, tmp_path / "out")

    found = records(tmp_path / "out")[0]["attributes"]
    assert (found["category"], found["silhouette"], found["neckline"]) == ("스커트", "노멀", "홀터넥")
    assert found["print"] == ["하운즈투스", "하트"]


def test_garments_of_a_photograph_and_photographs_of_a_look_stay_together(root: Path, tmp_path: Path):
    """Whole looks, a tenth to validate on and a fifth to judge; the trainer keeps them so (F-5)."""
    two = {
        "labels": {"하의": [SKIRT], "상의": [{"색상": "블랙"}]},
        "polygons": {"하의": [polygon(1, 50, 60, 90)], "상의": [polygon(1, 2, 60, 45)]},
    }
    for look in range(10):
        for photograph in range(2):
            name = f"SHOP_{look:03d}_{photograph:02d}.jpg"
            put(root, label(name, **two), stem=str(look * 2 + photograph))

    prepare(root, tmp_path / "out")

    found = records(tmp_path / "out")
    parts = {}
    for line in found:
        parts.setdefault(line["group"], set()).add(line["split"])
    assert len(found) == 40
    assert all(len(part) == 1 for part in parts.values())
    assert sum(part == {"val"} for part in parts.values()) == 1
    assert sum(part == {"test"} for part in parts.values()) == 2
    from inference.attributes import AttributeSchema

    schema = AttributeSchema(SETTINGS.preprocessing())
    garments = read_records(tmp_path / "out" / RECORDS, tmp_path / "out", schema)
    split = split_records(garments, seed=7)
    for part in ("train", "val", "test"):
        members = {garment.item_id for garment in getattr(split, part)}
        assert members
        assert members <= {line["item_id"] for line in found if line["split"] == part}
    assert {garment.style_folder for garment in garments} == {"로맨틱"}


def test_preparing_again_gives_the_same_bytes(root: Path, tmp_path: Path):
    """Order of work changes nothing."""
    good = {"labels": {"하의": [SKIRT]}, "polygons": {"하의": [polygon(1, 2, 60, 90)]}}
    for stem in range(12):
        put(root, label(f"A_{stem:03d}_01.jpg", **good), stem=str(stem))

    for name in ("one", "other"):
        prepare(root, tmp_path / name)

    assert (tmp_path / "one" / RECORDS).read_bytes() == (tmp_path / "other" / RECORDS).read_bytes()


def test_a_crop_is_cut_again_only_when_its_label_or_photograph_changed(root: Path, tmp_path: Path):
    """Garments keep their identifiers, and no crop of an earlier label or photograph stays (F-2)."""
    body = {"labels": {"하의": [SKIRT]}, "polygons": {"하의": [polygon(1, 2, 60, 90)]}}
    for stem in range(1, 5):
        put(root, label(f"A_00{stem}_01.jpg", **body), stem=str(stem))
    out = tmp_path / "out"
    prepare(root, out)
    before = {line["item_id"]: line["path"] for line in records(out)}
    written = {path: (out / path).stat().st_mtime_ns for path in before.values()}
    wider = {**body, "polygons": {"하의": [polygon(1, 2, 70, 90)]}}
    put(root, label("A_001_01.jpg", **wider), stem="1")
    Image.new("RGB", (80, 100), "blue").save(root / "Training" / PICTURES / "로맨틱" / "2.jpg")

    prepare(root, out)

    after = {line["item_id"]: line["path"] for line in records(out)}
    assert after.keys() == before.keys()
    changed = {item for item in after if after[item] != before[item]}
    assert {item.rpartition("/")[2][0] for item in changed} == {"1", "2"}
    assert {str(path.relative_to(out)) for path in out.rglob("*.jpg")} == set(after.values())
    for item in after.keys() - changed:
        assert (out / after[item]).stat().st_mtime_ns == written[before[item]]
    sizes = {}
    for item, path in after.items():
        with Image.open(out / path) as crop:
            sizes[item.rpartition("/")[2][0]] = crop.size
    assert sizes["1"] == (69, 88)
    assert sizes["3"] == (59, 88)


def test_a_polygon_without_an_area_gives_way_to_the_rectangle(root: Path, tmp_path: Path):
    """Points on a line, or a single point, show no garment; the rectangle beside them does (F-2)."""
    box = {"X좌표": 1, "Y좌표": 2, "가로": 40, "세로": 50}
    line = {"X좌표1": 5, "Y좌표1": 5, "X좌표2": 60, "Y좌표2": 5}
    for stem, points in enumerate((line, {"X좌표1": 5, "Y좌표1": 5}, polygon(1, 2, 41, 52)), start=1):
        body = {"labels": {"하의": [SKIRT]}, "polygons": {"하의": [points]}, "rects": {"하의": [box]}}
        put(root, label(f"A_00{stem}_01.jpg", **body), stem=str(stem))

    report = prepare(root, tmp_path / "out")

    assert (report["garments"], report["excluded"]) == (3, {})
    assert report["noted"] == {"box of the rectangle: no polygon": 2}
    for record in records(tmp_path / "out"):
        with Image.open(tmp_path / "out" / record["path"]) as crop:
            assert crop.size == (40, 50)


@pytest.mark.parametrize(
    ("name", "look"),
    [
        ("SHOP_012_03", "SHOP_012"),
        ("nt2157k07-nt2157k07-s_3", "nt2157k07-nt2157k07-s"),
        ("t3215k96-t3215k96-s_9", "t3215k96-t3215k96-s"),
        ("(116)IMG_1", "(116)IMG_1"),
        ("IMG_1", "IMG_1"),
        ("100", "100"),
    ],
)
def test_photographs_of_a_look_share_what_their_names_share(name: str, look: str):
    """Names of the real set; a number alone makes no look, or every photograph would be of one (F-5)."""
    assert look_of(name) == look
    assert look_of(name, read_fashion_config().looks) == look


def test_a_rule_for_looks_must_be_a_pattern_with_one_group():
    """Settings with another pattern are refused by name (F-5)."""
    for pattern in ("(", "^.+$", "^(.+)_(.+)$"):
        with pytest.raises(InvalidConfig, match=r"looks\.0"):
            read_fashion_config(overrides={"looks": [pattern]})


def test_a_folder_is_checked_without_writing(root: Path, tmp_path: Path):
    """Garments, looks, words that the vocabulary lacks and what cannot be used, with examples (F-1, F-2)."""
    odd = {"labels": {"하의": [{**SKIRT, "핏": "처음보는핏"}]}, "polygons": {"하의": [polygon(1, 2, 60, 90)]}}
    put(root, label("A_001_01.jpg", **odd), stem="1")
    put(root, label("A_001_02.jpg", **odd), stem="2")
    put(root, label("A_002_01.jpg", **odd), stem="3")
    (root / "Training" / PICTURES / "로맨틱" / "3.jpg").write_bytes(b"no picture")
    dataset = load_dataset(root, ["로맨틱"])
    before = sorted(root.rglob("*"))

    report = check_kfashion(dataset, read_fashion_config(), silent)
    quick = check_kfashion(dataset, read_fashion_config(), silent, pictures=False)

    assert (report["garments"], report["photographs"], report["looks"], report["in_looks"]) == (2, 3, 2, 2)
    assert report["unknown_words"] == {"silhouette": 3}
    assert report["excluded"] == {"photograph not readable": 1}
    assert (quick["garments"], quick["excluded"]) == (3, {})
    assert sorted(root.rglob("*")) == before


points = st.lists(st.tuples(st.floats(-50, 900, width=32), st.floats(-50, 900, width=32)), min_size=1)


@given(points, st.randoms(use_true_random=False))
def test_the_box_of_a_polygon_holds_every_point_whatever_the_order_of_its_keys(
    corners: list[tuple[float, float]], random
):
    """Keys are told apart by number, not by where they stand (F-2)."""
    keyed = [
        (f"{axis}좌표{number}", value)
        for number, corner in enumerate(corners, start=1)
        for axis, value in zip("XY", corner, strict=True)
    ]
    random.shuffle(keyed)

    box = polygon_box(dict(keyed))

    xs, ys = zip(*corners, strict=True)
    assert box == Box(min(xs), min(ys), max(xs), max(ys))


@pytest.mark.parametrize(
    "polygon", [{}, {"X좌표1": 3.0}, {"X좌표1": "3", "Y좌표1": 4.0}, {"X좌표": 1, "Y좌표": 2}, {"note": 1}]
)
def test_without_a_whole_point_there_is_no_box(polygon):
    """Half a point is none; text is no number (F-2)."""
    assert polygon_box(polygon) is None


def test_a_rectangle_needs_all_four_numbers():
    """Three are no rectangle; without width it has no area (F-2)."""
    assert rect_box({"X좌표": 1, "Y좌표": 2, "가로": 3}) is None
    assert rect_box({"X좌표": 1.5, "Y좌표": 2.5, "가로": 3, "세로": 4}) == Box(1.5, 2.5, 4.5, 6.5)
    flat = rect_box({"X좌표": 1, "Y좌표": 2, "가로": 0, "세로": 4})
    assert flat is not None
    assert not flat.has_area


@given(points, st.integers(1, 800), st.integers(1, 800))
def test_a_clamped_box_lies_inside_the_picture(corners: list[tuple[float, float]], width: int, height: int):
    """Whatever the polygon says, nothing is cut from outside (F-2)."""
    array = np.array(corners)
    low, high = array.min(0), array.max(0)
    box = Box(float(low[0]), float(low[1]), float(high[0]), float(high[1])).clamped(width, height)

    assert 0 <= box.left <= box.right <= width
    assert 0 <= box.top <= box.bottom <= height
