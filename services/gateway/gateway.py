"""What the routes of a running gateway use: the services, the bounds of bodies, and what is read from
disk."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Final, Self

from atelier.embedder.v1 import embedder_pb2_grpc
from atelier.ranker.v1 import ranker_pb2_grpc
from atelier.recommender.v1 import catalog_pb2_grpc, index_pb2_grpc, insight_pb2_grpc, recommender_pb2_grpc
from prometheus_client import CollectorRegistry

from dashboard.runs import RunCatalogue
from services.client.relay import RelayedService
from services.gateway.published_models import PublishedModels
from services.gateway.settings import GatewaySettings
from services.gateway.thumbnails import ThumbnailCache
from services.gateway.web.bodies import BodyReader, UploadMemory
from services.gateway.web.route_figures import RouteFigures
from services.runtime.authorization import Authorization, open_authorization
from services.runtime.telemetry import HopMetrics

_READING_THREADS: Final = 2  # of files: models, runs, pictures of runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A gateway between its callers and the services."""

    settings: GatewaySettings
    embedder: RelayedService
    ranker: RelayedService
    recommender: RelayedService
    bodies: BodyReader
    models: PublishedModels
    runs: RunCatalogue
    thumbnails: ThumbnailCache
    figures: RouteFigures
    authorization: Authorization | None
    reading: ThreadPoolExecutor

    @classmethod
    def opened(cls, settings: GatewaySettings, registry: CollectorRegistry, stack: AsyncExitStack) -> Self:
        """A gateway whose parts `stack` closes. Raises BadSecurity: naming the wrong setting."""
        services = _services(settings, HopMetrics(registry))
        for service in services.values():
            stack.push_async_callback(service.close)
        memory = UploadMemory(settings.gateway_upload_bytes)
        figures = RouteFigures(registry, memory)
        thumbnails = ThumbnailCache(settings.limits, settings.gateway_thumbnail_bytes)
        stack.callback(thumbnails.close)
        return cls(
            settings=settings,
            **services,
            bodies=BodyReader(settings.limits, settings.gateway_json_bytes, memory, settings.gateway_body_s),
            models=PublishedModels(settings.store),
            runs=RunCatalogue(settings.runs),
            thumbnails=thumbnails,
            figures=figures,
            authorization=open_authorization(settings, registry),
            reading=stack.enter_context(ThreadPoolExecutor(_READING_THREADS, thread_name_prefix="read")),
        )


def _services(settings: GatewaySettings, hops: HopMetrics) -> dict[str, RelayedService]:
    """The services by name. Raises BadSecurity: naming the wrong setting."""
    security = replace(settings.client_security(), token="")  # each call has its caller's
    recommender = (
        recommender_pb2_grpc.RecommenderServiceStub,
        catalog_pb2_grpc.CatalogServiceStub,
        index_pb2_grpc.IndexServiceStub,
        insight_pb2_grpc.InsightServiceStub,
    )
    named = (
        ("embedder", settings.embedder_address, (embedder_pb2_grpc.EmbedderServiceStub,)),
        ("ranker", settings.ranker_address, (ranker_pb2_grpc.RankerServiceStub,)),
        ("recommender", settings.recommender_address, recommender),
    )
    return {name: RelayedService(name, address, stubs, security, hops) for name, address, stubs in named}
