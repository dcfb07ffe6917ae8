"""RecommenderService: each call holds one release from its admission to its reply."""
# ruff: noqa: ARG002, N802  # gRPC names the methods and what they are given

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final

from atelier.recommender.v1 import recommender_pb2, recommender_pb2_grpc
from atelier.types.v1 import types_pb2

from model_store.aliases import PRODUCTION
from services.client.embedder import AsyncEmbedderClient
from services.messages.replies import all_failed, write_absent_model
from services.recommender.executors import CallAdmission, Executors
from services.recommender.insight.kpis import AnswerFigures
from services.recommender.recommend.bestsellers import BestsellerRecommender
from services.recommender.recommend.retrieval import Answer, Retriever
from services.recommender.release.collection import Collections
from services.recommender.release.leads import CollectionRelease
from services.recommender.settings import RecommenderSettings
from services.recommender.wire.bestsellers import bestseller_reply, read_bestseller_question
from services.recommender.wire.query import example_ids, read_question, read_questions, read_revision
from services.recommender.wire.records import read_record_question, records_reply
from services.recommender.wire.replies import (
    ReplyHeads,
    batch_answer,
    batch_error,
    batch_reply,
    failures,
    recommend_reply,
    served,
)
from services.runtime.context import message_bytes, present_call
from services.runtime.errors import ServiceError, Unavailable
from services.runtime.limits import to_message
from vector_index.view import SegmentedView

# A caller's clock began earlier than this server's, which has to answer before the caller gives up.
_EARLY_S: Final = 0.15
_EARLY_SHARE: Final = 0.02


