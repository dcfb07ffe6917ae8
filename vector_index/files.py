"""Segments on disk: a cache that saves building graphs at the next start, never a source of truth.

Each segment is `<name>.hnsw` (hnswlib's own format) and `<name>.json`, its sidecar, with the sha256 and every
number that a reader must agree with; the name is the beginning of the hash. The sidecar is renamed
into place last, so a graph without one was never finished. hnswlib's `load_index` checks nothing and
overflows on a crafted file (#673): a graph is loaded only after its hash was verified.

`save_index` holds the GIL, so a large segment is written by a spawned child that builds its own graph
over the same rows: `python -m vector_index.files DIRECTORY M EF_CONSTRUCTION`.
"""

import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import hnswlib
import numpy as np

from model_store.durable import hash_file, rename
from vector_index.errors import DamagedFile
from vector_index.rows import Rows
from vector_index.segment import EF_SEARCH, HNSW_SPACE, GraphSettings, Segment, build_graph

SCHEMA_VERSION = 1
LARGE_BYTES = 64 << 20
_GRAPH, _SIDECAR, _STAGING = ".hnsw", ".json", ".staging-"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """What a graph's file must agree with."""

    schema_version: int
    sha256: str
    size: int
    space: str
    metric: str
    dimension: int
    M: int
    ef_construction: int
    count: int
    revision: int


class SegmentDirectory:
    """The files of an index, which a single process writes; `space` is the identity of the vectors' space."""

    def __init__(self, path: Path, *, space: str, dimension: int, graph: GraphSettings | None = None) -> None:
        self._path = path
        self._space = space
        self._dimension = dimension
        self._graph = graph or GraphSettings()
        self._names: dict[Segment, str] = {}
        self._stopped = threading.Event()

    def load(self) -> list[Segment]:
        """Every segment whose files are whole, newest first; logs and removes damaged and foreign files."""
        self._names = {}
        for path in self._sidecars():
            try:
                self._names[self._read(path)] = path.stem
            except DamagedFile as error:
                log.warning("segment file refused", extra={"problem": str(error)})
        self._clean()
        return list(self._names)

    def save(self, segments: Sequence[Segment], revision: int) -> None:
        """Make the directory hold exactly these segments. Raises OSError: if a file cannot be written."""
        self._path.mkdir(parents=True, exist_ok=True)
        kept = {segment: name for segment, name in self._names.items() if segment in segments}
        for segment in segments:
            if self._stopped.is_set():
                return
            if segment not in kept:
                kept[segment] = self._write(segment, revision)
        self._names = kept
        self._clean()

    def stop(self) -> None:
        """Abandon what is being written."""
        self._stopped.set()

    def _sidecars(self) -> list[Path]:
        def revision(path: Path) -> int:
            try:
                return int(json.loads(path.read_bytes())["revision"])
            except (OSError, ValueError, KeyError, TypeError):
                return 0

        return sorted(self._path.glob(f"*{_SIDECAR}"), key=revision, reverse=True)

    def _read(self, path: Path) -> Segment:
        sidecar = self._sidecar(path)
        file = path.with_suffix(_GRAPH)
        try:
            size, digest = file.stat().st_size, hash_file(file)
        except FileNotFoundError as error:
            raise DamagedFile(f"{file.name} is missing") from error
        except OSError as error:
            raise DamagedFile(f"{file.name} cannot be read: {error.strerror}") from error
        if size != sidecar.size:
            raise DamagedFile(f"{file.name} has {size} bytes, its sidecar says {sidecar.size}")
        if digest != sidecar.sha256:
            raise DamagedFile(f"{file.name} is not what was written: its hash differs")
        return _load(file, sidecar)

    def _sidecar(self, path: Path) -> Sidecar:
        try:
            sidecar = Sidecar(**json.loads(path.read_bytes()))
        except (OSError, ValueError, TypeError) as error:
            raise DamagedFile(f"{path.name} is not a sidecar") from error
        for name, wanted in self._expected().items():
            stated = getattr(sidecar, name)
            if stated != wanted:
                raise DamagedFile(f"{path.name} has {name} {stated!r}, this index {wanted!r}")
        return sidecar

    def _expected(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "space": self._space,
            "metric": "cosine",
            "dimension": self._dimension,
            "M": self._graph.M,
            "ef_construction": self._graph.ef_construction,
        }

    def _write(self, segment: Segment, revision: int) -> str:
        staging = self._path / f"{_STAGING}{uuid.uuid4().hex}"
        staging.mkdir()
        try:
            graph = staging / f"graph{_GRAPH}"
            if segment.rows.vector_ND.nbytes > LARGE_BYTES:
                self._write_in_child(segment.rows, staging)
            else:
                _save(segment.graph, graph)
            digest, size = hash_file(graph), graph.stat().st_size
            fields = self._expected() | {"sha256": digest, "size": size, "count": len(segment)}
            sidecar = Sidecar(revision=revision, **fields)
            name = sidecar.sha256[:32]
            rename(graph, self._path / f"{name}{_GRAPH}")
            text = staging / f"graph{_SIDECAR}"
            text.write_text(json.dumps(asdict(sidecar), indent=2, sort_keys=True) + "\n")
            rename(text, self._path / f"{name}{_SIDECAR}")
            return name
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _write_in_child(self, rows: Rows, staging: Path) -> None:
        np.save(staging / "labels.npy", rows.labels)
        np.save(staging / "rows.npy", rows.vector_ND)
        command = [sys.executable, "-m", "vector_index.files", str(staging)]
        command += [str(self._graph.M), str(self._graph.ef_construction)]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as child:
            while child.poll() is None:
                if self._stopped.wait(0.1):
                    child.kill()
        if child.returncode:
            raise OSError(0, f"the child that writes a segment ended with {child.returncode}")

    def _clean(self) -> None:
        if not self._path.is_dir():
            return
        known = {f"{name}{suffix}" for name in self._names.values() for suffix in (_GRAPH, _SIDECAR)}
        for path in self._path.iterdir():
            if path.name.startswith(_STAGING):
                shutil.rmtree(path, ignore_errors=True)
            elif path.suffix in (_GRAPH, _SIDECAR) and path.name not in known:
                path.unlink(missing_ok=True)


