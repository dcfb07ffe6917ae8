import json
from pathlib import Path

import numpy as np
import pytest

from inference.attributes import AttributeSchema
from trainer.fashion.config import read_fashion_config
from trainer.synthetic.details import DETAILS
from trainer.synthetic.fabrics import COLOURS, PRINTS
from trainer.synthetic.garments import draw_garment, draw_record, write_garments
from trainer.synthetic.records import STYLES, Record

BASE: Record = {
    "category": "드레스",
    "colour": "레드",
    "print": ["무지"],
    "length": "미디",
    "silhouette": "노멀",
}


def _drawn(record: Record) -> np.ndarray:
    return np.asarray(draw_record(record, np.random.default_rng(5), 64)).astype(float)


@pytest.mark.parametrize(
    "change",
    [
        {"category": "코트"},
        {"colour": "블루"},
        {"print": ["도트"]},
        {"length": "맥시"},
        {"silhouette": "와이드"},
        {"material": ["데님"]},
        {"detail": ["러플"]},
        {"sleeve": "긴팔"},
        {"neckline": "브이넥"},
        {"collar": "셔츠칼라"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_attribute_shows(change: Record):
    """Changing one attribute changes the picture."""
    assert np.abs(_drawn(BASE) - _drawn({**BASE, **change})).max() > 12


def test_words_are_of_the_vocabulary():
    """Every word that can be drawn is one that the encoder knows."""
    fields = {f.name: set(f.vocabulary) for f in read_fashion_config().attributes.preprocessing().fields}

    assert set(STYLES) <= fields["style"]
    assert set(COLOURS) <= fields["colour"]
    assert set(PRINTS) <= fields["print"]
    assert set(DETAILS) <= fields["detail"]
    for number in range(200):
        for field, value in draw_garment(42, number, 16).record.items():
            assert set([value] if isinstance(value, str) else value) <= fields[field]


def test_same_number_is_the_same_garment():
    """A garment is a function of seed, number and size."""
    one, other = draw_garment(3, 9, 48), draw_garment(3, 9, 48)

    assert one.record == other.record
    assert np.array_equal(np.asarray(one.picture), np.asarray(other.picture))


def test_records_are_written_beside_the_pictures(tmp_path: Path):
    """Each line names a picture that is there and a record that the schema takes."""
    path = write_garments(tmp_path, 5, size=32)
    schema = AttributeSchema(read_fashion_config().attributes.preprocessing())

    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    assert len(lines) == 5
    for line in lines:
        assert (tmp_path / line["path"]).is_file()
        assert schema.normalise(line["attributes"])["category"]
