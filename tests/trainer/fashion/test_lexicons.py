import torch

from model_store.manifest import AttributeField
from trainer.fashion.lexicons import open_tables

STYLE = AttributeField(name="style", multiple=True, vocabulary=("모던", "펑크", "히피"))
CATEGORY = AttributeField(name="category", multiple=False, vocabulary=("코트",))


def test_words_are_drawn_from_those_that_go_with_the_index():
    """All of them, equally; missing, unknown and words without any give nothing."""  # proves F-22
    (table,) = open_tables({"style": {"모던": ("펑크", "히피")}}, [CATEGORY, STYLE])

    drawn = table.draw(torch.tensor([[0, 1, 2, 3]] * 500), torch.Generator().manual_seed(0))

    assert table.key == "style_index_BL"
    assert drawn[:, [0, 1, 3]].unique().tolist() == [0]
    assert 200 < int((drawn[:, 2] == 3).sum()) < 300
    assert set(drawn[:, 2].tolist()) == {3, 4}


def test_what_a_vocabulary_lacks_is_left_out():
    """A catalogue brings its own words: a table of others is none, and fields that it lacks have no table."""
    # proves F-6, F-22
    (table,) = open_tables(
        {
            "style": {"키치": ("펑크",), "모던": ("키치", "히피"), "펑크": ("키치",)},
            "print": {"도트": ("체크",)},
        },
        [STYLE],
    )

    drawn = table.draw(torch.arange(5), torch.Generator().manual_seed(0))

    assert drawn.tolist() == [0, 0, 4, 0, 0]
