"""A store with dummy versions, an embedder whose vectors are known, and the recommender on real gRPC.

The embedder is a real gRPC server that makes a vector by hashing; a picture is any text. Words decide
the direction: two pictures that share words are near each other, in pictures as in attributes.
"""

import asyncio
import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from types import SimpleNamespace

import grpc
import numpy as np
from atelier.embedder.v1 import embedder_pb2, embedder_pb2_grpc
from atelier.recommender.v1 import (
    catalog_pb2,
    catalog_pb2_grpc,
    index_pb2,
    index_pb2_grpc,
    insight_pb2,
    insight_pb2_grpc,
    recommender_pb2,
    recommender_pb2_grpc,
    resources_pb2,
)
from atelier.types.v1 import types_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

from model_store.item_vectors import PAYLOAD, PIPELINE_FILE, check_item_vectors
from model_store.store import Draft, ModelStore
from services.client.errors import from_rpc_error
from services.messages.contents import write_record
from services.recommender.__main__ import recommender_service
from services.recommender.catalog.store import Catalog
from services.recommender.settings import RecommenderSettings
from services.runtime.server import running
from tests.model_store.conftest import manifest_fields
from tests.model_store.vector_files import write_item_vectors

DIMENSION = 64
OPTIONS = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 65 << 20)]
FIELDS = (
    {"name": "category", "multiple": False, "vocabulary": ["knit", "skirt"]},
    {"name": "style", "multiple": True, "vocabulary": ["retro", "resort"]},
)


def unit(vector):
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def vector_of(words, space_id, dimension=DIMENSION):
    """The sum of a direction a word, of norm 1."""
    total = np.zeros(dimension)
    for word in sorted(words):
        seed = hashlib.sha256(f"{space_id} {word}".encode()).digest()
        total += np.random.default_rng(list(seed)).normal(size=dimension)
    return unit(total)


class FakeEmbedder(embedder_pb2_grpc.EmbedderServiceServicer):
    """Knows every space it is asked for; `aligned` maps the space of attributes to that of pictures."""

    def __init__(self):
        self.aligned = {}
        self.prepared = set()
        self.preparations = []
        self.requests = []
        self.refused_spaces = set()
        self.gate = threading.Event()
        self.gate.set()
        self.slow_spaces = set()
        self.slow_after = 0
        self.needs_preparing = False

    def Embed(self, request, context):
        self.requests.append(request)
        in_space = sum(other.space_id == request.space_id for other in self.requests)
        if request.space_id in self.slow_spaces and in_space > self.slow_after:
            self.gate.wait(30)
        if self.needs_preparing and request.space_id not in self.prepared:
            detail = error_details_pb2.ErrorInfo(domain="atelier", reason="MODEL_NOT_LOADED")
            abort(context, code_pb2.FAILED_PRECONDITION, "not loaded", detail)
        reply = embedder_pb2.EmbedResponse()
        for index, one in enumerate(request.inputs):
            reply.results.append(self._result(index, one, request.space_id))
        if not any(result.HasField("vector") for result in reply.results):
            items = [types_pb2.ItemError(index=r.index, id=r.id, status=r.error) for r in reply.results]
            abort(context, items[0].status.code, items[0].status.message, *items)
        reply.timings.compute_ms = 1.0
        return reply

    def PrepareModel(self, request, context):
        self.preparations.append(request.space_id)
        if request.space_id in self.refused_spaces:
            abort(context, code_pb2.FAILED_PRECONDITION, "the golden set failed")
        self.prepared.add(request.space_id)
        model = types_pb2.ServedModel(actual_provider="CPUExecutionProvider", state=3)
        return embedder_pb2.PrepareModelResponse(model=model)

    def _result(self, index, one, space_id):
        result = embedder_pb2.EmbedResult(index=index, id=one.id)
        space = self.aligned.get(space_id, space_id)
        if one.WhichOneof("content") == "image":
            words = one.image.decode(errors="replace").split()
        else:
            words = [word for value in one.attributes.fields.values() for word in texts(value)]
        if "broken" in words or f"broken-{space_id[:6]}" in words:
            result.error.CopyFrom(status_pb2.Status(code=3, message="the picture cannot be decoded"))
        else:
            result.vector.space_id = space_id
            result.vector.values.extend(vector_of(words, space).tolist())
        return result


