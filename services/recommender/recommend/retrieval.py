"""Questions into the nearest items of one frozen view; no SQL, and no thread where little is to be done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from inference.attributes import AttributeSchema
from services.client.embedder import AsyncEmbedderClient, EmbeddedInputs
from services.recommender.errors import ERRORS
from services.recommender.executors import Executors
from services.recommender.recommend.conditions import settle_conditions
from services.recommender.recommend.contents import ContentReader, Contents, VectorOrError, read_vector
from services.recommender.recommend.effort import EffortTable
from services.recommender.recommend.explanation import Explanation, explain
from services.recommender.recommend.query import ItemIds, Question, blend
from services.recommender.recommend.recent import RecentQueries, RecentQuery
from services.recommender.recommend.search import Searcher, SearchTarget
from services.recommender.release.leads import CollectionRelease
from services.recommender.view.view import CatalogView
from services.runtime.errors import ServiceError, to_service_error
from vector_index.errors import VectorIndexError
from vector_index.rows import Neighbours
from vector_index.view import SegmentedView

# A hop to a thread and back costs about 0.1 ms, and more where threads wait for the interpreter.
INLINE_US: Final = 500.0
_MOST_LOOKED_UP: Final = 64  # identifiers, on the event loop


@dataclass(frozen=True, slots=True)
class Answer:
    """The nearest items; errors of single examples by index, counting the positive ones first.

    explanations: one an item where the question asks for them, else none.
    """

    neighbours: Neighbours
    errors: Mapping[int, ServiceError]
    explanations: Sequence[Explanation] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieval:
    """An answer or an error for each question, all from one view."""

    answers: Sequence[Answer | ServiceError]
    view: SegmentedView
    embedded: EmbeddedInputs


class Retriever:
    """Answers the questions of every collection."""

    def __init__(
        self,
        executors: Executors,
        embedder: AsyncEmbedderClient,
        efforts: EffortTable | None = None,
        recent: RecentQueries | None = None,
    ) -> None:
        self.efforts = efforts or EffortTable()
        self._recent = recent or RecentQueries()
        self._executors = executors
        self._contents = ContentReader(executors, embedder)
        self._searcher = Searcher(self.efforts)

    async def retrieve(
        self, release: CollectionRelease, questions: Sequence[Question | ServiceError]
    ) -> Retrieval:
        """Answer questions from one state of a release. A bad question fails alone.

        Raises ServiceError: if the embedder is needed and cannot be asked.
        """
        asked = [question for question in questions if isinstance(question, Question)]
        contents = [content for question in asked for content in question.contents]
        embedded, times = await self._contents.embed(contents, release)
        view = release.index.view()
        if sum([question.named_count for question in asked]) <= _MOST_LOOKED_UP:
            aims = _aims(questions, embedded, release, view)
        else:
            aims = await self._executors.read(lambda: _aims(questions, embedded, release, view))
        targets = [aim.target for aim in aims if isinstance(aim, _Aim)]
        if sum([self._searcher.predict_us(view, target) for target in targets]) <= INLINE_US:
            answers = self._answers(aims, targets, view)
        else:
            answers = await self._executors.read(lambda: self._answers(aims, targets, view))
        for target in targets:
            query = RecentQuery(target.direction_D, target.conditions)
            self._recent.add(release.index.collection, target.kind, query)
        return Retrieval(answers=answers, view=view, embedded=times)

    def _answers(
        self, aims: "Sequence[_Aim | ServiceError]", targets: Sequence[SearchTarget], view: SegmentedView
    ) -> list[Answer | ServiceError]:
        nearest = iter(self._searcher.search_batch(view, targets))
        return [aim.answer(next(nearest), view) if isinstance(aim, _Aim) else aim for aim in aims]


@dataclass(frozen=True, slots=True)
class _Aim:
    """A question that can be searched for, with the vector or error of each of its contents."""

    target: SearchTarget
    errors: Mapping[int, ServiceError]
    question: Question
    outcomes: Sequence[VectorOrError | None]
    schema: AttributeSchema | None

    def answer(self, neighbours: Neighbours, view: SegmentedView) -> Answer:
        """The answer, explained if the question asks for it."""
        if not self.question.explain:
            return Answer(neighbours, self.errors)
        explanations = explain(self.question, self.outcomes, neighbours, view, self.schema)
        return Answer(neighbours, self.errors, explanations)


def _aims(
    questions: Sequence[Question | ServiceError],
    embedded: Mapping[int, VectorOrError],
    release: CollectionRelease,
    view: SegmentedView,
) -> list[_Aim | ServiceError]:
    """What each question searches for, or why it cannot. embedded: by position among all contents."""
    aims: list[_Aim | ServiceError] = []
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
) -> _Aim:
    catalogue: CatalogView = view.attached
    label_of = catalogue.label_of
    left_out = [label for item_id in question.excluded_ids if (label := label_of(item_id)) is not None]
    outcomes = list[VectorOrError | None](embedded or (None,) * len(contents))
    for index, content in enumerate(contents):
        if outcomes[index] is None:
            names = content.item_ids if isinstance(content, ItemIds) else ()
            labels = [label for item_id in names if (label := label_of(item_id)) is not None]
            left_out += labels
            outcomes[index] = read_vector(content, labels, release, view)
    direction_D, errors = _direction(question, outcomes)
    schema = release.models.schema
    target = SearchTarget(
        direction_D=direction_D,
        count=question.item_count,
        kind=question.kind,
        conditions=settle_conditions(question.conditions, schema, catalogue),
        left_out=np.array(left_out, np.int64),
        diversity=question.diversity,
    )
    return _Aim(target, errors, question, outcomes, schema)


def _direction(
    question: Question, outcomes: Sequence[VectorOrError | None]
) -> tuple[np.ndarray, dict[int, ServiceError]]:
    query, examples = outcomes[0], outcomes[1:]
    if isinstance(query, ServiceError):
        raise query
    errors = {index: outcome for index, outcome in enumerate(examples) if isinstance(outcome, ServiceError)}
    likes = len(question.positives)
    positives = [outcome for outcome in (query, *examples[:likes]) if isinstance(outcome, np.ndarray)]
    negatives = [outcome for outcome in examples[likes:] if isinstance(outcome, np.ndarray)]
    if not positives:
        raise next(iter(errors.values()))
    return blend(positives, negatives), errors
