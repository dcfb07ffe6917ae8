"""Small real graphs of the three kinds, published into a real store.

Shapes: B batch, H height, W width, C channels, L words, D dimensions.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from inference.attributes import AttributeSchema
from inference.golden import write_golden
from inference.loading import LoadedModel, load_model
from inference.runtimes.device import SessionSettings
from inference.session import open_session
from model_store.manifest import (
    AttributeField,
    AttributePreprocessing,
    ImagePreprocessing,
    Manifest,
    VectorPreprocessing,
)
from model_store.store import Draft, ModelStore, Version

CPU = SessionSettings(provider="cpu", threads=1)
SIZE = 28
WIDTH = 16
FIELDS = (
    AttributeField(name="category", multiple=False, vocabulary=("코트", "스커트", "셔츠")),
    AttributeField(name="material", multiple=True, vocabulary=("데님", "레이스", "실크", "니트")),
    AttributeField(name="print", multiple=True, vocabulary=("하운즈투스", "하트")),
)
SPELLING = {"하운즈\u00a0투스": "하운즈투스", "♥": "하트", "스커-트": "스커트"}
KINDS = {
    "image": ImagePreprocessing(height=SIZE, width=SIZE),
    "attributes": AttributePreprocessing(fields=FIELDS, spelling=SPELLING),
    "vector": VectorPreprocessing(dimension=WIDTH),
}


@dataclass
class Sketch:
    """The nodes and weights of a graph being drawn."""

    random: np.random.Generator
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)

    def add(self, kind: str, inputs: list[str], output: str, **options: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], **options))
        return output

    def weight(self, name: str, *shape: int, scale: float = 0.3) -> str:
        return self.constant(name, (self.random.standard_normal(shape) * scale).astype(np.float32))

    def constant(self, name: str, value: np.ndarray) -> str:
        self.weights.append(numpy_helper.from_array(value, name))
        return name

    def model(self, inputs: list[Any], outputs: list[Any]) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, "graph", inputs, outputs, self.weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def image_graph(seed: int) -> onnx.ModelProto:
    """uint8 image_BHWC → scaled → convolution → GELU → mean → projection → L2."""
    draw = Sketch(np.random.default_rng(seed))
    x = draw.add("Cast", ["image_BHWC"], "float_BHWC", to=TensorProto.FLOAT)
    x = draw.add("Div", [x, draw.constant("full", np.float32(255.0))], "unit_BHWC")
    x = draw.add("Transpose", [x], "image_BCHW", perm=[0, 3, 1, 2])
    x = draw.add("Conv", [x, draw.weight("patch", 24, 3, 7, 7)], "patch_BDHW", strides=[7, 7])
    x = draw.add("Gelu", [x], "gelu_BDHW")
    x = draw.add("GlobalAveragePool", [x], "pool_BD11")
    x = draw.add("Flatten", [x], "pool_BD")
    x = draw.add("Gemm", [x, draw.weight("projection", 24, WIDTH), draw.weight("bias", WIDTH)], "long_BD")
    draw.add("LpNormalization", [x], "vector_BD", axis=1, p=2)
    image = helper.make_tensor_value_info("image_BHWC", TensorProto.UINT8, ["B", SIZE, SIZE, 3])
    return draw.model([image], [_floats("vector_BD", "B", WIDTH)])


def attribute_graph(seed: int) -> onnx.ModelProto:
    """Field indices → embeddings → masked mean pooling → multilayer perceptron → L2."""
    draw = Sketch(np.random.default_rng(seed))
    inputs, parts = [], []
    draw.constant("words", np.array([1], dtype=np.int64))
    draw.constant("deep", np.array([2], dtype=np.int64))
    draw.constant("one", np.float32(1.0))
    for f in FIELDS:
        draw.weight(f"{f.name}_table", len(f.vocabulary) + 2, 8)
        if not f.multiple:
            inputs.append(helper.make_tensor_value_info(f"{f.name}_index_B", TensorProto.INT64, ["B"]))
            parts.append(draw.add("Gather", [f"{f.name}_table", f"{f.name}_index_B"], f"{f.name}_BD"))
            continue
        index, mask = f"{f.name}_index_BL", f"{f.name}_mask_BL"
        length = f"{f.name}_L"
        inputs.append(helper.make_tensor_value_info(index, TensorProto.INT64, ["B", length]))
        inputs.append(helper.make_tensor_value_info(mask, TensorProto.FLOAT, ["B", length]))
        rows = draw.add("Gather", [f"{f.name}_table", index], f"{f.name}_BLD")
        column = draw.add("Unsqueeze", [mask, "deep"], f"{f.name}_mask_BL1")
        kept = draw.add("Mul", [rows, column], f"{f.name}_kept_BLD")
        total = draw.add("ReduceSum", [kept, "words"], f"{f.name}_sum_BD", keepdims=0)
        count = draw.add("ReduceSum", [mask, "words"], f"{f.name}_count_B1", keepdims=1)
        parts.append(draw.add("Div", [total, draw.add("Max", [count, "one"], f"{f.name}_n")], f"{f.name}_BD"))
    x = draw.add("Concat", parts, "fields_BD", axis=1)
    x = draw.add("Gemm", [x, draw.weight("in", 24, 32), draw.weight("in_bias", 32)], "hidden_BD")
    x = draw.add("Gelu", [x], "gelu_BD")
    x = draw.add("Gemm", [x, draw.weight("out", 32, WIDTH), draw.weight("out_bias", WIDTH)], "long_BD")
    draw.add("LpNormalization", [x], "vector_BD", axis=1, p=2)
    return draw.model(inputs, [_floats("vector_BD", "B", WIDTH)])


def head_graph(seed: int) -> onnx.ModelProto:
    """feature_BD → linear → layer norm → embedding_BD; → GELU → linear → score_B."""
    draw = Sketch(np.random.default_rng(seed))
    x = draw.add("Gemm", ["feature_BD", draw.weight("in", WIDTH, 8), draw.weight("in_bias", 8)], "hidden_BD")
    scale, shift = (
        draw.constant("scale", np.ones(8, np.float32)),
        draw.constant("shift", np.zeros(8, np.float32)),
    )
    x = draw.add("LayerNormalization", [x, scale, shift], "embedding_BD")
    x = draw.add("Gelu", [x], "gelu_BD")
    x = draw.add("MatMul", [x, draw.weight("out", 8, 1)], "score_B1")
    draw.add("Squeeze", [x, draw.constant("last", np.array([1], dtype=np.int64))], "score_B")
    return draw.model(
        [_floats("feature_BD", "B", WIDTH)], [_floats("embedding_BD", "B", 8), _floats("score_B", "B")]
    )


def _floats(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))


GRAPHS = {"image": image_graph, "attributes": attribute_graph, "vector": head_graph}
NAMES = {"image": "fashion-image", "attributes": "fashion-attributes", "vector": "artwork-head"}


def golden_inputs(kind: str, count: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(7)
    if kind == "image":
        return {"image_BHWC": random.integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)}
    if kind == "vector":
        return {"feature_BD": random.standard_normal((count, WIDTH)).astype(np.float32)}
    records = [{"category": "코트"}, {"material": ["데님", "실크"]}, {"print": ["♥"], "category": "?"}, {}]
    return AttributeSchema(KINDS["attributes"]).tensors(records[:count])


def staged(draft: Draft, tmp_path: Path) -> tuple[Path, Manifest]:
    """A draft as `publish` shows it to its validation."""
    seen: list[Manifest] = []

    class Seen(Exception):
        pass

    target = tmp_path / "staged"
    target.mkdir(exist_ok=True)

    def keep(directory: Path, manifest: Manifest) -> None:
        for path in directory.iterdir():
            (target / path.name).write_bytes(path.read_bytes())
        seen.append(manifest)
        raise Seen

    with pytest.raises(Seen):
        ModelStore.at(tmp_path / "elsewhere").publish(draft, keep)
    return target, seen[0]


@dataclass(frozen=True)
class Workshop:
    """Makes drafts and versions of small models in one store."""

    folder: Path
    store: ModelStore

    def draft(
        self,
        kind: str,
        /,
        *,
        seed: int = 0,
        model: onnx.ModelProto | None = None,
        external: bool = False,
        **changes: Any,
    ) -> Draft:
        """A draft with a graph, four golden rows that fit it, and `changes` to its manifest."""
        folder = self.folder / f"draft-{len(list(self.folder.glob('draft-*')))}"
        folder.mkdir(parents=True)
        path, golden = folder / "model.onnx", folder / "golden.npz"
        graph = model or GRAPHS[kind](seed)
        if external:
            onnx.save(graph, path, save_as_external_data=True, location="model.onnx.data", size_threshold=0)
        else:
            onnx.save(graph, path)
        session = open_session(path, CPU)
        inputs = golden_inputs(kind, 4)
        write_golden(golden, inputs, changes.pop("golden_outputs", None) or session.run(inputs))
        files = {"model.onnx": path} | ({"model.onnx.data": folder / "model.onnx.data"} if external else {})
        fields = self._fields(kind, session) | changes
        return Draft(manifest=fields, graph=files, golden={"golden.npz": golden}, payload={})

    def publish(self, kind: str, /, **options: Any) -> Version:
        """A version, published without a child process."""
        return self.store.publish(self.draft(kind, **options), lambda _directory, _manifest: None)

    @staticmethod
    def fragile_graph() -> onnx.ModelProto:
        """A graph that gives NaN, 0 / 0, for a black picture: no bias, and no guard under its L2."""
        model = image_graph(0)
        graph = model.graph
        del next(node for node in graph.node if node.op_type == "Gemm").input[2]
        graph.node.remove(graph.node[-1])
        graph.initializer.append(numpy_helper.from_array(np.array([1], np.int64), "axis"))
        graph.node.append(helper.make_node("ReduceL2", ["long_BD", "axis"], ["norm_B1"], keepdims=1))
        graph.node.append(helper.make_node("Div", ["long_BD", "norm_B1"], ["vector_BD"]))
        return model

    def promote(self, version: Version, alias: str = "production") -> None:
        self.store.aliases.move(version.name, alias, version.number, version.digest)

    def load(self, version: Version) -> LoadedModel:
        """A loaded version; its pass stamp is written first, so that no child starts."""
        stamps = self.folder / "stamps"
        from inference import loading

        stamp = stamps / loading._stamp_name(version, CPU, loading.runtime_version(version.manifest.format))
        stamp.parent.mkdir(exist_ok=True)
        stamp.write_text("{}")
        return load_model(self.store, version, session=CPU, stamps=stamps)

    @staticmethod
    def _fields(kind: str, session: Any) -> dict[str, Any]:
        output = "embedding_BD" if kind == "vector" else "vector_BD"
        return {
            "name": NAMES[kind],
            "inputs": [spec.model_dump() for spec in session.inputs],
            "outputs": [spec.model_dump() for spec in session.outputs],
            "output": output,
            "dimension": 8 if kind == "vector" else WIDTH,
            "norm_range": (0.5, 10.0) if kind == "vector" else (0.999, 1.001),
            "preprocessing": KINDS[kind].model_dump(mode="json"),
            "pixel_path": 1 if kind == "image" else None,
            "accepts": ("a" * 64,) if kind == "vector" else (),
            "golden": {"count": 4},
            "provenance": {
                "created_at": datetime(2026, 1, 2, tzinfo=UTC),
                "source": "test",
                "trained": False,
            },
        }


def _workshop(root: Path) -> Workshop:
    return Workshop(folder=root / "workshop", store=ModelStore.at(root / "store"))


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return _workshop(tmp_path)


@pytest.fixture(scope="session")
def make_workshop() -> Callable[[Path], Workshop]:
    return _workshop


@pytest.fixture(scope="session")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LoadedModel]:
    """One loaded model of each kind."""
    shop = _workshop(tmp_path_factory.mktemp("loaded"))
    return {kind: shop.load(shop.publish(kind)) for kind in KINDS}


def drawn(width: int, height: int, seed: int = 0) -> Image.Image:
    """A picture made by arithmetic: a gradient, a grid of bars and a disc, the same on every machine."""
    y, x = np.mgrid[0:height, 0:width]
    red = (x * 255) // max(1, width - 1)
    green = (y * 255) // max(1, height - 1)
    blue = ((x // 5 + y // 3 + seed) % 2) * 200 + 20
    disc = (2 * x - width) ** 2 + (2 * y - height) ** 2 < (min(width, height) * 3 // 4) ** 2
    image_HWC = np.stack([red, green, blue], axis=-1)
    image_HWC[disc] = (230, (40 + seed * 31) % 256, 90)
    return Image.fromarray(image_HWC.astype(np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@pytest.fixture
def draw() -> Callable[..., Image.Image]:
    return drawn


@pytest.fixture
def encode_as() -> Callable[..., bytes]:
    return encoded


@pytest.fixture
def picture() -> Callable[..., bytes]:
    """Encoded small pictures that differ by their seed."""
    return lambda seed=0, width=40, height=30: encoded(drawn(width, height, seed))
