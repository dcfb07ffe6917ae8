"""A real store with small real graphs, real pictures, and the real service on a free port."""

import io
import shutil
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnx
import pytest
from atelier.embedder.v1 import embedder_pb2, embedder_pb2_grpc
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from inference.golden import write_golden
from inference.pixels import PIXEL_PATH
from inference.runtimes.device import SessionSettings
from inference.session import open_session
from model_store.store import Draft, ModelStore, Version
from services.embedder.__main__ import embedder_service
from services.embedder.settings import EmbedderSettings
from services.runtime.server import ServerContext, running

SERVICE = "atelier.embedder.v1.EmbedderService"
SIDE = 16
DIMENSION = 8
WORDS = ("니트", "스커트", "코트", "셔츠")
PICTURES, ATTRIBUTES, HEAD = "fashion-image", "fashion-attributes", "artwork-head"


def image_graph(seed: int, width: int = 32, repeats: int = 1, bias: float = 0.0) -> onnx.ModelProto:
    """uint8 image_BHWC → unit vector_BD; without a bias a black picture gives a vector of norm zero.

    One square layer of `width` is applied `repeats` times: as slow as a test needs, in a small file.
    """
    rng = np.random.default_rng(seed)
    inner = SIDE * SIDE * 3
    sizes = {"first": (inner, width), "square": (width, width), "last": (width, DIMENSION)}
    weights: dict[str, np.ndarray] = {
        name: (rng.standard_normal(size) / size[0] ** 0.5).astype(np.float32) for name, size in sizes.items()
    }
    layers = ["first", *["square"] * repeats, "last"]
    nodes = [
        helper.make_node("Cast", ["image_BHWC"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["float", "flat"], ["layer0"]),
        *(helper.make_node("MatMul", [f"layer{n}", w], [f"layer{n + 1}"]) for n, w in enumerate(layers)),
        helper.make_node("Add", [f"layer{len(layers)}", "bias"], ["sum"]),
        helper.make_node("LpNormalization", ["sum"], ["vector_BD"], axis=-1, p=2),
    ]
    weights["bias"] = np.array([bias], np.float32)
    weights["flat"] = np.array([-1, inner], np.int64)
    return _model(nodes, {"image_BHWC": (TensorProto.UINT8, ["B", SIDE, SIDE, 3])}, weights)


def attribute_graph() -> onnx.ModelProto:
    """One single field and one list field → unit vector_BD."""
    rng = np.random.default_rng(3)
    words = rng.standard_normal((len(WORDS) + 2, DIMENSION)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["words", "category_index_B"], ["single"]),
        helper.make_node("Gather", ["words", "material_index_BL"], ["each"]),
        helper.make_node("Unsqueeze", ["material_mask_BL", "last"], ["mask"]),
        helper.make_node("Mul", ["each", "mask"], ["masked"]),
        helper.make_node("ReduceSum", ["masked", "middle"], ["pooled"], keepdims=0),
        helper.make_node("Add", ["single", "pooled"], ["sum"]),
        helper.make_node("LpNormalization", ["sum"], ["vector_BD"], axis=-1, p=2),
    ]
    inputs = {
        "category_index_B": (TensorProto.INT64, ["B"]),
        "material_index_BL": (TensorProto.INT64, ["B", "L"]),
        "material_mask_BL": (TensorProto.FLOAT, ["B", "L"]),
    }
    weights = {"words": words, "last": np.array([2], np.int64), "middle": np.array([1], np.int64)}
    return _model(nodes, inputs, weights)


def head_graph() -> onnx.ModelProto:
    """A graph over vectors, which the embedder does not serve."""
    nodes = [helper.make_node("LpNormalization", ["feature_BD"], ["vector_BD"], axis=-1, p=2)]
    return _model(nodes, {"feature_BD": (TensorProto.FLOAT, ["B", DIMENSION])}, {})


def _model(nodes: list[Any], inputs: dict[str, Any], weights: dict[str, np.ndarray]) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, *spec) for name, spec in inputs.items()],
        [helper.make_tensor_value_info("vector_BD", TensorProto.FLOAT, ["B", DIMENSION])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)


