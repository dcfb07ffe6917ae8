from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretraining.photographs import (
    Photograph,
    commonest_labels,
    photographs_digest,
    read_photographs,
    split_photographs,
)
from tests.pretraining.photographs import write_photographs
from trainer.errors import InvalidData


def _photograph(number: int, sender: int, label: str = "Shirt") -> Photograph:
    return Photograph(path=Path(f"{number}.jpg"), sender=str(sender), label=label)


@given(st.lists(st.tuples(st.integers(0, 12), st.sampled_from("ABC")), min_size=20, max_size=80))
def test_no_sender_straddles_the_split(drawn: list[tuple[int, str]]):
    """Whatever the photographs, each is in one part, and each sender's are all in the same."""
    photographs = [_photograph(number, sender, label) for number, (sender, label) in enumerate(drawn)]
    if len({one.sender for one in photographs}) < 5:
        with pytest.raises(InvalidData, match="senders"):
            split_photographs(photographs, 42)
        return

    split = split_photographs(photographs, 42)

    parts = (split.train, split.val, split.test)
    assert sorted(one.path.name for part in parts for one in part) == sorted(
        one.path.name for one in photographs
    )
    senders = [{one.sender for one in part} for part in parts]
    assert not senders[0] & senders[1]
    assert not senders[0] & senders[2]
    assert not senders[1] & senders[2]


def test_the_same_seed_gives_the_same_split():
    """What was held out stays held out."""
    photographs = [_photograph(number, number % 11) for number in range(60)]

    assert split_photographs(photographs, 7) == split_photographs(photographs, 7)
    assert split_photographs(photographs, 7) != split_photographs(photographs, 8)


def test_a_table_is_read_with_what_is_no_label_left_empty(tmp_path: Path):
    """`image` is a name with or without ending; 'Not sure' is no label."""
    table, images = write_photographs(tmp_path, count=3)
    table.write_text(
        "image,sender_id,label\nphoto-0,1,Shirt\nphoto-1.jpg,1,Not sure\nphoto-2,2,\n", encoding="utf-8"
    )

    photographs = read_photographs(table, images)

    assert [one.label for one in photographs] == ["Shirt", "", ""]
    assert [one.path.name for one in photographs] == ["photo-0.jpg", "photo-1.jpg", "photo-2.jpg"]


def test_spaces_marks_and_dots_do_not_matter(tmp_path: Path):
    """A byte order mark, spaces around a text, a name with a dot in it."""
    table, images = write_photographs(tmp_path, count=2)
    (images / "photo-0.jpg").rename(images / "photo.v2.jpg")
    table.write_text(
        "\ufeffimage,sender_id,label\nphoto.v2, 1 , Shirt\nphoto-1.jpg,1,Shirt\n", encoding="utf-8"
    )

    photographs = read_photographs(table, images)

    assert [one.path.name for one in photographs] == ["photo.v2.jpg", "photo-1.jpg"]
    assert {one.sender for one in photographs} == {"1"}
    assert {one.label for one in photographs} == {"Shirt"}


def test_two_pictures_of_one_name_are_refused(tmp_path: Path):
    """Without the ending it is unclear which of them is meant."""
    table, images = write_photographs(tmp_path, count=1)
    (images / "photo-0.png").write_bytes((images / "photo-0.jpg").read_bytes())
    table.write_text("image,sender_id,label\nphoto-0,1,x\n", encoding="utf-8")

    with pytest.raises(InvalidData, match="2 pictures 'photo-0'"):
        read_photographs(table, images)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("image,label\na,b\n", "no column sender_id"),
        ("image,sender_id,label\n", "no rows"),
        ("image,sender_id,label\nphoto-0,1,x\nnowhere,1,x\nphoto-1,,x\n", "2 bad rows"),
        ("", "no column image, sender_id, label"),
        ("image,sender_id,label\nphoto-0\n", "line 2: no sender_id"),
        (
            "image,sender_id,label\nphoto-0,1,x\nphoto-0.jpg,2,x\n",
            "line 3: 'photo-0.jpg' is on line 2 already",
        ),
        ("image,sender_id,label\n" + 30 * "nowhere,1,x\n", "and 10 more"),
    ],
)
def test_a_bad_table_is_refused_naming_what_is_wrong(tmp_path: Path, body: str, message: str):
    """One error that lists every bad row."""
    table, images = write_photographs(tmp_path, count=2)
    table.write_text(body, encoding="utf-8")

    with pytest.raises(InvalidData, match=message):
        read_photographs(table, images)


def test_a_table_that_is_no_text_is_refused(tmp_path: Path):
    """Bytes that are not UTF-8, and a file that is not there."""
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")

    for name in ("binary.csv", "nowhere.csv"):
        with pytest.raises(InvalidData, match="not readable as CSV"):
            read_photographs(tmp_path / name, tmp_path)


def test_labels_are_counted_and_data_has_a_digest(tmp_path: Path):
    """Commonest first, no label left out; the digest follows what is in the table."""
    photographs = [_photograph(n, n, label) for n, label in enumerate(("B", "A", "B", "", "", ""))]
    assert commonest_labels(photographs) == ("B", "A")

    table, images = write_photographs(tmp_path, count=4)
    read = read_photographs(table, images)
    assert photographs_digest(read) == photographs_digest(tuple(reversed(read)))
    assert photographs_digest(read) != photographs_digest(read[:3])
