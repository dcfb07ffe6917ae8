"""Vectors of pictures, made by the published graph and by nothing else (A-15).

Shapes: N pictures, D vector.
"""

import logging
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from inference.encoder import Content, Encoder, Prepared, encode, open_encoder
from inference.errors import BadOutput, DeviceOutOfMemory, InferenceError, InvalidImage
from inference.loading import LoadedModel, load_model
from inference.pixels import decode_image
from inference.session import runtime_key
from inference.vector_cache import VectorCache
from model_store.manifest import ImagePreprocessing
from model_store.store import Version
from trainer.errors import InvalidData, OutOfMemory
from trainer.pictures import read_picture
from trainer.workspace import Workspace

CACHE_BYTES = 8 << 30
BATCH_SIZE = 16
_SHOWN = 20

_log = logging.getLogger(__name__)


class HalvingEncoder:
    """An encoder that puts no more pictures through at once than fit; `size` halves when memory runs out.

    What once did not fit is not tried again. As an encoder otherwise; see `inference.encoder.Encoder`.
    """

    def __init__(self, encoder: Encoder, size: int = BATCH_SIZE) -> None:
        self._encoder, self.size = encoder, size

    @property
    def model(self) -> LoadedModel:
        """The model that makes the vectors."""
        return self._encoder.model

    def decode(self, content: Content) -> Prepared:
        """One input ready to run."""
        return self._encoder.decode(content)

    def blank(self) -> Prepared:
        """An input without content."""
        return self._encoder.blank()

    def run(self, batch: Sequence[Prepared]) -> np.ndarray:
        """float32 vector_BD in the order of `batch`. Raises OutOfMemory: when one picture is too much."""
        rows: list[np.ndarray] = []
        done = 0
        while done < len(batch):
            piece = batch[done : done + self.size]
            try:
                rows.append(self._encoder.run(piece))
            except DeviceOutOfMemory as error:
                self._halve(len(piece), error)
            else:
                done += len(piece)
        return np.concatenate(rows)

    def check(self, vector_BD: np.ndarray) -> list[BadOutput | None]:
        """The fault of each vector; None for a good one."""
        return self._encoder.check(vector_BD)

    def _halve(self, count: int, error: DeviceOutOfMemory) -> None:
        if count == 1:
            raise OutOfMemory(
                f"{self.model.version} does not fit the memory with one picture at a time: {error}; "
                "a backbone of less height and width needs less"
            ) from error
        self.size = count // 2
        _log.warning(
            "out of memory: fewer pictures at once", extra={"pictures_at_once": self.size, "before": count}
        )


class DINOv2FeatureExtractor:
    """Backbone features of encoded pictures: a thin name over `inference` (A-22)."""

    def __init__(self, encoder: Encoder, cache: VectorCache | None = None) -> None:
        self._encoder = encoder
        self._cache = cache

    def extract(self, picture: bytes) -> np.ndarray:
        """float32 feature_D of one encoded picture. Raises InvalidInput: when it is not readable."""
        feature_D: np.ndarray = self.extract_batch([picture])[0]
        return feature_D

    def extract_batch(self, pictures: Sequence[bytes]) -> np.ndarray:
        """float32 feature_ND. Raises InvalidInput: for the first picture that is not readable."""
        rows = encode(self._encoder, pictures, batch_size=BATCH_SIZE, cache=self._cache)
        for row in rows:
            if isinstance(row, InferenceError):
                raise row
        return np.stack([row for row in rows if isinstance(row, np.ndarray)])


def vectors_of_files(
    paths: Sequence[Path], version: Version, space: Workspace, stage: str = "features"
) -> np.ndarray:
    """float32 vector_ND of picture files in order; each goes through the graph once, ever.

    Raises InvalidData: listing every file that cannot be encoded.
    """
    pictures = (path.read_bytes() for path in paths)
    return vectors_of_pictures(pictures, [str(path) for path in paths], version, space, stage)


def vectors_of_pictures(
    pictures: Iterable[bytes],
    names: Sequence[str],
    version: Version,
    space: Workspace,
    stage: str = "features",
) -> np.ndarray:
    """float32 vector_ND of encoded pictures in order, read one batch after another.

    Memory that runs out halves the batch (A-11). Raises InvalidData: listing every picture that cannot be
    encoded by its name. Raises OutOfMemory: when not even one picture fits.
    """
    # Fails at once where the cache cannot be written, before anything is checked and stamped there.
    (space.cache / "vectors").mkdir(parents=True, exist_ok=True)
    model = load_model(space.store, version, session=space.session, stamps=space.cache / "stamps")
    with closing(VectorCache.open(space.cache / "vectors", CACHE_BYTES, runtime_key(model.session))) as cache:
        rows = encode(
            HalvingEncoder(open_encoder(model, space.limits)),
            pictures,
            batch_size=BATCH_SIZE,
            cache=cache,
            progress=lambda done: space.progress(stage, done, len(names)),
        )
    bad = [f"{name}: {row}" for name, row in zip(names, rows, strict=True) if isinstance(row, InferenceError)]
    _refuse(bad)
    return np.stack([row for row in rows if isinstance(row, np.ndarray)]).astype(np.float32)


def check_pictures(
    paths: Sequence[Path], version: Version, space: Workspace, stage: str = "checking pictures"
) -> None:
    """Decode picture files as a model will, and forget them. Raises InvalidData: listing every bad one."""
    preprocessing = version.manifest.preprocessing
    assert isinstance(preprocessing, ImagePreprocessing)
    bad = []
    for done, path in enumerate(paths, start=1):
        try:
            decode_image(read_picture(path, space.limits), preprocessing, space.limits)
        except InvalidImage as error:
            bad.append(f"{path}: {error}")
        space.progress(stage, done, len(paths))
    _refuse(bad)


def _refuse(bad: Sequence[str]) -> None:
    if not bad:
        return
    count = "1 picture" if len(bad) == 1 else f"{len(bad)} pictures"
    more = f"\n  … and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
    raise InvalidData(f"{count} cannot be encoded\n  " + "\n  ".join(bad[:_SHOWN]) + more)