def _load(file: Path, sidecar: Sidecar) -> Segment:
    """The segment in a file whose hash is right."""
    graph = hnswlib.Index(space=HNSW_SPACE, dim=sidecar.dimension)
    try:
        graph.load_index(str(file))
        # Loading resets it.
        graph.set_ef(EF_SEARCH)
        labels = np.sort(np.asarray(graph.get_ids_list(), dtype=np.int64))
        vector_ND = np.asarray(graph.get_items(labels), dtype=np.float32)
    except RuntimeError as error:
        raise DamagedFile(f"{file.name} is refused by hnswlib") from error
    if len(labels) != sidecar.count or vector_ND.shape != (sidecar.count, sidecar.dimension):
        raise DamagedFile(f"{file.name} holds {len(labels)} rows, its sidecar says {sidecar.count}")
    return Segment(Rows(labels=labels, vector_ND=vector_ND), graph)


def _save(graph: Any, path: Path) -> None:
    graph.save_index(str(path))
    written, expected = path.stat().st_size, graph.index_file_size()
    if written != expected:
        # save_index ignores a full disk.
        raise OSError(0, f"{path.name} has {written} bytes, expected {expected}")


def _child(staging: Path, settings: GraphSettings) -> None:
    os.nice(10)
    rows = Rows(labels=np.load(staging / "labels.npy"), vector_ND=np.load(staging / "rows.npy"))
    _save(build_graph(rows, settings), staging / f"graph{_GRAPH}")


if __name__ == "__main__":
    _child(Path(sys.argv[1]), GraphSettings(M=int(sys.argv[2]), ef_construction=int(sys.argv[3])))