IMAGE_FIELDS = {
    "inputs": [{"name": "image_BHWC", "dtype": "uint8", "shape": ("B", SIDE, SIDE, 3)}],
    "preprocessing": {"kind": "image", "height": SIDE, "width": SIDE},
    "pixel_path": PIXEL_PATH,
}
ATTRIBUTE_FIELDS = {
    "inputs": [
        {"name": "category_index_B", "dtype": "int64", "shape": ("B",)},
        {"name": "material_index_BL", "dtype": "int64", "shape": ("B", "L")},
        {"name": "material_mask_BL", "dtype": "float32", "shape": ("B", "L")},
    ],
    "preprocessing": {
        "kind": "attributes",
        "fields": [
            {"name": "category", "multiple": False, "vocabulary": WORDS},
            {"name": "material", "multiple": True, "vocabulary": WORDS},
        ],
    },
}
HEAD_FIELDS = {
    "inputs": [{"name": "feature_BD", "dtype": "float32", "shape": ("B", DIMENSION)}],
    "preprocessing": {"kind": "vector", "dimension": DIMENSION},
}


def publish(
    store: ModelStore, name: str, graph: onnx.ModelProto, fields: dict[str, Any], scratch: Path
) -> Version:
    """Publish a graph with golden rows of its own making and let `production` mean it."""
    scratch.mkdir(parents=True, exist_ok=True)
    path, golden = scratch / "model.onnx", scratch / "golden.npz"
    onnx.save(graph, str(path))
    inputs = _golden_inputs(fields["preprocessing"]["kind"])
    write_golden(golden, inputs, open_session(path, SessionSettings(provider="cpu", threads=1)).run(inputs))
    manifest = {
        "name": name,
        "output": "vector_BD",
        "outputs": [{"name": "vector_BD", "dtype": "float32", "shape": ("B", DIMENSION)}],
        "dimension": DIMENSION,
        "norm_range": (0.999, 1.001),
        "golden": {"count": 3},
        "provenance": {"created_at": datetime(2026, 1, 2, tzinfo=UTC), "source": "test", "trained": True},
        **fields,
    }
    draft = Draft(manifest=manifest, graph={"model.onnx": path}, golden={"golden.npz": golden}, payload={})
    version = store.publish(draft, lambda *_: None)
    store.aliases.move(name, "production", version.number, version.digest)
    return version


