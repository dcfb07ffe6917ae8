"""Files of earlier builds are read; those of later builds are refused naming both versions (S-10)."""

import json
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
import torch

from inference.vector_cache import VectorCache
from inference.vectors import file as vector_file
from model_store import manifest as manifests
from model_store.errors import UnsupportedSchema
from model_store.store import ModelStore
from services.recommender.catalog.store import Catalog
from services.recommender.errors import NewerSchema
from tests.golden.make import GOLDEN, PICTURE, RUNTIME, SPACE, vectors
from trainer.errors import InvalidCheckpoint
from trainer.loop.checkpoints import load_checkpoint
from vector_index.files import MANIFEST, IndexIdentity, SegmentDirectory


def copies(kind: str) -> list[Path]:
    """The golden folders of a kind, one for each schema that a build ever wrote."""
    found = sorted(GOLDEN.glob(f"{kind}-*"))
    assert found, kind
    return found


def names(kind: str) -> list[str]:
    return [path.name for path in copies(kind)]


@pytest.fixture
def copied(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A copy of a golden folder to read, and to damage."""
    return Path(shutil.copytree(GOLDEN / request.param, tmp_path / "copy"))


@pytest.mark.parametrize("copied", names("store"), indirect=True)
def test_a_store(copied: Path) -> None:
    """Every kept manifest and alias is read; a newer one is refused naming both (S-10)."""
    store = ModelStore.at(copied)
    store.verify(store.resolve("fashion-image"))
    assert manifests.SCHEMA_VERSION == 1, "keep the store that schema 1 wrote, and add the new one"

    alias = copied / "fashion-image" / "aliases" / "production.json"
    alias.write_text(json.dumps(json.loads(alias.read_text()) | {"schema_version": 2}))
    with pytest.raises(UnsupportedSchema, match=r"schema version 2, this build reads 1"):
        store.resolve("fashion-image")
    manifest = copied / "fashion-image" / "1" / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"schema_version": 2}))
    with pytest.raises(UnsupportedSchema, match=r"schema version 2, this build reads 1"):
        store.open("fashion-image", 1)


@pytest.mark.parametrize("copied", names("catalogue"), indirect=True)
def test_a_catalog(copied: Path) -> None:
    """Items, attributes, pictures and vectors of every schema are there after migration; a newer schema is
    refused naming both (S-10)."""
    catalog = Catalog(copied)
    item = catalog.find("fashion", ["knit-1"])["knit-1"]
    assert item.attributes == {"category": ["니트웨어"]}
    assert catalog.pictures.read(item.picture_digest) == PICTURE
    vector_D = catalog.vectors_of([f"p:{item.picture_digest}"], SPACE)[f"p:{item.picture_digest}"]
    assert vector_D.tolist() == [1, 2, 3, 4]
    catalog.close()

    with sqlite3.connect(copied / "catalogue.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(NewerSchema, match=r"schema 9999, this build reads up to \w+"):
        Catalog(copied)


@pytest.mark.parametrize("copied", names("cache"), indirect=True)
def test_a_cache(copied: Path) -> None:
    """Vectors of this schema are read bit by bit; a cache of another schema is started anew (S-10)."""
    wanted = {f"key-{n}": vector for n, vector in enumerate(vectors())}
    cache = VectorCache.open(copied, 1 << 20, RUNTIME)
    found = cache.get_many(wanted)
    cache.close()
    if copied.name.endswith(str(vector_file.SCHEMA)) or found:
        assert found.keys() == wanted.keys()
        assert all(np.array_equal(found[key], wanted[key]) for key in wanted)

    connection = sqlite3.connect(copied / "vectors.sqlite")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    cache = VectorCache.open(copied, 1 << 20, RUNTIME)
    assert cache.get_many(wanted) == {}
    cache.put_many(wanted)
    assert cache.get_many(wanted).keys() == wanted.keys()
    cache.close()


@pytest.mark.parametrize("copied", names("index"), indirect=True)
def test_an_index(copied: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Segments of this schema are loaded; those of another schema are removed, to be built again (S-10)."""
    directory = SegmentDirectory(
        copied, identity=IndexIdentity(catalogue_id="b" * 32, space=SPACE), dimension=8
    )
    manifest = copied / MANIFEST
    if manifest.exists():
        (segment,) = directory.load(through=12)
        assert caplog.records == []
        assert segment.rows.labels.tolist() == list(range(1, 13))
        assert segment.rows.contents.tolist() == list(range(12))
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"schema_version": 99}))
        assert directory.load(through=12) == []
        assert "99" in vars(caplog.records[0])["problem"]
    else:
        # Before schema 2 each segment had a sidecar.
        assert directory.load(through=12) == []
    assert not list(copied.glob("*.hnsw"))


@pytest.mark.parametrize("copied", names("checkpoint"), indirect=True)
def test_a_checkpoint(copied: Path) -> None:
    """Weights of this schema are loaded; another is refused naming both (S-10)."""
    body = load_checkpoint(copied / "head.pt", "golden")
    assert torch.equal(body["weights"]["w"], torch.arange(3))

    torch.save(body | {"schema_version": 99}, copied / "head.pt")
    with pytest.raises(InvalidCheckpoint, match="schema version 99, this build reads 1"):
        load_checkpoint(copied / "head.pt", "golden")
