"""Segments on disk: a cache that saves building graphs at the next start, never a source of truth.

A segment is `<name>.hnsw`, a graph in hnswlib's own format, and `<name>.contents`, the digests of what its
rows were made from; the name is the beginning of the graph's sha256. `manifest.json` names the segments of an
index, with the hash of every file: it is replaced as a whole, last, so that what it names is there. Files are
mapped only after their hashes were verified, and are never written again.
"""

import logging
import mmap
import re
import shutil
import threading
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from model_store.durable import checkpoint, hash_file, rename, write_bytes
from vector_index.building import build_graph, live_rows
from vector_index.errors import DamagedFile
from vector_index.native import MappedGraph
from vector_index.rows import Rows
from vector_index.segment import GraphSettings, Part, Segment

SCHEMA_VERSION: Final = 2
MANIFEST: Final = "manifest.json"
_LARGEST_MANIFEST: Final = 1 << 20
_GRAPH, _CONTENTS, _STAGING = ".hnsw", ".contents", ".staging-"
_NAME: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)

log = logging.getLogger(__name__)


class _File(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    name: str = Field(pattern=f"^{_NAME.pattern}$")
    rows: int = Field(ge=1)
    size: int = Field(ge=0)
    sha256: str
    contents_sha256: str


class SegmentManifest(BaseModel):
    """What the files of an index are, and what a reader must agree with."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    schema_version: int
    catalogue_id: str
    space: str
    generation: int
    through_revision: int = Field(ge=0)
    metric: str
    dimension: int
    M: int
    ef_construction: int
    segments: tuple[_File, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexIdentity:
    """Whose rows an index holds: files of another catalogue or space are not read."""

    catalogue_id: str
    space: str


class SegmentDirectory:
    """The files of an index, which a single process writes.

    generation: how often the collection changed its space; it is noted in the manifest.
    """

    def __init__(
        self,
        path: Path,
        *,
        identity: IndexIdentity,
        dimension: int,
        graph: GraphSettings | None = None,
        generation: int = 0,
    ) -> None:
        self.dimension = dimension
        self.generation = generation
        self._path = path
        self._identity = identity
        self._graph = graph or GraphSettings()
        self._files: dict[str, _File] = {}
        # Created by one thread while another keeps: not in a manifest yet, and not to be removed.
        self._unkept: set[str] = set()
        self._building: set[str] = set()
        self._stopped = threading.Event()
        self._digest = ""

    @property
    def manifest_digest(self) -> str:
        """sha256 of the manifest as it was last read or written; '' without one."""
        return self._digest

    def load(self, *, through: int) -> list[Segment]:
        """The segments that the manifest names and whose files are whole; logs and removes the others.

        through: the catalog's revision; files that are ahead of it belong to another history and are not
        read.
        """
        segments = []
        self._files, self._digest = {}, ""
        self._unkept.clear()
        try:
            manifest = self._read_manifest(through)
        except DamagedFile as error:
            log.warning("segment files refused", extra={"problem": str(error)})
        else:
            for file in manifest.segments if manifest else ():
                try:
                    segments.append(self._open(file))
                except DamagedFile as error:
                    log.warning("segment file refused", extra={"problem": str(error)})
        self._clean()
        return segments

    def create(self, parts: Sequence[Part]) -> Segment:
        """Build one graph over the live rows of some parts, of which there is at least one; its file is kept.

        Raises Stopped: if the index closes. Raises OSError: if the file cannot be written.
        """
        return self.create_of(live_rows(parts))

    def create_of(self, pieces: Iterable[Rows]) -> Segment:
        """As `create`, of rows that come a few at a time in the order of their labels."""
        self._path.mkdir(parents=True, exist_ok=True)
        staging = self._path / f"{_STAGING}{uuid.uuid4().hex}"
        self._building.add(staging.name)
        staging.mkdir()
        try:
            checkpoint("segment begun")
            graph, contents = build_graph(pieces, staging, self._graph, self._stopped)
            checkpoint("segment built")
            return self._open(self._publish(graph, contents))
        except DamagedFile as error:
            raise OSError(0, f"a segment was not written as it was built: {error}") from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)
            self._building.discard(staging.name)

    def keep(self, segments: Sequence[Segment], revision: int) -> None:
        """Make the manifest name exactly these segments, then remove the files of others. Raises OSError."""
        self._path.mkdir(parents=True, exist_ok=True)
        manifest = SegmentManifest(
            **self._expected(),
            generation=self.generation,
            through_revision=revision,
            segments=tuple(self._files[segment.name] for segment in segments),
        )
        data = manifest.model_dump_json(indent=2).encode()
        checkpoint("before manifest")
        write_bytes(self._path / MANIFEST, data)
        checkpoint("after manifest")
        self._digest = hash_file(self._path / MANIFEST)
        names = {segment.name for segment in segments}
        self._unkept -= names
        self._files = {name: file for name, file in self._files.items() if name in names | self._unkept}
        self._clean()

    def discard(self, segment: Segment) -> None:
        """Forget a created segment that no view holds; its files go with the next `keep`."""
        self._unkept.discard(segment.name)

    def stop(self) -> None:
        """Abandon what is being built."""
        self._stopped.set()

    def _expected(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "catalogue_id": self._identity.catalogue_id,
            "space": self._identity.space,
            "metric": "cosine",
            "dimension": self.dimension,
            "M": self._graph.M,
            "ef_construction": self._graph.ef_construction,
        }

    def _read_manifest(self, through: int) -> SegmentManifest | None:
        path = self._path / MANIFEST
        try:
            if not path.exists():
                return None
            if path.stat().st_size > _LARGEST_MANIFEST:
                raise DamagedFile(f"{MANIFEST} is larger than {_LARGEST_MANIFEST} bytes")
            manifest = SegmentManifest.model_validate_json(path.read_bytes())
            self._digest = hash_file(path)
        except OSError as error:
            raise DamagedFile(f"{MANIFEST} cannot be read: {error.strerror}") from error
        except ValidationError as error:
            raise DamagedFile(f"{MANIFEST} is not a manifest: {error.errors()[0]['msg']}") from error
        for name, wanted in self._expected().items():
            stated = getattr(manifest, name)
            if stated != wanted:
                raise DamagedFile(f"{MANIFEST} has {name} {stated!r}, this index {wanted!r}")
        if manifest.through_revision > through:
            raise DamagedFile(
                f"{MANIFEST} goes through revision {manifest.through_revision}, the catalog through {through}"
            )
        return manifest

    def _publish(self, graph: Path, contents_N: np.ndarray) -> _File:
        """Move finished files to their names."""
        digest = hash_file(graph)
        contents = graph.with_suffix(_CONTENTS)
        contents.write_bytes(contents_N.astype("<u8").tobytes())
        file = _File(
            name=digest[:32],
            rows=len(contents_N),
            size=graph.stat().st_size,
            sha256=digest,
            contents_sha256=hash_file(contents),
        )
        self._unkept.add(file.name)
        self._files[file.name] = file
        rename(contents, self._path / f"{file.name}{_CONTENTS}")
        checkpoint("before segment rename")
        rename(graph, self._path / f"{file.name}{_GRAPH}")
        return file

    def _open(self, file: _File) -> Segment:
        """The segment of files whose hashes are right. Raises DamagedFile."""
        graph_path = self._path / f"{file.name}{_GRAPH}"
        contents_path = self._path / f"{file.name}{_CONTENTS}"
        try:
            size = graph_path.stat().st_size
            if size != file.size:
                raise DamagedFile(f"{graph_path.name} has {size} bytes, the manifest says {file.size}")
            _verify(graph_path, file.sha256)
            _verify(contents_path, file.contents_sha256)
            contents = np.fromfile(contents_path, "<u8")
            data = _mapped(graph_path)
        except OSError as error:
            raise DamagedFile(f"segment {file.name[:8]} cannot be read: {error.strerror}") from error
        graph = MappedGraph(data, self.dimension)
        if not len(graph.labels) == len(contents) == file.rows:
            raise DamagedFile(
                f"segment {file.name[:8]} holds {len(graph.labels)} rows and {len(contents)} contents, "
                f"the manifest says {file.rows}"
            )
        self._files[file.name] = file
        rows = Rows(labels=graph.labels, vector_ND=graph.vector_ND, contents=contents)
        return Segment(rows=rows, graph=graph, name=file.name)

    def _clean(self) -> None:
        if not self._path.is_dir():
            return
        known = {f"{name}{suffix}" for name in self._files for suffix in (_GRAPH, _CONTENTS)} | {MANIFEST}
        for path in self._path.iterdir():
            if path.name not in known and path.name not in self._building:
                _remove(path)


def _verify(path: Path, sha256: str) -> None:
    if hash_file(path) != sha256:
        raise DamagedFile(f"{path.name} is not what was written: its hash differs")


def _mapped(path: Path) -> np.ndarray:
    with path.open("rb") as stream:
        return np.frombuffer(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
