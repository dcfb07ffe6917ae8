"""Words of K-Fashion and labels of photographs."""

import pytest

from pretraining.corpus import cut_garments
from pretraining.shop_labels import shop_label
from trainer.progress import silent


@pytest.mark.parametrize(
    ("record", "label"),
    [
        ({"category": "팬츠", "length": "하프"}, "Shorts"),
        ({"category": "청바지", "length": "롱"}, "Pants"),
        ({"category": "티셔츠", "length": "노멀", "sleeve": "긴팔"}, "Longsleeve"),
        ({"category": "티셔츠", "length": "노멀", "sleeve": "반팔"}, "T-Shirt"),
        ({"category": "스커트", "length": "미니"}, "Skirt"),
        ({"category": "점프수트", "length": "롱"}, ""),
    ],
)
def test_drawn_garments_have_the_labels_of_photographs(record: dict[str, str | list[str]], label: str):
    """By category, and where that is not enough by length or sleeve; some have none."""
    assert shop_label(record) == label


def test_labels_that_photographs_do_not_have_are_none():
    """A cut-out is numbered as the photographs' labels are, −1 where they have no such word."""
    labels = ("Dress", "Pants")
    cut_outs = cut_garments(24, 3, 32, labels, silent)

    assert set(cut_outs.label_N.tolist()) <= {-1, 0, 1}
    assert (cut_outs.label_N >= 0).any()
    assert (cut_outs.label_N < 0).any()
    left_N, top_N, right_N, bottom_N = cut_outs.box_N4.T
    assert ((left_N < right_N) & (top_N < bottom_N)).all()
    assert cut_outs.box_N4.min() >= 0
    assert cut_outs.box_N4.max() <= 1
