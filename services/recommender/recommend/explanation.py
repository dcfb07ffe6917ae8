"""Why an item was found: what each example adds to its similarity, and which values it shares with them
(R-3).

Legend: E examples, D dimensions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pyroaring import BitMap

from inference.attributes import AttributeSchema
from services.recommender.recommend.query import NEGATIVE_WEIGHT, Content, ItemIds, Question, Record
from services.recommender.view.terms import word_term, words_of
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

    def shares(self, vector_ND: np.ndarray) -> np.ndarray:
        """What each example adds to the cosine of each unit vector, float64, shape (N, E); their sums are the
        cosines."""
        shares: np.ndarray = vector_ND.astype(np.float64) @ self.example_ED.T * self.weight_E
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

    shares: of the query, then each positive, then each negative example; 0 for those that are absent or
    unreadable. shared: by field, the words that the result has in common with query and positive examples.
    """

    shares: tuple[float, ...]
    shared: Mapping[str, tuple[str, ...]]


def explain(
    question: Question,
    outcomes: Sequence[np.ndarray | ServiceError | None],
    neighbours: Neighbours,
    view: SegmentedView,
    schema: AttributeSchema | None,
) -> list[Explanation]:
    """An explanation for each neighbour. outcomes: the vector of each of the question's contents, or its
    error. schema: spells the words of records."""
    likes = 1 + len(question.positives)
    read = [index for index, outcome in enumerate(outcomes) if isinstance(outcome, np.ndarray)]
    vectors = {index: np.asarray(outcomes[index], np.float64) for index in read}
    direction = blended(
        [vectors[index] for index in read if index < likes],
        [vectors[index] for index in read if index >= likes],
    )
    share_NC = np.zeros((len(neighbours.labels), len(outcomes)))
    share_NC[:, read] = direction.shares(view.vectors(neighbours.labels))
    liked = [question.contents[index] for index in read if index < likes]
    terms = _terms(_records(liked, view.attached, schema), view.attached)
    labels = neighbours.labels.tolist()
    return [
        Explanation(shares=tuple(shares), shared=_shared(label, terms))
        for label, shares in zip(labels, share_NC.tolist(), strict=True)
    ]


def _records(
    contents: Sequence[Content | ServiceError | None], catalogue: CatalogView, schema: AttributeSchema | None
) -> list[Mapping[str, Any]]:
    """The attributes of the items and records among some contents that could be read."""
    records: list[Mapping[str, Any]] = []
    for content in contents:
        if isinstance(content, Record) and schema is not None:
            words = schema.normalise(content.attributes)
            records.append({name: list(listed) for name, listed in words.items()})
        elif isinstance(content, ItemIds):
            labels = catalogue.labels_of(content.item_ids).tolist()
            records += [catalogue.format.read(message).attributes for message in catalogue.shown(labels)]
    return records


def _terms(records: Sequence[Mapping[str, Any]], catalogue: CatalogView) -> list[tuple[str, str, BitMap]]:
    """Each field and word of the records, in their order, with the labels of the items that have it."""
    words = dict.fromkeys(
        (name, word) for record in records for name, value in record.items() for word in words_of(value)
    )
    return [(name, word, catalogue.terms.labels(word_term(name, word))) for name, word in words]


def _shared(label: int, terms: Sequence[tuple[str, str, BitMap]]) -> dict[str, tuple[str, ...]]:
    """By field, the words of the terms that an item has."""
    shared: dict[str, tuple[str, ...]] = {}
    for name, word, labels in terms:
        if label in labels:
            shared[name] = (*shared.get(name, ()), word)
    return shared
