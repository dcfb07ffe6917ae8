"""The drawn K-Fashion set: labels that say what the photographs show, with the oddities of the real set."""

import json
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inference.attributes import AttributeSchema
from trainer.fashion.config import read_fashion_config
from trainer.fashion.data.kfashion import STYLES, Photographed, load_dataset
from trainer.synthetic import garments
from trainer.synthetic.fabrics import COLOURS
from trainer.synthetic.garments import draw_garment
from trainer.synthetic.kfashion import (
    DEFAULT_LABELS_SHA256,
    DEFAULT_PHOTOGRAPHS,
    DEFAULT_SEED,
    KEYS,
    PARTS,
    digest_labels,
    write_kfashion,
)
from trainer.synthetic.records import Record, word_of

PHOTOGRAPHS = 200


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hundred photographs whose garments are squares of their colour, which are quick to draw."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(garments, "draw_record", lambda record, rng, size, ground: _square(record, size))
        return write_kfashion(tmp_path_factory.mktemp("kfashion"), PHOTOGRAPHS, 7)


@pytest.fixture(scope="module")
def labels(root: Path) -> list[dict[str, Any]]:
    """The bodies of the label files, by number."""
    bodies = [json.loads(path.read_text(encoding="utf-8")) for path in root.rglob("*.json")]
    return sorted(bodies, key=lambda body: body["이미지 정보"]["이미지 식별자"])


def _square(record: Record, size: int) -> Image.Image:
    return Image.new("RGB", (size, size), COLOURS[word_of(record, "colour")])


def _garments(body: dict[str, Any], lists: str = "라벨링") -> list[dict[str, Any]]:
    """Entries of all parts that hold something."""
    details = body["데이터셋 정보"]["데이터셋 상세설명"][lists]
    return [entry for part in PARTS for entry in details[part] if details[part] != [{}]]


def _nfc(path: Path) -> str:
    return unicodedata.normalize("NFC", path.as_posix())


