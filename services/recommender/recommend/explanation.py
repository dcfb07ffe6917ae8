"""Why an item was found: what each example adds to its similarity, and which values it shares with them
(R-3).

Legend: E examples, D dimensions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from services.recommender.recommend.query import NEGATIVE_WEIGHT, Content, ItemIds, Question, Record
from services.recommender.view.terms import words_of
from services.recommender.view.view import CatalogView
from services.runtime.errors import ServiceError
from vector_index.rows import Neighbours
from vector_index.view import SegmentedView


@dataclass(frozen=True, slots=True, kw_only=True)
class BlendedDirection:
    """A direction and what it is blended from: direction = Σ weight · unit example.

    direction_D: float64, norm 1. example_ED: float64, norm 1. weight_E: below 0 for what to be far from.
    """

    direction_D: np.ndarray
    example_ED: np.ndarray
    weight_E: np.ndarray

    def shares(self, vector_D: np.ndarray) -> np.ndarray:
        """What each example adds to the cosine of a unit vector, float64, shape (E,); their sum is the
        cosine."""
        shares: np.ndarray = self.weight_E * (self.example_ED @ vector_D.astype(np.float64))
        return shares


def blended(positives: Sequence[np.ndarray], negatives: Sequence[np.ndarray]) -> BlendedDirection:
    """The direction of `blend` with the weight of each vector, the positive ones first; they do not cancel
    out."""
    units = [np.asarray(vector, dtype=np.float64) for vector in (*positives, *negatives)]
    example_ED = np.stack([vector / np.linalg.norm(vector) for vector in units])
    weight_E = np.full(len(units), 1 / len(positives))
    if negatives:
        weight_E[len(positives) :] = -NEGATIVE_WEIGHT / len(negatives)
    target_D = weight_E @ example_ED
    norm = np.linalg.norm(target_D)
    return BlendedDirection(direction_D=target_D / norm, example_ED=example_ED, weight_E=weight_E / norm)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Where the similarity of a result comes from.

    share_C: float64, shape (C,), of the query, then each positive, then each negative example; 0 for those
    that are absent or unreadable. shared: by field, the words that the result has in common with them.
    """

    share_C: np.ndarray
    shared: Mapping[str, tuple[str, ...]]


def explain(
    question: Question,
    outcomes: Sequence[np.ndarray | ServiceError | None],
    neighbours: Neighbours,
    view: SegmentedView,
) -> list[Explanation]:
    """An explanation for each neighbour. outcomes: the vector of each of the question's contents, or its
    error."""
    likes = 1 + len(question.positives)
    read = [index for index, outcome in enumerate(outcomes) if isinstance(outcome, np.ndarray)]
    vectors = {index: np.asarray(outcomes[index], np.float64) for index in read}
    direction = blended(
        [vectors[index] for index in read if index < likes],
        [vectors[index] for index in read if index >= likes],
    )
    records = _records(question.contents[:likes], view.attached)
    shown = view.attached.shown(neighbours.labels.tolist())
    explanations = []
    for vector_D, message in zip(view.vectors(neighbours.labels), shown, strict=True):
        share_C = np.zeros(len(outcomes))
        share_C[read] = direction.shares(vector_D)
        shared = shared_words(view.attached.format.read(message).attributes, records)
        explanations.append(Explanation(share_C=share_C, shared=shared))
    return explanations


def _records(
    contents: Sequence[Content | ServiceError | None], catalogue: CatalogView
) -> list[Mapping[str, Any]]:
    """The attributes of the items and records among some contents."""
    records: list[Mapping[str, Any]] = []
    for content in contents:
        if isinstance(content, Record):
            records.append(content.attributes)
        elif isinstance(content, ItemIds):
            labels = catalogue.labels_of(content.item_ids).tolist()
            records += [catalogue.format.read(message).attributes for message in catalogue.shown(labels)]
    return records


def shared_words(item: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """By field, the words of an item that one or more of the records have, in the item's order."""
    known: dict[str, set[str]] = {}
    for record in records:
        for name, value in record.items():
            known.setdefault(name, set()).update(words_of(value))
    shared = {
        name: tuple(word for word in words_of(value) if word in known.get(name, ()))
        for name, value in item.items()
    }
    return {name: words for name, words in shared.items() if words}
