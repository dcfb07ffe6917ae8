"""Questions into the nearest items of one frozen view; no SQL, and no thread where little is to be done."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np

from services.client.embedder import AsyncEmbedderClient, EmbeddedInputs
from services.recommender.errors import ERRORS
from services.recommender.executors import Executors
from services.recommender.recommend.conditions import settle_conditions
from services.recommender.recommend.contents import ContentReader, Contents, VectorOrError, read_vectors
from services.recommender.recommend.effort import EffortTable
from services.recommender.recommend.explanation import Explanation, explain
from services.recommender.recommend.query import Question, blend
from services.recommender.recommend.recent import RecentQueries, RecentQuery
from services.recommender.recommend.search import Searcher, SearchTarget
from services.recommender.release.leads import CollectionRelease
from services.runtime.errors import ServiceError, to_service_error
from vector_index.errors import VectorIndexError
from vector_index.rows import Neighbours
from vector_index.view import SegmentedView

# A hop to a thread and back costs about 0.1 ms, and more where threads wait for the interpreter.
INLINE_US: Final = 500.0
_MOST_LOOKED_UP: Final = 64  # identifiers, on the event loop

T = TypeVar("T")


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
        few = sum(len(question.named_ids) for question in asked) <= _MOST_LOOKED_UP
        targets = await self._run(few, lambda: _targets(questions, contents, embedded, release, view))
        cost = sum(
            self._searcher.predict_us(view, target.target) for target in targets if isinstance(target, _Aimed)
        )
        answers = await self._run(cost <= INLINE_US, lambda: self._answers(targets, view))
        for each in targets:
            if isinstance(each, _Aimed):
                target = each.target
                query = RecentQuery(target.direction_D, target.conditions)
                self._recent.add(release.index.collection, target.kind, query)
        return Retrieval(answers=answers, view=view, embedded=times)

    async def _run(self, inline: bool, work: Callable[[], T]) -> T:
        return work() if inline else await self._executors.read(work)

    def _answers(
        self, targets: "Sequence[_Aimed | ServiceError]", view: SegmentedView
    ) -> list[Answer | ServiceError]:
        aimed = [target for target in targets if isinstance(target, _Aimed)]
        if len(aimed) == 1:
            neighbours = [self._searcher.search(view, aimed[0].target)]
        else:
            neighbours = self._searcher.search_batch(view, [each.target for each in aimed])
        nearest = iter(neighbours)
        return [
            target.answered(next(nearest), view) if isinstance(target, _Aimed) else target
            for target in targets
        ]


@dataclass(frozen=True, slots=True)
class _Aimed:
    """A question that can be searched for, with the vector or error of each of its contents."""

    target: SearchTarget
    errors: Mapping[int, ServiceError]
    question: Question
    outcomes: Sequence[VectorOrError | None]

    def answered(self, neighbours: Neighbours, view: SegmentedView) -> Answer:
        """The answer, explained if the question asks for it."""
        if not self.question.explain:
            return Answer(neighbours, self.errors)
        return Answer(neighbours, self.errors, explain(self.question, self.outcomes, neighbours, view))


def _targets(
    questions: Sequence[Question | ServiceError],
    contents: Contents,
    embedded: Mapping[int, VectorOrError],
    release: CollectionRelease,
    view: SegmentedView,
) -> list[_Aimed | ServiceError]:
    """What each question searches for, or why it cannot."""
    outcomes = read_vectors(contents, release, view) | dict(embedded)
    targets: list[_Aimed | ServiceError] = []
    start = 0
    for question in questions:
        if isinstance(question, ServiceError):
            targets.append(question)
            continue
        own = [outcomes.get(start + index) for index in range(len(question.contents))]
        start += len(own)
        try:
            targets.append(_aimed(question, own, release, view))
        except (ServiceError, VectorIndexError) as error:
            targets.append(to_service_error(error, ERRORS))
    return targets


def _aimed(
    question: Question,
    outcomes: Sequence[VectorOrError | None],
    release: CollectionRelease,
    view: SegmentedView,
) -> _Aimed:
    direction_D, errors = _direction(question, outcomes)
    target = SearchTarget(
        direction_D=direction_D,
        count=question.item_count,
        kind=question.kind,
        conditions=settle_conditions(question.conditions, release.models.schema, view.attached),
        left_out=question.named_ids,
        diversity=question.diversity,
    )
    return _Aimed(target, errors, question, outcomes)


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
