"""Writes one file of each format as this build writes it: `python -m tests.golden.make`.

Run when a schema version is raised: files of the new number are added, those of older builds stay.
"""

import hashlib
import json
import shutil
import sqlite3
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from inference.vector_cache import VectorCache
from inference.vectors import file as vector_file
from model_store import manifest as manifests
from model_store.store import Draft, ModelStore
from services.recommender.catalog import database
from services.recommender.catalog.items import ItemEntry, SourceVector
from services.recommender.catalog.store import Catalog
from tests.golden.next_schema import next_schema
from trainer.loop import checkpoints
from trainer.loop.checkpoints import save_checkpoint
from vector_index import files as segments
from vector_index.files import IndexIdentity, SegmentDirectory
from vector_index.rows import new_rows
from vector_index.segment import Part, Segment

GOLDEN = Path(__file__).parent
SPACE = "a" * 64
PICTURE = b"knit"
RUNTIME = "golden/1"


def vectors() -> np.ndarray:
    """Vectors (12, 8) float32 of length 1, the same in every build."""
    vector_ND = np.sin(np.arange(96, dtype=np.float32).reshape(12, 8))
    return vector_ND / np.linalg.norm(vector_ND, axis=1, keepdims=True)


def main() -> None:
    """Write what is not there yet."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        _keep(_store(work / "this"), f"store-{manifests.SCHEMA_VERSION}")
        with next_schema():
            _keep(_next_store(work / "next"), "next-store-2")
        _keep(_catalog(work), f"catalogue-{_revision(work / 'catalogue' / database.FILE)}")
        _keep(_cache(work), f"cache-{vector_file.SCHEMA}")
        _keep(_index(work), f"index-{segments.SCHEMA_VERSION}")
        path = work / "checkpoint" / "head.pt"
        save_checkpoint(path, {"kind": "golden", "weights": {"w": torch.arange(3)}, "epoch": 4})
        _keep(path.parent, f"checkpoint-{checkpoints.SCHEMA_VERSION}")


def _keep(made: Path, name: str) -> None:
    if not (GOLDEN / name).exists():
        shutil.copytree(
            made, GOLDEN / name, ignore=shutil.ignore_patterns("*.lock", ".staging", ".lock", "lock")
        )


def _store(work: Path, **changes: object) -> Path:
    """A store with one version in production; called again, with one more."""
    work.mkdir(exist_ok=True)
    graph, golden = work / "model.onnx", work / "golden.npz"
    graph.write_bytes(b"graph")
    golden.write_bytes(b"golden")
    fields = {
        "name": "fashion-image",
        "output": "vector_BD",
        "dimension": 4,
        "norm_range": (0.999, 1.001),
        "preprocessing": {"kind": "image", "height": 8, "width": 8},
        "pixel_path": 1,
        "provenance": {"created_at": datetime(2026, 1, 2, tzinfo=UTC), "source": "test", "trained": False},
        **changes,
    }
    store = ModelStore.at(work / "store")
    version = store.publish(
        Draft(manifest=fields, graph={"model.onnx": graph}, golden={"golden.npz": golden}, payload={}),
        lambda _directory, _manifest: None,
    )
    store.aliases.move(version.name, "production", version.number, version.digest)
    return work / "store"


def _next_store(work: Path) -> Path:
    """What the next release writes: version 1 without its new fields, version 2 and an alias with them."""
    _store(work)
    alias = work / "store" / "fashion-image" / "aliases" / "production.json"
    shutil.copyfile(alias, alias.with_name("stable.json"))
    image = {"kind": "image", "height": 8, "width": 8, "sharpen": True}
    _store(work, usage="catalog", preprocessing=image)
    body = json.loads(alias.read_text()) | {"schema_version": 2, "moved_by": "a person"}
    alias.write_text(json.dumps(body, indent=2, sort_keys=True) + "\n")
    return work / "store"


def _catalog(work: Path) -> Path:
    catalog = Catalog(work / "catalogue")
    digest = hashlib.sha256(PICTURE).hexdigest()
    entry = ItemEntry(
        item_id="knit-1",
        attributes={"category": ["니트웨어"]},
        released_us=None,
        in_stock=True,
        picture_digest=digest,
        source=f"p:{digest}",
    )
    vector = SourceVector(source=entry.source, space_id=SPACE, vector_D=np.arange(1, 5, dtype=np.float32))
    catalog.upsert("fashion", [entry], new_vectors=[vector], pictures={digest: PICTURE})
    catalog.close()
    return work / "catalogue"


def _revision(path: Path) -> str:
    connection = sqlite3.connect(path)
    (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    connection.close()
    return str(revision)


def _cache(work: Path) -> Path:
    cache = VectorCache.open(work / "cache", 1 << 20, RUNTIME)
    cache.put_many({f"key-{n}": vector for n, vector in enumerate(vectors())})
    cache.close()
    return work / "cache"


def _index(work: Path) -> Path:
    identity = IndexIdentity(catalogue_id="b" * 32, space=SPACE)
    directory = SegmentDirectory(work / "index", identity=identity, dimension=8)
    rows = new_rows(np.arange(1, 13), vectors(), 8, np.arange(12, dtype=np.uint64))
    directory.keep([directory.create([Part.whole(Segment(rows=rows))])], 12)
    return work / "index"


if __name__ == "__main__":
    main()
