"""A model in memory: its encoder, what an input costs on it, and what it takes to load one."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from inference.encoder import Encoder, open_encoder
from inference.errors import BadOutput
from inference.loading import LoadedModel, load_model
from inference.pixels import ImageLimits
from inference.session import (
    CPU,
    CUDA,
    Session,
    SessionSettings,
    cuda_devices,
    open_session,
    runtime_key,
    runtime_version,
)
from inference.signature import graph_file
from model_store.manifest import AttributePreprocessing, ImagePreprocessing, Manifest
from model_store.store import ModelStore, Version
from services.embedder.errors import ModelRefused, WrongKind

# A loaded graph takes its weights once as published and about once more as packed by the runtime.
MEMORY_FACTOR: Final = 2.0
_PATCH_PIXELS: Final = 14 * 14
_RECORD_BYTES: Final = 4_096

Content = bytes | Mapping[str, object]


@dataclass(eq=False, slots=True, kw_only=True)
class Space:
    """One loaded version, run by the engine as one lane.

    encoder: what many workers share, each run on its own few threads.
    lone_encoder: the same graph on every core, for an input that has the device to itself; or None.
    memory_bytes: the estimate that it was admitted with.
    view: keeps vectors of another provider or runtime than the device's own apart in the cache; else empty.
    """

    version: Version
    encoder: Encoder
    lone_encoder: Encoder | None
    memory_bytes: int
    view: str = ""
    holders: int = 0
    asked_at: float = 0.0

    @property
    def space_id(self) -> str:
        return self.version.space_id

    @property
    def manifest(self) -> Manifest:
        return self.version.manifest

    @property
    def session(self) -> Session:
        return self.encoder.model.session

    @property
    def cost(self) -> int:
        """Cost of one input, in patches of 14 × 14 pixels; an attribute record counts one."""
        return input_cost(self.manifest)

    @property
    def held_bytes(self) -> int:
        """Bytes that one decoded input holds until it is computed."""
        match self.manifest.preprocessing:
            case ImagePreprocessing(height=height, width=width):
                return height * width * 3
            case _:
                return _RECORD_BYTES

    def check_kind(self, content: Content) -> None:
        """Raises WrongKind: for a picture when the model takes attributes and the other way round."""
        given = "a picture" if isinstance(content, bytes) else "an attribute record"
        taken = (
            "a picture"
            if isinstance(self.manifest.preprocessing, ImagePreprocessing)
            else "an attribute record"
        )
        if given != taken:
            raise WrongKind(f"the input is {given}, {self.version} takes {taken}")

    def run(self, batch: Sequence[Any], *, alone: bool) -> list[np.ndarray | BadOutput]:
        """One float32 vector (D,) an input, or in its place what is wrong with it (S-9)."""
        encoder = self.lone_encoder if alone and self.lone_encoder is not None else self.encoder
        vector_BD = encoder.run(batch)
        problems = encoder.check(vector_BD)
        return [problem or vector_D for vector_D, problem in zip(vector_BD, problems, strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What graphs run on, and how an engine uses it.

    workers: batches that run at the same time. lone: whether a lone input gets every core.
    """

    provider: str
    cores: int
    workers: int
    batch_cost: int
    lone: bool

    @property
    def threads(self) -> int:
        """Threads of one worker's run."""
        return max(1, self.cores // self.workers)


def choose_device(provider: str, *, threads: int, workers: int, batch_cost: int, lone: bool = True) -> Device:
    """The device for this process; zeros stand for the defaults measured for its kind.

    On a CPU, as many workers as cores, each on one thread, serve a load best, in batches of about four
    pictures of 224 × 224; a GPU is fed by one worker in large batches.
    """
    cores = threads or _cores()
    cuda = provider != "cpu" and cuda_devices().count > 0
    workers = workers or (1 if cuda else cores)
    return Device(
        provider=CUDA if cuda else CPU,
        cores=cores,
        workers=workers,
        batch_cost=batch_cost or (65_536 if cuda else 1_024),
        lone=lone and not cuda and workers > 1,
    )


def _cores() -> int:
    """Cores that this process may use; all of the machine's where the system doesn't say."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def input_cost(manifest: Manifest) -> int:
    """Cost of one input of a model, known before any is decoded."""
    match manifest.preprocessing:
        case ImagePreprocessing(height=height, width=width):
            return math.ceil(height * width / _PATCH_PIXELS)
        case _:
            return 1


def check_embeddable(manifest: Manifest, where: str) -> None:
    """Raises ModelRefused: for a version that is not a graph over pictures or attributes."""
    takes = manifest.preprocessing.kind
    if manifest.kind != "graph" or not isinstance(
        manifest.preprocessing, ImagePreprocessing | AttributePreprocessing
    ):
        raise ModelRefused(
            f"{where} is of kind {manifest.kind} and takes {takes} inputs; "
            f"the embedder runs graphs over image or attributes"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceLoader:
    """Opens versions for one device. Blocking."""

    store: ModelStore
    device: Device
    requested: SessionSettings
    limits: ImageLimits
    stamps: Path | None

    def sizes(self, manifest: Manifest) -> tuple[int, ...]:
        """Estimated memory of a loaded version, its graph files × 2: with a lone session, and without."""
        files = sum(entry.size for entry in manifest.files.values() if entry.role == "graph")
        alone = int(files * MEMORY_FACTOR)
        return (2 * alone, alone) if self.device.lone else (alone,)

    def load(self, version: Version, memory_bytes: int) -> Space:
        """A verified, warm space of one of the `sizes`. Raises what `inference.loading.load_model` raises."""
        model = load_model(self.store, version, session=self.requested, stamps=self.stamps)
        lone = self._lone(model) if memory_bytes > self.sizes(version.manifest)[-1] else None
        return Space(
            version=version,
            encoder=open_encoder(model, self.limits),
            lone_encoder=None if lone is None else open_encoder(lone, self.limits),
            memory_bytes=memory_bytes,
            view=self._view(model.session),
        )

    def _view(self, session: Session) -> str:
        key = runtime_key(session)
        return "" if key == f"{self.device.provider}/{runtime_version()}" else key

    def _lone(self, model: LoadedModel) -> LoadedModel | None:
        if model.session.actual != CPU:
            return None
        path = model.version.path(graph_file(model.manifest))
        return replace(model, session=open_session(path, replace(self.requested, threads=self.device.cores)))
