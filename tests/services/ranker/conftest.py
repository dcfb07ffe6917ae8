"""A real store with small real heads, and an embedder that makes vectors out of bytes.

Legend: B batch, D feature components, E embedding components.
"""

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnx
import pytest
from atelier.embedder.v1 import embedder_pb2, embedder_pb2_grpc
from atelier.ranker.v1 import ranker_pb2_grpc
from atelier.types.v1 import types_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from onnx import TensorProto, helper, numpy_helper

from inference.golden import write_golden
from inference.loading import load_model
from inference.runtimes.device import SessionSettings
from inference.session import open_session
from model_store.store import Draft, ModelStore, Version
from services.ranker.__main__ import ranker_service
from services.ranker.settings import RankerSettings
from services.runtime.errors import FailedPrecondition, InvalidArgument, ResourceExhausted, to_status
from services.runtime.limits import Limits, to_message
from services.runtime.server import ServerContext, Service, running
from services.runtime.settings import ServiceSettings

CPU = SessionSettings(provider="cpu", threads=1)
WIDTH = 16
EMBEDDING = 4
SEEDS = (1, 2)
UNSURE = (2,)
SERVICE = "atelier.ranker.v1.RankerService"


def weights(seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {
        "projection": random.standard_normal((WIDTH, EMBEDDING)).astype(np.float32),
        "direction": random.standard_normal((EMBEDDING, 1)).astype(np.float32),
    }


def head_graph(seed: int) -> onnx.ModelProto:
    """feature_BD → linear → embedding_BE → tanh → linear → score_B; of an unsure head, uncertainty_B too."""
    held = {**weights(seed), "last": np.array([1], np.int64)}
    nodes = [
        helper.make_node("MatMul", ["feature_BD", "projection"], ["embedding_BE"]),
        helper.make_node("Tanh", ["embedding_BE"], ["bent_BE"]),
        helper.make_node("MatMul", ["bent_BE", "direction"], ["score_B1"]),
        helper.make_node("Squeeze", ["score_B1", "last"], ["score_B"]),
    ]
    outputs = [
        helper.make_tensor_value_info("embedding_BE", TensorProto.FLOAT, ["B", EMBEDDING]),
        helper.make_tensor_value_info("score_B", TensorProto.FLOAT, ["B"]),
    ]
    if seed in UNSURE:
        nodes.append(helper.make_node("Abs", ["score_B"], ["uncertainty_B"]))
        outputs.append(helper.make_tensor_value_info("uncertainty_B", TensorProto.FLOAT, ["B"]))
    graph = helper.make_graph(
        nodes,
        "head",
        [helper.make_tensor_value_info("feature_BD", TensorProto.FLOAT, ["B", WIDTH])],
        outputs,
        [numpy_helper.from_array(value, name) for name, value in held.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def expected_score(seed: int, feature_BD: np.ndarray) -> np.ndarray:
    held = weights(seed)
    score_B: np.ndarray = (np.tanh(feature_BD @ held["projection"]) @ held["direction"])[:, 0]
    return score_B


def provenance() -> dict[str, Any]:
    return {"created_at": datetime(2026, 1, 2, tzinfo=UTC), "source": "test", "trained": True}


def publish_backbone(store: ModelStore, folder: Path) -> Version:
    """A version to pin; the embedder of these tests needs no graph of it."""
    path = folder / "model.onnx"
    path.write_bytes(b"never loaded here")
    manifest = {
        "name": "artwork-backbone",
        "output": "feature_BD",
        "dimension": WIDTH,
        "norm_range": (0.0, 100.0),
        "preprocessing": {"kind": "image", "height": 8, "width": 8},
        "pixel_path": 1,
        "provenance": provenance(),
    }
    draft = Draft(manifest=manifest, graph={"model.onnx": path}, golden={}, payload={})
    return store.publish(draft, lambda _folder, _manifest: None)


def publish_head(store: ModelStore, folder: Path, seed: int, **changes: Any) -> Version:
    path, golden = folder / f"head-{seed}.onnx", folder / f"head-{seed}.npz"
    onnx.save(head_graph(seed), path)
    feature_BD = np.random.default_rng(0).standard_normal((4, WIDTH)).astype(np.float32)
    inputs = {"feature_BD": feature_BD}
    write_golden(golden, inputs, open_session(path, CPU).run(inputs))

    def spec(name: str, *shape: int | str) -> dict[str, Any]:
        return {"name": name, "dtype": "float32", "shape": shape}

    manifest = {
        "name": "artwork-head",
        "inputs": (spec("feature_BD", "B", WIDTH),),
        "outputs": (
            spec("embedding_BE", "B", EMBEDDING),
            spec("score_B", "B"),
            *((spec("uncertainty_B", "B"),) if seed in UNSURE else ()),
        ),
        "output": "embedding_BE",
        "dimension": EMBEDDING,
        "norm_range": (0.0, 1e4),
        "preprocessing": {"kind": "vector", "dimension": WIDTH},
        "calibration": {
            "temperature": 0.5,
            "tie_margin": 0.25,
            "uncertainty_weight": 0.3 if seed in UNSURE else 0.0,
        },
        "golden": {"count": 4},
        "provenance": provenance(),
        **changes,
    }
    draft = Draft(manifest=manifest, graph={"model.onnx": path}, golden={"golden.npz": golden}, payload={})
    return store.publish(draft, lambda _folder, _manifest: None)


@dataclass(frozen=True)
class Gallery:
    """One store of its own for a test: a backbone and two heads; the stamps of their checks."""

    root: Path
    store: ModelStore
    backbone: Version
    heads: tuple[Version, ...]

    def promote(self, version: Version) -> None:
        self.store.aliases.move("artwork-head", "production", version.number, version.digest)


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Published and checked once a run: the checks in child processes take their time."""
    root, drafts = tmp_path_factory.mktemp("gallery"), tmp_path_factory.mktemp("drafts")
    store = ModelStore.at(root / "models")
    backbone = publish_backbone(store, drafts)
    for seed in SEEDS:
        head = publish_head(store, drafts, seed, accepts=(backbone.space_id, "b" * 64))
        load_model(store, head, session=CPU, stamps=root / "cache" / "stamps")
    return root


@pytest.fixture
def gallery(published: Path, tmp_path: Path) -> Gallery:
    root = tmp_path / "gallery"
    shutil.copytree(published, root)
    store = ModelStore.at(root / "models")
    heads = tuple(store.open("artwork-head", number) for number in (1, 2))
    made = Gallery(root=root, store=store, backbone=store.open("artwork-backbone", 1), heads=heads)
    made.promote(heads[0])
    return made


def vector_of(picture: bytes) -> np.ndarray:
    """The feature of a picture: as arbitrary as it is repeatable."""
    seed = int.from_bytes(hashlib.sha256(picture).digest()[:8])
    feature_D: np.ndarray = np.random.default_rng(seed).standard_normal(WIDTH).astype(np.float32)
    return feature_D


@dataclass
class BytesEmbedder(embedder_pb2_grpc.EmbedderServiceServicer):
    """Any bytes are a picture, except those that begin with `bad`.

    `nan` gives a vector that is not finite, `wild` one whose output is out of norm.

    Only prepared spaces are in memory.
    """

    loaded: set[str] = field(default_factory=set)
    calls: list[embedder_pb2.EmbedRequest] = field(default_factory=list)
    asked: int = 0
    prepared: int = 0
    delay_s: float = 0.0
    full: bool = False
    provider: str = "CPUExecutionProvider"

    async def Embed(self, request: embedder_pb2.EmbedRequest, context: Any) -> embedder_pb2.EmbedResponse:
        self.calls.append(request)
        if request.space_id not in self.loaded:
            raise FailedPrecondition("not in memory", reason="MODEL_NOT_LOADED")
        await asyncio.sleep(self.delay_s)
        results = [self._result(index, item, request.space_id) for index, item in enumerate(request.inputs)]
        failed = [
            types_pb2.ItemError(index=result.index, status=result.error)
            for result in results
            if result.HasField("error")
        ]
        if len(failed) == len(results):
            raise InvalidArgument(failed[0].status.message, reason="INVALID_IMAGE", details=failed)
        timings = types_pb2.Timings(queue_ms=1.0, decode_ms=2.0, compute_ms=3.0)
        return embedder_pb2.EmbedResponse(results=results, timings=timings)

    async def GetLimits(self, request: Any, context: Any) -> embedder_pb2.GetLimitsResponse:
        return embedder_pb2.GetLimitsResponse(limits=to_message(Limits(), 60.0))

    async def PrepareModel(self, request: Any, context: Any) -> embedder_pb2.PrepareModelResponse:
        self.asked += 1
        if self.full:
            raise ResourceExhausted("the memory bound is reached")
        self.prepared += 1
        self.loaded.add(request.space_id)
        model = types_pb2.ServedModel(
            state=types_pb2.MODEL_STATE_SERVING, dimension=WIDTH, actual_provider=self.provider
        )
        model.identity.name = "artwork-backbone"
        return embedder_pb2.PrepareModelResponse(model=model)

    def _result(self, index: int, item: Any, space_id: str) -> embedder_pb2.EmbedResult:
        result = embedder_pb2.EmbedResult(index=index, id=item.id)
        if item.image.startswith(b"bad"):
            error = InvalidArgument("the picture is truncated", reason="INVALID_IMAGE")
            result.error.CopyFrom(to_status(error))
        else:
            result.vector.space_id = space_id
            scale = 1e6 if item.image.startswith(b"wild") else 1
            result.vector.values.extend((scale * vector_of(item.image)).tolist())
            if item.image.startswith(b"nan"):
                result.vector.values[1] = float("nan")
        return result

    def service(self, port: int = 0) -> Service:
        @asynccontextmanager
        async def build(server: ServerContext) -> AsyncIterator[None]:
            descriptor = embedder_pb2.DESCRIPTOR.services_by_name["EmbedderService"]
            server.add(descriptor, embedder_pb2_grpc.add_EmbedderServiceServicer_to_server, self)
            yield

        return Service(name="embedder", build=build, port=port)


@dataclass(frozen=True)
class Ranking:
    """A running ranker, a stub of it, and the embedder behind it."""

    server: ServerContext
    channel: Any
    stub: Any
    embedder: BytesEmbedder


Serve = Callable[..., AbstractAsyncContextManager[Ranking]]


def ranker_settings(gallery: Gallery, embedder_address: str, **changes: Any) -> RankerSettings:
    return RankerSettings(
        **{
            "store": gallery.root / "models",
            "cache": gallery.root / "cache",
            "embedder_address": embedder_address,
            "ranker_port": 0,
            "ranker_metrics_port": -1,
            "poll_s": 0.02,
            **changes,
        }
    )


async def health(channel: Any, name: str) -> int:
    request = health_pb2.HealthCheckRequest(service=name)
    return int((await health_pb2_grpc.HealthStub(channel).Check(request)).status)


async def until(true: Callable[[], Awaitable[bool]], within_s: float = 10.0) -> None:
    """Return once `true()` is, or fail."""
    async with asyncio.timeout(within_s):
        while not await true():  # noqa: ASYNC110  # the state is another's: there is no event to wait for
            await asyncio.sleep(0.01)


async def until_serving(channel: Any) -> None:
    async def serving() -> bool:
        return await health(channel, SERVICE) == health_pb2.HealthCheckResponse.SERVING

    await until(serving)


@pytest.fixture
def serve(gallery: Gallery) -> Serve:
    """Runs the ranker on the gallery; with its own embedder unless an address is given."""

    @asynccontextmanager
    async def start(address: str = "", *, ready: bool = True, **changes: Any) -> AsyncIterator[Ranking]:
        embedder = BytesEmbedder()
        async with AsyncExitStack() as stack:
            if not address:
                behind = await stack.enter_async_context(running(ServiceSettings(), embedder.service()))
                address = behind.address
            settings = ranker_settings(gallery, address, **changes)
            server = await stack.enter_async_context(running(settings, ranker_service(settings)))
            options = (
                ("grpc.max_receive_message_length", -1),
                ("grpc.max_send_message_length", -1),
            )
            channel = await stack.enter_async_context(
                grpc.aio.insecure_channel(server.address, options=options)
            )
            if ready:
                await until_serving(channel)
            yield Ranking(server, channel, ranker_pb2_grpc.RankerServiceStub(channel), embedder)

    return start
