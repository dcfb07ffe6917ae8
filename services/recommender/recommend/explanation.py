"""Why an item was found: what each example adds to its similarity, and which values it shares with them
(R-3).

Legend: N items, C contents of a question.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pyroaring import BitMap

from inference.attributes import AttributeSchema
from services.recommender.recommend.aim import Aim
from services.recommender.recommend.query import Content, ItemIds, Record
from services.recommender.view.terms import word_term, words_of
from services.recommender.view.view import CatalogView
from services.runtime.errors import ServiceError
from vector_index.rows import Neighbours
from vector_index.view import SegmentedView


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Where the similarity of a result comes from.

    shares: of the query, then each positive, then each negative example; 0 for those that are absent or
    unreadable. shared: by field, the words that the result has in common with query and positive examples.
    """

    shares: tuple[float, ...]
    shared: Mapping[str, tuple[str, ...]]


def explain(aim: Aim, neighbours: Neighbours, view: SegmentedView) -> list[Explanation]:
    """An explanation for each neighbour."""
    read = [index for index, outcome in enumerate(aim.outcomes) if isinstance(outcome, np.ndarray)]
    share_NC = np.zeros((len(neighbours.labels), len(aim.outcomes)))
    share_NC[:, read] = aim.blend.shares(view.vectors(neighbours.labels))
    liked = [aim.question.contents[index] for index in read if index <= len(aim.question.positives)]
    terms = _terms(_records(liked, view.attached, aim.schema), view.attached)
    return [
        Explanation(shares=tuple(shares), shared=_shared(label, terms))
        for label, shares in zip(neighbours.labels.tolist(), share_NC.tolist(), strict=True)
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
