"""Questions into the nearest items of one frozen view; no SQL, and no thread where little is to be done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from services.client.embedder import AsyncEmbedderClient, EmbeddedInputs
from services.recommender.executors import Executors
from services.recommender.recommend.aim import Aim, aim_at
from services.recommender.recommend.contents import ContentReader
from services.recommender.recommend.effort import EffortTable
from services.recommender.recommend.explanation import Explanation, explain
from services.recommender.recommend.query import Question
from services.recommender.recommend.recent import RecentQueries, RecentQuery
from services.recommender.recommend.search import Searcher, SearchTarget
from services.recommender.release.leads import CollectionRelease
from services.runtime.errors import ServiceError
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
            aims = aim_at(questions, embedded, release, view)
        else:
            aims = await self._executors.read(lambda: aim_at(questions, embedded, release, view))
        targets = [aim.target for aim in aims if isinstance(aim, Aim)]
        if sum([self._searcher.predict_us(view, target) for target in targets]) <= INLINE_US:
            answers = self._answers(aims, targets, view)
        else:
            answers = await self._executors.read(lambda: self._answers(aims, targets, view))
        for target in targets:
            query = RecentQuery(target.direction_D, target.conditions)
            self._recent.add(release.index.collection, target.kind, query)
        return Retrieval(answers=answers, view=view, embedded=times)

    def _answers(
        self, aims: Sequence[Aim | ServiceError], targets: Sequence[SearchTarget], view: SegmentedView
    ) -> list[Answer | ServiceError]:
        nearest = iter(self._searcher.search_batch(view, targets))
        return [_answer(aim, next(nearest), view) if isinstance(aim, Aim) else aim for aim in aims]


def _answer(aim: Aim, neighbours: Neighbours, view: SegmentedView) -> Answer:
    explanations = explain(aim, neighbours, view) if aim.question.explain else ()
    return Answer(neighbours, aim.errors, explanations)
