"""A model in memory: its encoder, what an input costs on it, and how it is loaded."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from inference.encoder import Encoder, open_encoder
from inference.loading import LoadedModel, load_model
from inference.pixels import ImageLimits
from inference.session import CPU, Session, SessionSettings, open_session, runtime_key, runtime_version
from inference.signature import graph_file
from model_store.manifest import AttributePreprocessing, ImagePreprocessing, Manifest
from model_store.store import ModelStore, Version
from services.embedder.device import Device
from services.embedder.errors import ModelRefused, WrongKind

# A loaded graph takes its weights once as published and about once more as packed by the runtime.
MEMORY_FACTOR: Final = 2.0
_PATCH_PIXELS: Final = 14 * 14
_RECORD_BYTES: Final = 4_096

Content = bytes | Mapping[str, object]


@dataclass(eq=False, slots=True, kw_only=True)
class LoadedSpace:
    """One loaded version: a lane of the engines.

    encoder: shared by many workers, each run on its own few threads.
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
        """Cost of one input, known before it is decoded, in patches of 14 × 14 pixels; of a record, 1."""
        match self.manifest.preprocessing:
            case ImagePreprocessing(height=height, width=width):
                return math.ceil(height * width / _PATCH_PIXELS)
            case _:
                return 1

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
        wants_picture = isinstance(self.manifest.preprocessing, ImagePreprocessing)
        if isinstance(content, bytes) == wants_picture:
            return
        kinds = ("a picture", "an attribute record")
        given, taken = kinds[::-1] if wants_picture else kinds
        raise WrongKind(f"the input is {given}, {self.version} takes {taken}")


def check_embeddable(version: Version) -> None:
    """Raises ModelRefused: for a version that is not a graph over pictures or attributes."""
    manifest = version.manifest
    if manifest.kind != "graph" or not isinstance(
        manifest.preprocessing, ImagePreprocessing | AttributePreprocessing
    ):
        raise ModelRefused(
            f"{version} is of kind {manifest.kind} and takes {manifest.preprocessing.kind} inputs; "
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

    def load(self, version: Version, memory_bytes: int) -> LoadedSpace:
        """A verified, warm space of one of the `sizes`. Raises what `inference.loading.load_model` raises."""
        model = load_model(self.store, version, session=self.requested, stamps=self.stamps)
        lone = self._lone(model) if memory_bytes > self.sizes(version.manifest)[-1] else None
        return LoadedSpace(
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