class RecommenderServicer(recommender_pb2_grpc.RecommenderServiceServicer):
    """Answers from the release that a collection has when a call arrives."""

    def __init__(
        self,
        collections: Collections,
        retriever: Retriever,
        embedder: AsyncEmbedderClient,
        executors: Executors,
        settings: RecommenderSettings,
        answers: Mapping[str, AnswerFigures],
    ) -> None:
        self._collections = collections
        self._answers = answers
        self._retriever = retriever
        self._embedder = embedder
        self._executors = executors
        self._settings = settings
        self._admission = CallAdmission(settings.recommend_queue, "Recommend calls")
        self._heads = ReplyHeads(recommender_pb2.RecommendResponse)
        self._bestsellers = BestsellerRecommender(executors, embedder, retriever.efforts)
        self._bestseller_heads = ReplyHeads(recommender_pb2.RecommendFromBestsellersResponse)
        self._batch_heads = ReplyHeads(recommender_pb2.BatchRecommendResponse)

    async def Recommend(self, request: recommender_pb2.RecommendRequest, context: Any) -> bytes:
        """The items nearest to the query and the liked examples; a RecommendResponse, serialised."""
        started = time.perf_counter()
        collection = self._collections.named(request.collection)
        question = await self._executors.convert(
            lambda: read_question(request, self._settings.limits, self._settings.new_days),
            message_bytes(request),
        )
        with self._admission.admitted(), collection.hold() as release:
            await self._await_revision(release, read_revision(request))
            retrieval = await self._retriever.retrieve(release, (question,))
            digest = release.index.manifest_digest
        (answer,) = retrieval.answers
        if isinstance(answer, ServiceError):
            raise answer
        retrieval.embedded.times.note(items=len(answer.neighbours.labels))
        ms = (time.perf_counter() - started) * 1_000
        self._answers[collection.name].note(ms, answer.neighbours.similarities)
        return recommend_reply(
            self._heads.of(collection.name, release.models, retrieval.view, digest),
            answer,
            retrieval.view,
            errors=failures(answer.errors, example_ids(request)) if answer.errors else (),
            times=retrieval.embedded.times,
        )

    async def BatchRecommend(self, request: recommender_pb2.BatchRecommendRequest, context: Any) -> bytes:
        """A result for each request, in order; a BatchRecommendResponse, serialised."""
        collection = self._collections.named(request.collection)
        questions = await self._executors.convert(
            lambda: read_questions(request, collection.name, self._settings.limits, self._settings.new_days),
            message_bytes(request),
        )
        with self._admission.admitted(len(questions)), collection.hold() as release:
            await self._await_revision(release, read_revision(request))
            retrieval = await self._retriever.retrieve(release, questions)
            digest = release.index.manifest_digest
        failed = {i: each for i, each in enumerate(retrieval.answers) if isinstance(each, ServiceError)}
        if len(failed) == len(questions):
            raise all_failed(failures(failed, {}), "request")
        retrieval.embedded.times.note(requests=len(questions))
        head = self._batch_heads.of(collection.name, release.models, retrieval.view, digest)
        results = [
            self._result(index, answer, request, retrieval.view)
            for index, answer in enumerate(retrieval.answers)
        ]
        return batch_reply(head, results, retrieval.embedded.times)

    async def RecommendFromBestsellers(
        self, request: recommender_pb2.RecommendFromBestsellersRequest, context: Any
    ) -> bytes:
        """The new products nearest to the bestsellers; a RecommendFromBestsellersResponse, serialised."""
        collection = self._collections.named(request.collection)
        question = await self._executors.convert(
            lambda: read_bestseller_question(request, self._settings.limits, self._settings.new_days),
            message_bytes(request),
        )
        with self._admission.admitted(), collection.hold() as release:
            await self._await_revision(release, read_revision(request))
            answer = await self._bestsellers.recommend(release, question)
            digest = release.index.manifest_digest
        answer.embedded.times.note(items=len(answer.neighbours.labels))
        head = self._bestseller_heads.of(collection.name, release.models, answer.view, digest)
        return bestseller_reply(head, question, answer)

    async def FindRecords(
        self, request: recommender_pb2.FindRecordsRequest, context: Any
    ) -> recommender_pb2.FindRecordsResponse:
        """The attribute records nearest to a picture."""
        collection = self._collections.named(request.collection)
        question = read_record_question(request, self._settings.limits)
        with self._admission.admitted(), collection.hold() as release:
            retrieval = await self._retriever.retrieve(release, [question])
            (answer,) = retrieval.answers
            if isinstance(answer, ServiceError):
                raise answer
            return records_reply(answer, retrieval, release.models)

    def _result(
        self,
        index: int,
        answer: Answer | ServiceError,
        request: recommender_pb2.BatchRecommendRequest,
        view: SegmentedView,
    ) -> bytes:
        if isinstance(answer, ServiceError):
            return batch_error(index, answer)
        errors = failures(answer.errors, example_ids(request.requests[index])) if answer.errors else ()
        return batch_answer(index, answer, view, errors)

    async def _await_revision(self, release: CollectionRelease, revision: int) -> None:
        """Return once the release's view reflects a revision. Raises Unavailable: if it does not in time."""
        index = release.index
        if index.view().revision >= revision:
            return
        call = present_call()
        given_s = self._settings.default_deadline_s if call is None else call.remaining_s
        try:
            async with asyncio.timeout(max(0.0, given_s - _EARLY_S - _EARLY_SHARE * given_s)):
                await index.reached(revision)
        except TimeoutError as error:
            raise Unavailable(
                f"the collection {index.collection} is at revision {index.view().revision}, "
                f"min_revision is {revision}",
                reason="STALE_REVISION",
                retry_after_s=1.0,
            ) from error

    async def ListModels(
        self, request: recommender_pb2.ListModelsRequest, context: Any
    ) -> recommender_pb2.ListModelsResponse:
        """For each collection its lead, then the model of its pictures."""
        models: list[types_pb2.ServedModel] = []
        for collection in self._collections:
            status, release = collection.status, collection.present
            if release is None:
                models.append(write_absent_model(collection.preferred, PRODUCTION, status))
                continue
            lead = release.models.lead
            for version in release.models.pinned:
                last = self._embedder.served(version.space_id)
                models.append(served(version, status, last, is_lead=version is lead))
        return recommender_pb2.ListModelsResponse(models=models)

    async def GetLimits(
        self, request: recommender_pb2.GetLimitsRequest, context: Any
    ) -> recommender_pb2.GetLimitsResponse:
        """The bounds that this service enforces."""
        settings = self._settings
        limits = to_message(settings.limits, settings.default_deadline_s)
        return recommender_pb2.GetLimitsResponse(limits=limits)