@pytest.mark.slow
def test_the_default_set_is_the_one_of_the_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Every label file to the byte; the pictures themselves are not drawn here."""
    monkeypatch.setattr(
        garments, "draw_record", lambda record, rng, size, ground: Image.new("RGB", (size, size))
    )
    root = write_kfashion(tmp_path, DEFAULT_PHOTOGRAPHS, DEFAULT_SEED)

    assert digest_labels(root) == DEFAULT_LABELS_SHA256


def test_every_photograph_has_its_label_file(root: Path):
    """In folders of the same style and under the same name, four fifths in Training."""
    pictures = {_nfc(path.relative_to(root).with_suffix("")) for path in root.rglob("*.jpg")}
    files = {_nfc(path.relative_to(root).with_suffix("")) for path in root.rglob("*.json")}

    assert len(pictures) == PHOTOGRAPHS
    assert {name.replace("원천데이터", "라벨링데이터") for name in pictures} == files
    assert 0.7 < sum(name.startswith("Training/") for name in files) / PHOTOGRAPHS < 0.9
    assert {name.split("/")[2] for name in files} <= set(STYLES)


def test_the_set_is_read_as_the_real_one_is(root: Path):
    """The reader of K-Fashion finds every photograph, none with a problem, at the size its label states."""
    photographs = list(load_dataset(root, STYLES).photographs())

    assert len(photographs) == PHOTOGRAPHS
    for photograph in photographs:
        assert isinstance(photograph, Photographed)
        with Image.open(photograph.picture) as picture:
            assert picture.size == (photograph.label.width, photograph.label.height)


def test_labels_name_what_is_drawn(labels: list[dict[str, Any]]):
    """Composed and spelt as in the vocabulary, the words of a label are those of the drawn record."""
    schema = AttributeSchema(read_fashion_config().attributes.preprocessing())
    for number, body in enumerate(labels[:40]):
        records = [draw_garment(7, number * 2 + place, 8).record for place in (0, 1)]
        drawn = [
            schema.normalise({name: value for name, value in record.items() if name in KEYS})
            for record in records
        ]
        for entry in _garments(body):
            words = schema.normalise({name: entry[key] for name, key in KEYS.items() if key in entry})

            assert words in drawn or set(entry) == {"색상"}


def test_boxes_are_where_the_garments_are(root: Path):
    """What a polygon surrounds is the garment, in its colour, and nothing of the ground around it.

    Where the first of two garments of one part has no polygon, the list of the second begins at its place, as
    in the set whose digest is fixed: its box is then read for the first.
    """
    checked, misplaced = 0, 0
    for photograph in load_dataset(root, STYLES).photographs():
        assert isinstance(photograph, Photographed)
        with Image.open(photograph.picture) as picture:
            pixels = np.asarray(picture).astype(int)
        parts = Counter(garment.part for garment in photograph.label.garments)
        for garment in photograph.label.garments:
            if not garment.from_polygon or garment.box is None:
                continue
            box = garment.box
            left, top, right, bottom = map(round, (box.left, box.top, box.right, box.bottom))
            assert (right - left, bottom - top) == (160, 160)
            inside = pixels[top + 3 : bottom - 3, left + 3 : right - 3]
            assert inside.std((0, 1)).max() < 5
            colour = COLOURS[unicodedata.normalize("NFC", word_of(garment.attributes, "colour"))]
            if np.abs(inside - colour).max() >= 30:
                assert parts[garment.part] == 2
                misplaced += 1
            checked += 1
    assert checked > PHOTOGRAPHS
    assert misplaced < 0.02 * checked


def test_photographs_of_a_look_share_name_style_and_partition(root: Path):
    """Two to a look: they must not be split between training and validation."""
    looks: dict[str, set[tuple[str, str]]] = {}
    counts: Counter[str] = Counter()
    for photograph in load_dataset(root, STYLES).photographs():
        assert isinstance(photograph, Photographed)
        look = photograph.label.image_name.rpartition("_")[0]
        looks.setdefault(look, set()).add((photograph.partition, photograph.style))
        counts[look] += 1

    assert set(counts.values()) == {2}
    assert all(len(places) == 1 for places in looks.values())


def test_the_oddities_of_the_real_set_occur(root: Path, labels: list[dict[str, Any]]):
    """About as often as they should: second garments, a colour alone, missing polygons, empty rectangles."""
    entries = [entry for body in labels for entry in _garments(body)]
    polygons = [polygon for body in labels for polygon in _garments(body, "폴리곤좌표")]
    rects = [rect for body in labels for rect in _garments(body, "렉트좌표")]
    keys = [list(polygon) for polygon in polygons if polygon]

    assert len(rects) == len(entries)
    assert 0.2 < len(entries) / PHOTOGRAPHS - 1 < 0.5
    assert 0 < sum(set(entry) == {"색상"} for entry in entries) < 0.1 * len(entries)
    assert 0.85 * len(entries) < len(keys) < 0.97 * len(entries)
    assert 0 < sum(rect["가로"] == 0 for rect in rects) < 0.1 * len(entries)
    assert all(len(order) == 16 for order in keys)
    assert any(order != sorted(order) for order in keys)
    words = [word for entry in entries for value in entry.values() for word in np.atleast_1d(value).tolist()]
    decomposed = sum(unicodedata.normalize("NFC", word) != word for word in words)
    assert 0.2 < decomposed / len(words) < 0.4
    assert any("노말" in unicodedata.normalize("NFC", word) for word in words)
    folders = {path.parent.name for path in (root / "Validation").rglob("*.json")}
    assert all(unicodedata.normalize("NFC", name) != name for name in folders)


def test_parts_without_a_garment_are_a_list_of_one_empty_mapping(labels: list[dict[str, Any]]):
    """As the real files write them; parts with garments list nothing else."""
    for body in labels:
        for lists in ("라벨링", "폴리곤좌표", "렉트좌표"):
            parts = body["데이터셋 정보"]["데이터셋 상세설명"][lists]

            assert set(PARTS) <= set(parts)
            assert all(isinstance(parts[part], list) and parts[part] for part in PARTS)
        parts = body["데이터셋 정보"]["데이터셋 상세설명"]["라벨링"]
        assert 1 <= sum(parts[part] != [{}] for part in PARTS) <= 2


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path):
    """Photographs and labels; another seed writes others."""

    def written(name: str, seed: int) -> dict[str, bytes]:
        folder = write_kfashion(tmp_path / name, 4, seed)
        return {_nfc(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*")}

    one = written("one", 1)

    assert len(one) == 8
    assert one == written("same", 1)
    assert one != written("other", 2)


def test_the_digest_is_of_every_label_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A changed byte or a renamed file changes it, a picture does not."""
    monkeypatch.setattr(garments, "draw_record", lambda record, rng, size, ground: _square(record, size))
    root = write_kfashion(tmp_path, 3, 1)
    digest = digest_labels(root)

    next(root.rglob("*.jpg")).unlink()
    assert digest_labels(root) == digest
    path = next(root.rglob("*.json"))
    body = path.read_bytes()
    path.write_bytes(body + b" ")
    assert digest_labels(root) != digest
    path.write_bytes(body)
    assert digest_labels(root) == digest
    path.rename(path.with_name("0.renamed.json"))
    assert digest_labels(root) != digest
