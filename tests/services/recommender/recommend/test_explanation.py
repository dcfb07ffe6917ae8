"""What examples add to a similarity."""

from types import SimpleNamespace

import numpy as np
import pytest

from services.recommender.recommend.aim import Aim
from services.recommender.recommend.explanation import explain
from services.recommender.recommend.query import ItemIds, Question, Record, blend
from services.recommender.view.view import CatalogView
from services.recommender.wire.items import MESSAGES
from services.runtime.errors import InvalidArgument
from tests.services.recommender.recommend.test_conditions import SCHEMA
from tests.services.recommender.view.histories import History
from vector_index.rows import Neighbours


@pytest.fixture
def view():
    """A view of three items, of which the first and the second share words."""
    history = History()
    for name, record in {
        "a": {"style": ["retro", "modern", "street"], "colour": "red", "price": 5},
        "b": {"style": ["street", "retro"], "colour": "blue", "price": 5},
        "c": {"material": "wool"},
    }.items():
        history.write(name, record, 0, True, "", keeps_label=True)
    catalogue = CatalogView.of(history.snapshot(), MESSAGES)
    rows = dict(zip(catalogue.live_labels().tolist(), np.eye(3, dtype=np.float32), strict=True))
    return SimpleNamespace(
        attached=catalogue, vectors=lambda labels: np.stack([rows[label] for label in labels.tolist()])
    )


def explained(view, question, outcomes, item_ids=("b", "c")):
    labels = view.attached.labels_of(item_ids)
    neighbours = Neighbours(labels=labels, similarities=np.zeros(len(labels), np.float32))
    likes = 1 + len(question.positives)
    vectors = [
        [each for each in some if isinstance(each, np.ndarray)]
        for some in (outcomes[:likes], outcomes[likes:])
    ]
    aim = Aim(
        question=question, target=None, outcomes=outcomes, blend=blend(*vectors), errors={}, schema=SCHEMA
    )
    return explain(aim, neighbours, view)


def test_shared_words_are_those_of_any_liked_item(view):
    """By field, in the order of the examples; numbers, and words of disliked items, are not shared (R-3)."""
    question = Question(query=ItemIds(item_ids=("a",)), negatives=(ItemIds(item_ids=("c",)),))

    near, far = explained(view, question, [np.eye(3)[0], np.eye(3)[2]])

    assert near.shared == {"style": ("retro", "street")}
    assert far.shared == {}
    assert (near.shares[0], far.shares[1]) == (0, pytest.approx(-0.5 / np.sqrt(1.25)))


def test_words_of_a_record_are_shared_in_the_preferred_spelling(view):
    """As its vector is made of them."""
    question = Question(query=Record(attributes={"style": "retr0"}))

    assert explained(view, question, [np.ones(3)])[0].shared == {"style": ("retro",)}


def test_an_unreadable_example_has_no_share_and_no_words(view):
    """Its error is said elsewhere."""
    question = Question(query=ItemIds(item_ids=("c",)), positives=(Record(attributes={"price": 5}),))

    (near, _) = explained(view, question, [np.eye(3)[2], InvalidArgument("unreadable")])

    assert (near.shares, near.shared) == ((0, 0), {})
