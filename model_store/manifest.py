"""What a version is: its manifest, its space and its digest (M-2, S-2, S-10).

The manifest is canonical JSON (sorted keys, two-space indent). Its digest covers every other byte of it,
and it holds the hash of every file beside it, so one flipped byte anywhere is detected at load.
"""

import hashlib
import json
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from model_store.errors import CorruptVersion
from model_store.schema import Versioned, read_body, reason, schema_of

SCHEMA_VERSION: Final = 1
MANIFEST_FILE = "manifest.json"


class TensorSpec(Versioned):
    """One input or output of a graph; a dimension is a size or, where it varies, a name."""

    name: str
    dtype: Literal["uint8", "int64", "float32", "float16", "bool"]
    shape: tuple[int | str, ...]


class ImagePreprocessing(Versioned):
    """How encoded bytes become the uint8 image_BHWC that the graph takes; read by `inference.pixels`."""

    kind: Literal["image"] = "image"
    height: int = Field(ge=1, le=4096)
    width: int = Field(ge=1, le=4096)
    fit: Literal["squash", "letterbox", "crop"] = "squash"
    resample: Literal["bilinear", "bicubic", "lanczos"] = "bicubic"
    background: tuple[int, int, int] = (255, 255, 255)


class AttributeField(Versioned):
    """One field of an attribute record and the closed list of its words.

    The tensor index of a word is its position + 2; 0 means missing and 1 means unknown.
    """

    name: str
    multiple: bool
    vocabulary: tuple[str, ...]


class AttributePreprocessing(Versioned):
    """How an attribute record becomes index tensors; read by `inference.attributes`."""

    kind: Literal["attributes"] = "attributes"
    fields: tuple[AttributeField, ...]
    spelling: dict[str, str] = Field(default_factory=dict)


class VectorPreprocessing(Versioned):
    """The graph takes vectors of another space, unchanged."""

    kind: Literal["vector"] = "vector"
    dimension: int = Field(ge=1)


Preprocessing = Annotated[
    ImagePreprocessing | AttributePreprocessing | VectorPreprocessing, Field(discriminator="kind")
]


class FileEntry(Versioned):
    """One file of a version."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0)
    role: Literal["graph", "golden", "payload"]


class Golden(Versioned):
    """Inputs with the outputs that they must give, and how close a run must come to them.

    An output row passes when it is within `atol` of the golden row on the CPU, or when its cosine to
    the golden row is at least `cosine` on any other provider.
    """

    file: str = "golden.npz"
    count: int = Field(ge=1)
    atol: float = Field(gt=0, default=2e-4)
    cosine: float = Field(gt=0, le=1, default=0.999)


class VersionReference(Versioned):
    """Another version, by name, number and digest."""

    name: str
    version: int = Field(ge=1)
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")


class Calibration(Versioned):
    """How score differences become probabilities.

    The parameters of `inference.head`: the uncertainty of a score is the standard deviation that the
    head gives for it; at weight 0 the temperature alone decides.
    """

    temperature: float = Field(gt=0, default=1.0)
    uncertainty_weight: float = Field(ge=0, default=0.0)
    tie_margin: float = Field(ge=0, default=0.0)


class Provenance(Versioned):
    """Where a version comes from."""

    created_at: datetime
    source: str
    trained: bool
    git_commit: str | None = None
    data_version: str | None = None
    seed: int | None = None
    wandb_run: str | None = None
    licence: str | None = None
    tools: dict[str, str] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Manifest(Versioned):
    """Everything that a consumer must know of a version before it loads its graph."""

    name: str
    kind: Literal["graph", "vectors"] = "graph"
    format: Literal["onnx", "torchscript", "none"] = "onnx"
    precision: Literal["fp32", "fp16", "int8"] = "fp32"
    opset: int | None = None
    pooling: Literal["cls", "cls+mean+std"] | None = None
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    output: str
    dimension: int = Field(ge=1)
    norm_range: tuple[float, float]
    preprocessing: Preprocessing
    pixel_path: int | None = None
    accepts: tuple[str, ...] = ()
    derived_from: VersionReference | None = None
    composed_of: tuple[VersionReference, ...] = ()
    calibration: Calibration | None = None
    metrics: dict[str, Any] = Field(default_factory=dict)
    provenance: Provenance
    golden: Golden | None = None
    files: dict[str, FileEntry]

    @property
    def schema_version(self) -> int:
        """The lowest schema version that holds all of it, at most `SCHEMA_VERSION`."""
        return schema_of(self)

    @property
    def space_id(self) -> str:
        """sha256, hexadecimal, of the function that the version computes.

        Covers the graph (and payload) hashes, the preprocessing, the output name and the pixel path;
        not the time of creation or the metrics. Of kind `vectors` it covers the fitted pipeline, which has
        the role of the graph, and not the vectors: two versions of one pipeline have one space.
        """
        defining = {"graph"} if self.kind == "vectors" else {"graph", "payload"}
        return _sha256(
            {
                "files": {n: f.sha256 for n, f in self.files.items() if f.role in defining},
                "preprocessing": self.preprocessing.model_dump(mode="json"),
                "output": self.output,
                "pixel_path": self.pixel_path,
            }
        )

    @property
    def digest(self) -> str:
        """sha256, hexadecimal, of the whole manifest: the identity of the version."""
        return _sha256(_body(self))


def encode(manifest: Manifest) -> bytes:
    """The bytes of `manifest.json`: the manifest with its digest and space beside its fields."""
    body = {"digest": manifest.digest, "space_id": manifest.space_id, **_body(manifest)}
    return (json.dumps(body, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def decode(data: bytes, where: str) -> Manifest:
    """The manifest in `data`, verified against its own digest and space.

    Raises UnsupportedSchema: for a schema version that this build does not read, naming both.
    Raises CorruptVersion: if the bytes are not those that `encode` wrote, naming `where`.
    """
    try:
        body = read_body(data, SCHEMA_VERSION, where)
        del body["digest"], body["space_id"]
        manifest = Manifest.model_validate(body)
    except (ValueError, KeyError) as error:
        raise CorruptVersion(f"{where} is not a manifest: {reason(error)}") from error
    if encode(manifest) != data:
        raise CorruptVersion(f"{where} does not match its own digest")
    return manifest


def _body(manifest: Manifest) -> dict[str, Any]:
    return {"schema_version": manifest.schema_version, **manifest.model_dump(mode="json")}


def _sha256(body: Any) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