def texts(value):
    return [one.string_value for one in value.list_value.values] or [value.string_value]


def abort(context, code, message, *details):
    status = status_pb2.Status(code=code, message=message)
    for detail in details:
        status.details.add().Pack(detail)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(next(c for c in grpc.StatusCode if c.value[0] == code), message)


class Embedder:
    """The fake as a server that can go away and come back at the same address."""

    def __init__(self):
        self.fake = FakeEmbedder()
        self.port = 0
        self.server = None
        self.start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        self.server = grpc.server(ThreadPoolExecutor(8), options=OPTIONS)
        embedder_pb2_grpc.add_EmbedderServiceServicer_to_server(self.fake, self.server)
        self.port = self.server.add_insecure_port(f"127.0.0.1:{self.port}")
        self.server.start()

    def stop(self):
        self.server.stop(None).wait()


class Shelf:
    """A store of dummy versions, whose files the recommender never opens, and versions of item vectors."""

    def __init__(self, root):
        self.root = root / "store"
        self.drafts = root / "drafts"
        self.drafts.mkdir()
        self.store = ModelStore.at(self.root)

    def publish(self, name, *, graph, promote=True, **changes):
        file = self.drafts / "model.onnx"
        file.write_bytes(graph.encode())
        fields = {
            "name": name,
            "output": "vector_BD",
            "dimension": DIMENSION,
            "norm_range": (0.99, 1.01),
            "preprocessing": {"kind": "image", "height": 8, "width": 8},
            "pixel_path": 1,
            "provenance": {
                "created_at": datetime(2026, 1, 2, tzinfo=UTC),
                "source": "test",
                "trained": False,
            },
            **changes,
        }
        draft = Draft(manifest=fields, graph={"model.onnx": file}, golden={}, payload={})
        version = self.store.publish(draft, lambda *_: None)
        if promote:
            self.promote(version)
        return version

    def items(self, rows, *, promote=True, pipeline="{}"):
        """A version of item vectors. rows: words and attributes by identifier; words decide what is near."""
        folder = self.drafts / "items"
        vector_ND = np.stack([vector_of(words.split(), "items") for words, _ in rows.values()])
        write_item_vectors(folder, list(rows), vector_ND, [record for _, record in rows.values()], pipeline)
        fields = manifest_fields(
            "items",
            kind="vectors",
            format="none",
            dimension=DIMENSION,
            preprocessing={"kind": "vector", "dimension": DIMENSION},
            pixel_path=None,
            metrics={"layout": 1},
        )
        draft = Draft(
            manifest=fields,
            graph={PIPELINE_FILE: folder / PIPELINE_FILE},
            golden={},
            payload={name: folder / name for name in PAYLOAD},
        )
        version = self.store.publish(draft, check_item_vectors)
        if promote:
            self.promote(version)
        return version

    def promote(self, version):
        self.store.aliases.move(version.name, "production", version.number, version.digest)

    def image(self, graph="tower", **changes):
        return self.publish("fashion-image", graph=graph, **changes)

    def attributes(self, image, graph="encoder", **changes):
        preprocessing = {"kind": "attributes", "fields": FIELDS, "spelling": {"retr0": "retro"}}
        return self.publish(
            "fashion-attributes",
            graph=graph + image.space_id,
            preprocessing=preprocessing,
            accepts=(image.space_id,),
            pixel_path=None,
            **changes,
        )


