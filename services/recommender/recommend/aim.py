"""What questions search for in a view: a direction, conditions in the release's spelling, items left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from inference.attributes import AttributeSchema
from services.recommender.errors import ERRORS
from services.recommender.recommend.conditions import settle_conditions
from services.recommender.recommend.contents import Contents, VectorOrError, read_vector
from services.recommender.recommend.query import Blend, ItemIds, Question, blend
from services.recommender.recommend.search import SearchTarget
from services.recommender.release.leads import CollectionRelease
from services.recommender.view.view import CatalogView
from services.runtime.errors import ServiceError, to_service_error
from vector_index.errors import VectorIndexError
from vector_index.view import SegmentedView


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Aim:
    """A question that can be searched for.

    outcomes: the vector or the error of each of its contents. blend: of the vectors. errors: of examples, by
    index, counting the positive ones first. schema: spells the words of records.
    """

    question: Question
    target: SearchTarget
    outcomes: Sequence[VectorOrError | None]
    blend: Blend
    errors: Mapping[int, ServiceError]
    schema: AttributeSchema | None


def aim_at(
    questions: Sequence[Question | ServiceError],
    embedded: Mapping[int, VectorOrError],
    release: CollectionRelease,
    view: SegmentedView,
) -> list[Aim | ServiceError]:
    """What each question searches for, or why it cannot. embedded: by position among all contents."""
    aims: list[Aim | ServiceError] = []
    start = 0
    for question in questions:
        if isinstance(question, ServiceError):
            aims.append(question)
            continue
        contents = question.contents
        try:
            own = [embedded.get(start + index) for index in range(len(contents))] if embedded else ()
            aims.append(_aim(question, contents, own, release, view))
        except (ServiceError, VectorIndexError) as error:
            aims.append(to_service_error(error, ERRORS))
        start += len(contents)
    return aims


def _aim(
    question: Question,
    contents: Contents,
    embedded: Sequence[VectorOrError | None],
    release: CollectionRelease,
    view: SegmentedView,
) -> Aim:
    catalogue: CatalogView = view.attached
    schema, label_of = release.models.schema, catalogue.label_of
    left_out = [label for item_id in question.excluded_ids if (label := label_of(item_id)) is not None]
    outcomes = list[VectorOrError | None](embedded or (None,) * len(contents))
    for index, content in enumerate(contents):
        if outcomes[index] is None:
            names = content.item_ids if isinstance(content, ItemIds) else ()
            labels = [label for item_id in names if (label := label_of(item_id)) is not None]
            left_out += labels
            outcomes[index] = read_vector(content, labels, release, view)
    errors, blended = _blend(question, outcomes)
    target = SearchTarget(
        direction_D=blended.direction_D,
        count=question.item_count,
        kind=question.kind,
        conditions=settle_conditions(question.conditions, schema, catalogue),
        left_out=np.array(left_out, np.int64),
        diversity=question.diversity,
    )
    return Aim(
        question=question, target=target, outcomes=outcomes, blend=blended, errors=errors, schema=schema
    )


def _blend(
    question: Question, outcomes: Sequence[VectorOrError | None]
) -> tuple[dict[int, ServiceError], Blend]:
    """The errors of examples, and what the readable contents blend into."""
    query, examples = outcomes[0], outcomes[1:]
    if isinstance(query, ServiceError):
        raise query
    errors = {index: outcome for index, outcome in enumerate(examples) if isinstance(outcome, ServiceError)}
    likes = len(question.positives)
    positives = [outcome for outcome in (query, *examples[:likes]) if isinstance(outcome, np.ndarray)]
    negatives = [outcome for outcome in examples[likes:] if isinstance(outcome, np.ndarray)]
    if not positives:
        raise next(iter(errors.values()))
    return errors, blend(positives, negatives)
