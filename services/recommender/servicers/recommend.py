"""RecommenderService: each call holds one release from its admission to its reply."""
# ruff: noqa: ARG002, N802  # gRPC names the methods and what they are given

from typing import Any

from atelier.recommender.v1 import recommender_pb2, recommender_pb2_grpc
from atelier.types.v1 import types_pb2

from model_store.aliases import PRODUCTION
from services.client.embedder import AsyncEmbedderClient
from services.messages.replies import write_absent_model, write_identity, write_item_errors, write_timings
from services.recommender import wire
from services.recommender.executors import CallAdmission, Executors
from services.recommender.release.collection import Collections
from services.recommender.retrieval import Retriever
from services.recommender.settings import RecommenderSettings
from services.runtime.limits import to_message


class RecommenderServicer(recommender_pb2_grpc.RecommenderServiceServicer):
    """Answers from the release that a collection has when a call arrives."""

    def __init__(
        self,
        collections: Collections,
        retriever: Retriever,
        embedder: AsyncEmbedderClient,
        executors: Executors,
        settings: RecommenderSettings,
    ) -> None:
        self._collections = collections
        self._retriever = retriever
        self._embedder = embedder
        self._executors = executors
        self._settings = settings
        self._admission = CallAdmission(settings.recommend_queue, "Recommend calls")

    async def Recommend(
        self, request: recommender_pb2.RecommendRequest, context: Any
    ) -> recommender_pb2.RecommendResponse:
        """The items nearest to the query and the liked examples."""
        collection = self._collections.named(request.collection)
        question = await self._executors.convert(
            lambda: wire.read_question(request, self._settings.limits), request.ByteSize()
        )
        with self._admission.admitted(), collection.hold() as release:
            retrieval = await self._retriever.retrieve(release, question)
        retrieval.embedded.times.note(items=len(retrieval.result.items))
        return recommender_pb2.RecommendResponse(
            recommendations=[wire.recommendation(*pair) for pair in retrieval.result.items],
            errors=write_item_errors(wire.failures(retrieval.errors, _example_ids(request))),
            models=[write_identity(version) for version in retrieval.models.pinned],
            collection=collection.name,
            space_id=retrieval.models.space_id,
            catalogue_revision=retrieval.result.revision,
            timings=write_timings(retrieval.embedded.times),
        )

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
                models.append(wire.served(version, status, last, is_lead=version is lead))
        return recommender_pb2.ListModelsResponse(models=models)

    async def GetLimits(
        self, request: recommender_pb2.GetLimitsRequest, context: Any
    ) -> recommender_pb2.GetLimitsResponse:
        """The bounds that this service enforces."""
        settings = self._settings
        limits = to_message(settings.limits, settings.default_deadline_s)
        return recommender_pb2.GetLimitsResponse(limits=limits)


def _example_ids(request: recommender_pb2.RecommendRequest) -> dict[int, str]:
    examples = (*request.positive_examples, *request.negative_examples)
    return {index: example.item_id for index, example in enumerate(examples)}
