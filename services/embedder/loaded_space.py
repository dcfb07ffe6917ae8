"""A model in memory: its encoder, what an input costs on it, and how it is loaded."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from inference.encoder import Encoder, open_encoder
from inference.errors import InvalidImage
from inference.loading import LoadedModel, load_model
from inference.pictures.header import read_header
from inference.pixels import DEFAULT_LIMITS, ImageLimits, decode_bytes
from inference.runtimes.device import CPU, SessionSettings
from inference.session import Session, open_session, runtime_key, runtime_version
from inference.signature import graph_file
from model_store.manifest import AttributePreprocessing, ImagePreprocessing, Manifest
from model_store.store import ModelStore, Version
from services.embedder.device import Device
from services.embedder.errors import ModelRefused

# A loaded graph takes its weights once as published and about once more as packed by the runtime.
MEMORY_FACTOR: Final = 2.0
_PATCH_PIXELS: Final = 14 * 14
_RECORD_BYTES: Final = 4_096

# A decoding costs its pixels, and about so many whatever its size.
_DECODE_PIXELS: Final = 50_000

Content = bytes | Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoding:
    """What decoding an input will take, by its header.

    lane: its format, whose speed is measured apart. cost: in pixels; of a record, 1.
    held_bytes: that the decoder holds meanwhile.
    """

    lane: str = "record"
    cost: int = 1
    held_bytes: int = 0


_UNREADABLE: Final = Decoding(lane="unreadable")


@dataclass(eq=False, slots=True, kw_only=True)
class LoadedSpace:
    """One loaded version: a lane of the engines.

    encoder: shared by many workers, each run on its own few threads.
    lone_encoder: the same graph on every core, for an input that has the device to itself; or None.
    memory_bytes: the estimate that it was admitted with.
    view: keeps vectors of another provider or runtime than the device's own apart in the cache; else empty.
    cost: of one input, known before it is decoded, in patches of 14 × 14 pixels; of a record, 1.
    label: name and number of the version, for the log of every call.
    held_bytes: that one decoded input holds until it is computed.
    takes_pictures: whether inputs are encoded pictures; else attribute records.
    """

    version: Version
    encoder: Encoder
    lone_encoder: Encoder | None
    memory_bytes: int
    limits: ImageLimits = DEFAULT_LIMITS
    view: str = ""
    holders: int = 0
    asked_at: float = 0.0
    space_id: str = field(init=False)
    label: str = field(init=False)
    cost: int = field(init=False, default=1)
    held_bytes: int = field(init=False, default=_RECORD_BYTES)
    takes_pictures: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.space_id, self.label = self.version.space_id, str(self.version)
        preprocessing = self.version.manifest.preprocessing
        if isinstance(preprocessing, ImagePreprocessing):
            area = preprocessing.height * preprocessing.width
            self.cost, self.held_bytes = math.ceil(area / _PATCH_PIXELS), area * 3
            self.takes_pictures = True

    def decoding(self, content: Content) -> Decoding:
        """What decoding an input will take; almost nothing for a picture that is refused by its header."""
        preprocessing = self.version.manifest.preprocessing
        if not isinstance(content, bytes) or not isinstance(preprocessing, ImagePreprocessing):
            return Decoding()
        try:
            header = read_header(content)
        except InvalidImage:
            return _UNREADABLE
        if header is None or header.pixel_count > self.limits.pixel_count:
            return _UNREADABLE
        return Decoding(
            lane=header.format,
            cost=header.pixel_count + _DECODE_PIXELS,
            held_bytes=decode_bytes(header, preprocessing),
        )

    @property
    def session(self) -> Session:
        """What runs the graph."""
        return self.encoder.model.session


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
        """A verified, warm space of one of the `sizes`. Raises RefusedModel: naming version and file."""
        model = load_model(self.store, version, session=self.requested, stamps=self.stamps)
        lone = self._lone(model) if memory_bytes > self.sizes(version.manifest)[-1] else None
        return LoadedSpace(
            version=version,
            encoder=open_encoder(model, self.limits),
            lone_encoder=None if lone is None else open_encoder(lone, self.limits),
            memory_bytes=memory_bytes,
            limits=self.limits,
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
