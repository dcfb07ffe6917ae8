"""Encoders: decode → run → check. One picture or record in, one vector out.

Shapes: B batch, D dimensions of the space; H, W, C as in `inference.pixels`.

Every vector that leaves is finite and within the norm range of its manifest, and never depends on the other
inputs of its batch.
"""

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Final, Protocol

import numpy as np

from inference.attributes import AttributeSchema, Record
from inference.errors import (
    BadOutput,
    DeviceOutOfMemory,
    InferenceError,
    InvalidAttributes,
    InvalidImage,
    InvalidInput,
    RefusedModel,
)
from inference.loading import LoadedModel
from inference.pixels import DEFAULT_LIMITS, ImageLimits, decode_image
from inference.vector_cache import VectorCache, cache_key
from model_store.manifest import AttributePreprocessing, ImagePreprocessing, Manifest, VectorPreprocessing

Content = bytes | Record
Outcome = np.ndarray | InferenceError

_log = logging.getLogger(__name__)
_DECODERS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """One decoded input: the graph's tensors by name, each with a leading axis of 1."""

    tensors: Mapping[str, np.ndarray]


class Encoder(Protocol):
    """Makes vectors of a space. `decode` and `run` may be called from several threads."""

    @property
    def model(self) -> LoadedModel:
        """The model that makes the vectors."""

    def decode(self, content: Content) -> Prepared:
        """An input ready to run. Raises InvalidInput: saying what is wrong with it."""

    def blank(self) -> Prepared:
        """An input without content, to see whether the graph runs at all."""

    def run(self, batch: Sequence[Prepared]) -> np.ndarray:
        """float32 vector_BD in the order of `batch`, unchecked.

        Raises DeviceOutOfMemory: if the batch does not fit. Raises InferenceError: if it cannot be run.
        """

    def check(self, vector_BD: np.ndarray) -> list[BadOutput | None]:
        """The fault of each vector; None for a good one."""


class ImageEncoder:
    """Encoded pictures to vectors."""

    def __init__(self, model: LoadedModel, preprocessing: ImagePreprocessing, limits: ImageLimits) -> None:
        self.model = model
        self._preprocessing = preprocessing
        self._limits = limits
        self._input = model.session.inputs[0].name

    def decode(self, content: Content) -> Prepared:
        """A picture's pixels. Raises InvalidImage: as `decode_image`, or for an attribute record."""
        if not isinstance(content, bytes):
            raise InvalidImage(f"{self.model.version.name} takes pictures, not attribute records")
        image_HWC = decode_image(content, self._preprocessing, self._limits)
        return Prepared(tensors={self._input: image_HWC[None]})

    def blank(self) -> Prepared:
        """A black picture."""
        height, width = self._preprocessing.height, self._preprocessing.width
        return Prepared(tensors={self._input: np.zeros((1, height, width, 3), np.uint8)})

    def run(self, batch: Sequence[Prepared]) -> np.ndarray:
        """float32 vector_BD; see `Encoder.run`."""
        return _run(self.model, batch)

    def check(self, vector_BD: np.ndarray) -> list[BadOutput | None]:
        """The fault of each vector; see `Encoder.check`."""
        return check_vectors(vector_BD, self.model.version.manifest)


class AttributeEncoder:
    """Attribute records to vectors."""

    def __init__(self, model: LoadedModel, preprocessing: AttributePreprocessing) -> None:
        self.model = model
        self.schema = AttributeSchema(preprocessing)

    def decode(self, content: Content) -> Prepared:
        """A record's tensors. Raises InvalidAttributes: as `AttributeSchema.normalise`, or for a picture."""
        if isinstance(content, bytes):
            raise InvalidAttributes(f"{self.model.version.name} takes attribute records, not pictures")
        return Prepared(tensors=self.schema.tensors([content]))

    def blank(self) -> Prepared:
        """A record without fields."""
        return Prepared(tensors=self.schema.tensors([{}]))

    def run(self, batch: Sequence[Prepared]) -> np.ndarray:
        """float32 vector_BD; see `Encoder.run`."""
        return _run(self.model, batch)

    def check(self, vector_BD: np.ndarray) -> list[BadOutput | None]:
        """The fault of each vector; see `Encoder.check`."""
        return check_vectors(vector_BD, self.model.version.manifest)


def open_encoder(model: LoadedModel, limits: ImageLimits = DEFAULT_LIMITS) -> Encoder:
    """The encoder of a loaded model. Raises RefusedModel: for a head, which takes vectors."""
    match model.manifest.preprocessing:
        case ImagePreprocessing() as preprocessing:
            return ImageEncoder(model, preprocessing, limits)
        case AttributePreprocessing() as preprocessing:
            return AttributeEncoder(model, preprocessing)
        case VectorPreprocessing():
            raise RefusedModel(f"{model.version} takes vectors: it is a head, not an encoder")


def check_vectors(vector_BD: np.ndarray, manifest: Manifest) -> list[BadOutput | None]:
    """The fault of each vector by its manifest (NaN, infinity, norm out of range), or None."""
    low, high = manifest.norm_range
    norm_B = np.linalg.norm(vector_BD.astype(np.float64), axis=1)
    return [_judge(float(norm), low, high) for norm in norm_B]


