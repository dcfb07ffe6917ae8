import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inference.attributes import AttributeSchema
from trainer.fashion.config import read_fashion_config
from trainer.synthetic.details import DETAILS
from trainer.synthetic.fabrics import COLOURS, PRINTS
from trainer.synthetic.garments import draw_garment, draw_record, write_garments
from trainer.synthetic.records import STYLES, Record, random_record

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


def _nearest_colour(pixels_NC: np.ndarray) -> str:
    median_C = np.median(pixels_NC, axis=0)
    # Folds and edges darken the cloth: compare directions, not lengths.
    return max(
        COLOURS, key=lambda name: float(median_C @ np.array(COLOURS[name]) / np.linalg.norm(COLOURS[name]))
    )


@pytest.mark.parametrize("colour", ["레드", "그린", "블루", "옐로우", "오렌지", "퍼플", "라벤더", "와인"])
def test_the_colour_of_a_record_is_legible_from_its_picture(colour: str):
    """The middle of a plain garment has the hue that the record says."""
    pixels = _drawn({**BASE, "colour": colour, "category": "티셔츠", "material": ["우븐"]})

    assert _nearest_colour(pixels[26:44, 26:38].reshape(-1, 3)) == colour


@pytest.mark.parametrize(
    ("field", "words"),
    [("length", ("미니", "니렝스", "미디", "맥시")), ("silhouette", ("스키니", "노멀", "와이드"))],
)
def test_the_size_of_a_record_is_legible_from_its_picture(field: str, words: tuple[str, ...]):
    """Longer and wider words cover more of the ground."""
    covered = [(_drawn({**BASE, field: word}) < 200).any(2).mean() for word in words]

    assert covered == sorted(covered)
    assert covered[-1] > 1.2 * covered[0]


def test_sleeves_are_legible_beside_the_body():
    """What is left and right of the body is covered only by sleeves."""
    top: Record = {**BASE, "category": "티셔츠", "length": "노멀"}

    beside = [
        (_drawn({**top, "sleeve": sleeve})[:, :16] < 200).any(2).sum()
        for sleeve in ("민소매", "반팔", "긴팔")
    ]

    assert beside[0] < beside[1] < beside[2]


def test_a_drawn_garment_has_the_picture_of_its_record():
    """The record comes first, and with the same numbers after it the picture is the same."""
    garment = draw_garment(3, 9, 48)
    rng = np.random.default_rng([3, 4, 9])

    assert garment.number == 9
    assert random_record(rng) == garment.record
    assert np.array_equal(np.asarray(draw_record(garment.record, rng, 48)), np.asarray(garment.picture))


@pytest.mark.parametrize("size", [24, 160])
def test_a_garment_is_a_square_of_the_asked_size_in_its_middle(size: int):
    """RGB; as much of it lies above the middle as below, within a tenth of the side."""
    for number in range(6):
        picture = draw_garment(11, number, size, (255, 255, 255)).picture
        down, across = np.nonzero((np.asarray(picture) < 225).any(2))

        assert picture.size == (size, size)
        assert picture.mode == "RGB"
        assert (down.min() + down.max()) / 2 == pytest.approx(size / 2, abs=0.12 * size)
        assert (across.min() + across.max()) / 2 == pytest.approx(size / 2, abs=0.08 * size)


def test_a_garment_lies_on_the_ground_that_is_asked_for():
    """By default on a pale one, which is drawn with it."""
    default, own = draw_garment(3, 9, 48), draw_garment(3, 9, 48, (10, 200, 30))

    corners = [np.asarray(garment.picture)[[0, 0, -1, -1], [0, -1, 0, -1]] for garment in (default, own)]
    assert (corners[0] >= 218).all()
    assert (corners[1] == (10, 200, 30)).all()
    assert default.record == own.record


def test_numbers_and_seeds_give_different_garments():
    """Neighbours do not share a record or a picture."""
    pictures = [
        np.asarray(draw_garment(seed, number, 32).picture).tobytes()
        for seed in (1, 2)
        for number in range(20)
    ]

    assert len(set(pictures)) == len(pictures)


def test_a_category_that_cannot_be_drawn_is_refused():
    """The message names it."""
    with pytest.raises(ValueError, match="'모자'"):
        _drawn({**BASE, "category": "모자"})


def test_a_record_may_have_words_that_draw_nothing():
    """Unknown details, collars and prints leave the garment as it is."""
    plain = _drawn(BASE)

    unknown: Record = {**BASE, "detail": ["?"], "collar": "?", "neckline": "?", "print": ["?"]}

    assert np.array_equal(_drawn(unknown), plain)


def test_details_lie_on_top_of_each_other_in_the_order_of_the_record():
    """Each of two details shows beside the other."""
    one, other, both = (_drawn({**BASE, "detail": words}) for words in (["버클"], ["러플"], ["버클", "러플"]))

    plain = _drawn(BASE)
    for single in (one, other):
        changed = np.abs(single - plain).max(2) > 12
        assert np.abs(both - plain).max(2)[changed].min() > 0


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path):
    """Pictures and records; another seed writes others."""

    def written(name: str, seed: int) -> dict[str, bytes]:
        folder = write_garments(tmp_path / name, 4, seed, 24).parent
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    one = written("one", 1)

    assert set(one) == {"garments.jsonl", *(f"garment_{number:05d}.png" for number in range(4))}
    assert one == written("same", 1)
    assert one != written("other", 2)


def test_the_written_records_are_those_of_the_pictures(tmp_path: Path):
    """A line has the number, the picture and the attributes of the garment that was drawn."""
    path = write_garments(tmp_path / "new" / "folder", 3, 5, 24)

    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
        garment, row = draw_garment(5, number, 24), json.loads(line)

        assert row == {
            "item_id": f"garment-{number:05d}",
            "path": f"garment_{number:05d}.png",
            "attributes": garment.record,
        }
        with Image.open(path.parent / row["path"]) as picture:
            assert np.array_equal(np.asarray(picture), np.asarray(garment.picture))


def test_writing_again_replaces_the_records(tmp_path: Path):
    """Fewer garments leave fewer lines."""
    write_garments(tmp_path, 5, 1, 16)

    path = write_garments(tmp_path, 2, 1, 16)

    assert len(path.read_text(encoding="utf-8").splitlines()) == 2