def _golden_inputs(kind: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    if kind == "image":
        return {"image_BHWC": rng.integers(0, 256, (3, SIDE, SIDE, 3), dtype=np.uint8)}
    if kind == "vector":
        return {"feature_BD": rng.standard_normal((3, DIMENSION)).astype(np.float32)}
    return {
        "category_index_B": np.array([2, 3, 4]),
        "material_index_BL": np.array([[2, 0], [3, 4], [0, 0]]),
        "material_mask_BL": np.array([[1, 0], [1, 1], [0, 0]], np.float32),
    }


def picture(seed: int, size: tuple[int, int] = (40, 30), kind: str = "JPEG") -> bytes:
    """An encoded picture of noise, another for every seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return encoded(Image.fromarray(pixels), kind)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def image_input(data: bytes, item_id: str = "") -> embedder_pb2.EmbedInput:
    return embedder_pb2.EmbedInput(id=item_id, image=data)


def attribute_input(record: dict[str, Any], item_id: str = "") -> embedder_pb2.EmbedInput:
    return embedder_pb2.EmbedInput(id=item_id, attributes=ParseDict(record, Struct()))


def request(target: str, inputs: list[embedder_pb2.EmbedInput], **options: Any) -> embedder_pb2.EmbedRequest:
    """An embed request for a space id or, where `target` is a name, for its production alias."""
    if len(target) == 64:
        return embedder_pb2.EmbedRequest(space_id=target, inputs=inputs, **options)
    return embedder_pb2.EmbedRequest(model={"name": target}, inputs=inputs, **options)


@dataclass(frozen=True)
class Failure:
    """What a failed call told."""

    code: grpc.StatusCode
    message: str
    status: status_pb2.Status

    @property
    def reason(self) -> str:
        info = error_details_pb2.ErrorInfo()
        return info.reason if any(detail.Unpack(info) for detail in self.status.details) else ""

    @property
    def retry_after_s(self) -> float | None:
        retry = error_details_pb2.RetryInfo()
        if any(detail.Unpack(retry) for detail in self.status.details):
            return retry.retry_delay.ToMilliseconds() / 1000
        return None


async def failure(call: Any) -> Failure:
    """How a call fails."""
    with pytest.raises(grpc.RpcError) as caught:
        await call
    error = caught.value
    assert isinstance(error, grpc.aio.AioRpcError)
    trailer = dict(error.trailing_metadata() or ())
    status = status_pb2.Status.FromString(trailer.get("grpc-status-details-bin", b""))
    return Failure(code=error.code(), message=error.details() or "", status=status)


@dataclass(frozen=True)
class Served:
    """A running service and a way to call it."""

    stub: Any
    channel: grpc.aio.Channel
    context: ServerContext

    def metric(self, name: str, **labels: str) -> float:
        return self.context.registry.get_sample_value(name, labels) or 0.0

    async def health(self, service: str = SERVICE) -> int:
        stub = health_pb2_grpc.HealthStub(self.channel)
        return (await stub.Check(health_pb2.HealthCheckRequest(service=service))).status

    async def serving(self) -> None:
        """Returns once the service says SERVING."""
        await self.until(health_pb2.HealthCheckResponse.SERVING)

    async def until(self, status: int) -> None:
        """Returns once the health of the service is `status`."""
        stub = health_pb2_grpc.HealthStub(self.channel)
        watched = stub.Watch(health_pb2.HealthCheckRequest(service=SERVICE), timeout=20)
        async for reply in watched:
            if reply.status == status:
                return


@dataclass(frozen=True)
class Place:
    """The directories of one test."""

    store: ModelStore
    root: Path
    cache: Path

    def settings(self, **changes: Any) -> EmbedderSettings:
        fields = {
            "store": self.root,
            "cache": self.cache,
            "provider": "cpu",
            "threads": 1,
            "embedder_port": 0,
            "embedder_metrics_port": -1,
            "poll_s": 0.05,
            "drain_s": 1.0,
            "embedder_preload": False,
        }
        return EmbedderSettings(**{**fields, **changes})

    @asynccontextmanager
    async def serving(self, *, compute: Any = None, **changes: Any):
        """The service of this place and a stub to call it; `compute` stands in for its graphs."""
        settings = self.settings(**changes)
        async with (
            running(settings, embedder_service(settings, compute=compute)) as context,
            grpc.aio.insecure_channel(context.address) as channel,
        ):
            stub = embedder_pb2_grpc.EmbedderServiceStub(channel)
            yield Served(stub=stub, channel=channel, context=context)

    def version(self, name: str) -> Version:
        return self.store.resolve(name)


@pytest.fixture(scope="session")
def published(tmp_path_factory) -> Path:
    """A store with one version of each kind, made once; its `cache` keeps the stamps of its checks."""
    root = tmp_path_factory.mktemp("published")
    store = ModelStore.at(root / "store")
    (root / "cache" / "stamps").mkdir(parents=True)
    publish(store, PICTURES, image_graph(1), IMAGE_FIELDS, root / "a")
    publish(store, ATTRIBUTES, attribute_graph(), ATTRIBUTE_FIELDS, root / "b")
    publish(store, HEAD, head_graph(), HEAD_FIELDS, root / "c")
    return root


@pytest.fixture
def place(published, tmp_path):
    """A store and a cache of the test's own; checks that passed once in a run are not repeated."""
    shutil.copytree(published / "store", tmp_path / "store")
    shutil.copytree(published / "cache", tmp_path / "cache")
    yield Place(store=ModelStore.at(tmp_path / "store"), root=tmp_path / "store", cache=tmp_path / "cache")
    shutil.copytree(tmp_path / "cache" / "stamps", published / "cache" / "stamps", dirs_exist_ok=True)


def publish_slow(place: Place, seconds_an_input: float = 0.03) -> Version:
    """Publish a picture model that takes a while."""
    graph = image_graph(5, width=1024, repeats=round(seconds_an_input / 0.0003))
    return publish(place.store, "slow-image", graph, IMAGE_FIELDS, place.cache / "slow")