def run_checked(encoder: Encoder, batch: Sequence[Prepared]) -> list[Outcome]:
    """A checked vector or the error of each input, in order.

    A batch that the device cannot hold is halved until it fits; an input that fails alone carries
    DeviceOutOfMemory. Raises InferenceError: if the graph cannot be run at all.
    """
    if not batch:
        return []
    try:
        vector_BD = encoder.run(batch)
    except DeviceOutOfMemory as error:
        if len(batch) == 1:
            return [error]
        half = len(batch) // 2
        _log.warning("device out of memory: batch halved", extra={"batch": len(batch), "half": half})
        return run_checked(encoder, batch[:half]) + run_checked(encoder, batch[half:])
    return [bad or vector for vector, bad in zip(vector_BD, encoder.check(vector_BD), strict=True)]


def encode(
    encoder: Encoder,
    contents: Iterable[Content],
    *,
    batch_size: int = 16,
    cache: VectorCache | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Outcome]:
    """The vector, or the error, of each input in order: for the trainer and the tools.

    Equal inputs are encoded once. The next batch is decoded while the present one runs. `progress` is called
    after each batch with the number of inputs that it finished.
    Raises InferenceError: if the graph cannot be run; the vectors made before are in the cache.
    """
    keys: list[str | InvalidInput] = []
    known: dict[str, Outcome] = {}
    source = iter(contents)
    with ThreadPoolExecutor(_DECODERS, thread_name_prefix="decode") as pool:
        ahead: list[_Batch] = []
        while block := list(islice(source, batch_size)):
            fresh = _fresh(encoder, block, keys, known, cache)
            pending = {key: pool.submit(encoder.decode, content) for key, content in fresh.items()}
            ahead.append(_Batch(size=len(block), pending=pending))
            if len(ahead) > 1:
                _finish(encoder, ahead.pop(0), known, cache, progress)
        for batch in ahead:
            _finish(encoder, batch, known, cache, progress)
    return [known[key] if isinstance(key, str) else key for key in keys]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """Inputs being decoded, by key, and how many inputs they stand for."""

    size: int
    pending: Mapping[str, Future[Prepared]]


# Stands for the vector of an input that is still being encoded.
_PENDING: Final = InferenceError("not encoded yet")


def _fresh(
    encoder: Encoder,
    block: Sequence[Content],
    keys: list[str | InvalidInput],
    known: dict[str, Outcome],
    cache: VectorCache | None,
) -> dict[str, Content]:
    """The inputs of a block that must be encoded; records every input's key and what the cache holds."""
    fresh: dict[str, Content] = {}
    for content in block:
        try:
            key = cache_key(content, encoder.model.version.space_id)
        except InvalidInput as error:
            keys.append(error)
            continue
        keys.append(key)
        if key not in known:
            fresh[key] = content
            known[key] = _PENDING
    cached = {} if cache is None else cache.get_many(fresh)
    known.update(cached)
    return {key: content for key, content in fresh.items() if key not in cached}


def _finish(
    encoder: Encoder,
    batch: _Batch,
    known: dict[str, Outcome],
    cache: VectorCache | None,
    progress: Callable[[int], None] | None,
) -> None:
    prepared: dict[str, Prepared] = {}
    for key, future in batch.pending.items():
        try:
            prepared[key] = future.result()
        except InvalidInput as error:
            known[key] = error
    made = dict(zip(prepared, run_checked(encoder, list(prepared.values())), strict=True))
    known.update(made)
    if cache is not None:
        cache.put_many({key: vector for key, vector in made.items() if isinstance(vector, np.ndarray)})
    if progress is not None:
        progress(batch.size)


def _run(model: LoadedModel, batch: Sequence[Prepared]) -> np.ndarray:
    """The main output for `batch`, float32; inputs of one shape run together."""
    manifest = model.version.manifest
    vector_BD = np.empty((len(batch), manifest.dimension), dtype=np.float32)
    for places in _by_shape(batch):
        rows = [batch[place].tensors for place in places]
        inputs = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
        made = model.session.run(inputs)[manifest.output]
        expected = (len(places), manifest.dimension)
        if made.shape != expected:
            raise InferenceError(f"{model.version} gave the shape {made.shape}, expected {expected}")
        vector_BD[places] = made
    return vector_BD


def _by_shape(batch: Sequence[Prepared]) -> Iterator[list[int]]:
    groups: dict[tuple[tuple[int, ...], ...], list[int]] = {}
    for place, prepared in enumerate(batch):
        signature = tuple(prepared.tensors[name].shape for name in sorted(prepared.tensors))
        groups.setdefault(signature, []).append(place)
    yield from groups.values()


def _judge(norm: float, low: float, high: float) -> BadOutput | None:
    if not math.isfinite(norm):
        return BadOutput("the vector holds NaN or infinity")
    if not low <= norm <= high:
        return BadOutput(f"the vector has norm {norm:.4g}, expected {low:g} to {high:g}")
    return None