class Recommender:
    """The service in a thread with its own event loop, called through blocking stubs."""

    def __init__(self, settings):
        self.catalog = Catalog(settings.catalogue)
        self.service = recommender_service(settings, self.catalog)
        self.address = ""
        self._settings = settings
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait(30)
        assert self.address, "the service did not start"
        self._channel = grpc.insecure_channel(self.address)
        self.stubs = SimpleNamespace(
            recommender=recommender_pb2_grpc.RecommenderServiceStub(self._channel),
            catalog=catalog_pb2_grpc.CatalogServiceStub(self._channel),
            index=index_pb2_grpc.IndexServiceStub(self._channel),
            insight=insight_pb2_grpc.InsightServiceStub(self._channel),
        )

    def close(self):
        if self._thread.is_alive():
            self._channel.close()
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(30)
            self._loop.close()
            self.catalog.close()

    def recommend(self, **fields):
        return call(self.stubs.recommender.Recommend, recommender_pb2.RecommendRequest(**fields))

    def bestsellers(self, *, timeout=30, **fields):
        request = recommender_pb2.RecommendFromBestsellersRequest(**fields)
        return call(self.stubs.recommender.RecommendFromBestsellers, request, timeout)

    def upsert(self, *items, collection=""):
        request = catalog_pb2.UpsertItemsRequest(collection=collection, items=items)
        return call(self.stubs.catalog.UpsertItems, request)

    def delete(self, *ids, collection=""):
        request = catalog_pb2.DeleteItemsRequest(collection=collection, item_ids=ids)
        return call(self.stubs.catalog.DeleteItems, request)

    def get(self, item_id, **fields):
        return call(self.stubs.catalog.GetItem, catalog_pb2.GetItemRequest(item_id=item_id, **fields))

    def list(self, **fields):
        return call(self.stubs.catalog.ListItems, catalog_pb2.ListItemsRequest(**fields))

    def status(self, collection=""):
        return call(self.stubs.index.GetStatus, index_pb2.GetStatusRequest(collection=collection))

    def drop_blocking(self):
        return call(self.stubs.index.DropBlockingItems, index_pb2.DropBlockingItemsRequest())

    def rebuild(self, collection=""):
        return call(self.stubs.index.Rebuild, index_pb2.RebuildRequest(collection=collection))

    def feedback(self, *events, collection=""):
        request = insight_pb2.RecordFeedbackRequest(collection=collection, events=events)
        return call(self.stubs.insight.RecordFeedback, request)

    def trends(self, **fields):
        return call(self.stubs.insight.GetTrends, insight_pb2.GetTrendsRequest(**fields))

    def centrality(self, **fields):
        return call(self.stubs.insight.GetCentrality, insight_pb2.GetCentralityRequest(**fields))

    def find_records(self, **fields):
        return call(self.stubs.recommender.FindRecords, recommender_pb2.FindRecordsRequest(**fields))

    def kpis(self, **fields):
        return call(self.stubs.insight.GetKpis, insight_pb2.GetKpisRequest(**fields))

    def models(self):
        return call(self.stubs.recommender.ListModels, recommender_pb2.ListModelsRequest()).models

    def _run(self):
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())

    async def _serve(self):
        try:
            async with running(self._settings, self.service) as context:
                self.address = context.address
                self._ready.set()
                await self._stop.wait()
        finally:
            self._ready.set()


def call(method, request, timeout=30):
    try:
        return method(request, timeout=timeout)
    except grpc.RpcError as error:
        raise from_rpc_error(error, "recommender") from None


def item(item_id, picture=None, *, vector=None, attributes=None, **fields):
    content = {"image": picture.encode()} if picture is not None else {}
    if vector is not None:
        content = {"vector": types_pb2.SpaceVector(space_id=vector[0], values=vector[1])}
    if attributes is not None:
        fields["attributes"] = write_record(attributes)
    return catalog_pb2.UpsertItem(item_id=item_id, **content, **fields)


def example(picture=None, **fields):
    return resources_pb2.Example(**({"image": picture.encode()} if picture else {}), **fields)


def ids(reply):
    return [one.item.item_id for one in reply.recommendations]


def settings_for(tmp_path, embedder, **changes):
    return RecommenderSettings(
        **{
            "store": tmp_path / "store",
            "catalogue": tmp_path / "catalogue",
            "recommender_port": 0,
            "recommender_metrics_port": -1,
            "embedder_address": embedder.address,
            "poll_s": 0.05,
            "drain_s": 2,
        }
        | changes
    )


class World:
    """An embedder, a store with an aligned pair of models in production, and a recommender over them."""

    def __init__(self, tmp_path, **changes):
        self.embedder = Embedder()
        self.shelf = Shelf(tmp_path)
        image = self.shelf.image()
        lead = self.shelf.attributes(image)
        self.embedder.fake.aligned[lead.space_id] = image.space_id
        self.models = (lead, image)
        self.recommender = Recommender(settings_for(tmp_path, self.embedder, **changes))

    def close(self):
        self.recommender.close()
        self.embedder.stop()
