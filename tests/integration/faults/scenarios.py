"""What is written to a disk, a scenario for each kind of file: a state, a change, and what must hold.

After a change that failed at any operation the state before it is there, or that after it, and never another.
A change that returned is there.
"""

import hashlib
import json
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import numpy as np

from inference.vector_cache import VectorCache
from model_store.errors import StoreError
from model_store.garbage import collect
from model_store.storage import LocalStorage
from model_store.store import Draft, ModelStore
from services.recommender.catalog.items import ItemEntry, SourceVector
from services.recommender.catalog.store import Catalog
from services.recommender.errors import CatalogError
from tests.model_store.conftest import accept, manifest_fields
from vector_index.files import IndexIdentity, SegmentDirectory
from vector_index.rows import new_rows
from vector_index.segment import Part, Segment

NAME, SPACE = "fashion-image", "a" * 64
KIND = "test"


class Scenario(Protocol):
    """One change of what is below `root`.

    errors: what the change may raise beside OSError. Each is a kind of the room's own.
    """

    errors: tuple[type[Exception], ...] = ()

    def prepare(self, root: Path) -> None:
        """Write the state before the change."""

    def change(self, root: Path) -> None:
        """Change it. Raises OSError, or one of `errors`."""

    def check(self, root: Path, *, changed: bool) -> None:
        """Raise AssertionError unless a whole state is there; changed: the change returned."""


def draft(root: Path, graph: bytes) -> Draft:
    """A version whose only file is beside the root, where nothing fails."""
    folder = root.with_name("drafts")
    folder.mkdir(exist_ok=True)
    (folder / "model.onnx").write_bytes(graph)
    files = {"model.onnx": folder / "model.onnx"}
    return Draft(manifest=manifest_fields(NAME), graph=files, golden={}, payload={})


def check_store(root: Path) -> ModelStore:
    """Every version is whole, and every alias means one."""
    store = ModelStore.at(root)
    for number in store.numbers(NAME):
        store.verify(store.open(NAME, number))
    for alias in store.aliases.names(NAME):
        store.resolve(NAME, alias)
    return store


class Publish(Scenario):
    """A version published beside another, then promoted."""

    errors = (StoreError,)

    def prepare(self, root: Path) -> None:
        store = ModelStore.at(root)
        first = store.publish(draft(root, b"first"), accept)
        store.aliases.move(NAME, "production", first.number, first.digest)

    def change(self, root: Path) -> None:
        store = ModelStore.at(root)
        with store.publishing(NAME):
            second = store.publish(draft(root, b"second"), accept)
        store.aliases.move(NAME, "production", second.number, second.digest)

    def check(self, root: Path, *, changed: bool) -> None:
        store = check_store(root)
        served = store.resolve(NAME).path("model.onnx").read_bytes()
        assert served in ({b"second"} if changed else {b"first", b"second"})
        before = store.numbers(NAME)
        again = store.publish(draft(root, b"third"), accept)
        assert again.number > max(before)


class Collect(Scenario):
    """Garbage collected: two of three versions go."""

    errors = (StoreError,)

    def prepare(self, root: Path) -> None:
        store = ModelStore.at(root)
        for number in range(3):
            version = store.publish(draft(root, f"graph {number}".encode()), accept)
        store.aliases.move(NAME, "production", version.number, version.digest)

    def change(self, root: Path) -> None:
        collect(LocalStorage(root), timedelta(0))

    def check(self, root: Path, *, changed: bool) -> None:
        store = check_store(root)
        assert store.resolve(NAME).number == 3
        if changed:
            assert store.numbers(NAME) == [3]


class Cache(Scenario):
    """Vectors put into the cache: losing any costs time alone, so no failure is raised."""

    def prepare(self, root: Path) -> None:
        with closing(VectorCache.open(root / "vectors", 1 << 20, "cpu")) as cache:
            cache.put_many({"a": np.full(8, 1.0, np.float32)})

    def change(self, root: Path) -> None:
        with closing(VectorCache.open(root / "vectors", 1 << 20, "cpu")) as cache:
            cache.put_many({"b": np.full(8, 2.0, np.float32)})
            cache.get_many(["a", "b"])

    def check(self, root: Path, *, changed: bool) -> None:
        with closing(VectorCache.open(root / "vectors", 1 << 20, "cpu")) as cache:
            for key, vector_D in cache.get_many(["a", "b"]).items():
                assert vector_D.tolist() == [{"a": 1.0, "b": 2.0}[key]] * 8
            cache.put_many({"c": np.full(8, 3.0, np.float32)})
            assert list(cache.get_many(["c"])) == ["c"]


def upsert(catalog: Catalog, item_id: str, words: str) -> None:
    """An item with a picture of these words."""
    picture = words.encode()
    digest = hashlib.sha256(picture).hexdigest()
    entry = ItemEntry(
        item_id=item_id,
        attributes={"words": words},
        released_us=None,
        in_stock=True,
        picture_digest=digest,
        source=f"p:{digest}",
    )
    vector = SourceVector(source=entry.source, space_id=SPACE, vector_D=np.arange(1, 5, dtype=np.float32))
    catalog.upsert("fashion", [entry], new_vectors=[vector], pictures={digest: picture})


class CatalogWrites(Scenario):
    """A catalog opened, an item replaced, one added, one deleted, pictures collected, its log moved."""

    errors = (CatalogError,)

    def prepare(self, root: Path) -> None:
        with closing(Catalog(root)) as catalog:
            for item_id in ("kept", "replaced", "deleted"):
                upsert(catalog, item_id, f"old {item_id}")

    def change(self, root: Path) -> None:
        self.acknowledged: list[str] = []
        with closing(Catalog(root)) as catalog:
            upsert(catalog, "replaced", "new replaced")
            self.acknowledged.append("replaced")
            upsert(catalog, "added", "new added")
            self.acknowledged.append("added")
            catalog.delete("fashion", ["deleted"])
            self.acknowledged.append("deleted")
            catalog.collect_pictures(grace_s=0)
            catalog.checkpoint()

    def check(self, root: Path, *, changed: bool) -> None:
        done = {"replaced", "added", "deleted"} if changed else {*self.acknowledged}
        with closing(Catalog(root)) as catalog:
            items = catalog.find("fashion", ["kept", "replaced", "added", "deleted"])
            words = {name: item.attributes["words"] for name, item in items.items()}
            assert words["kept"] == "old kept"
            assert words["replaced"] in (
                {"new replaced"} if "replaced" in done else {"old replaced", "new replaced"}
            )
            assert words.get("added") in ({"new added"} if "added" in done else {None, "new added"})
            assert words.get("deleted") in ({None} if "deleted" in done else {None, "old deleted"})
            for item in items.values():
                assert item.picture_digest is not None
                assert catalog.pictures.read(item.picture_digest).decode() == item.attributes["words"]
            upsert(catalog, "later", "written after the failure")
            assert catalog.find("fashion", ["later"])


class Segments(Scenario):
    """A segment built beside another and kept with it."""

    def prepare(self, root: Path) -> None:
        files = self._files(root)
        files.keep([files.create([self._part(0)])], 10)

    def change(self, root: Path) -> None:
        files = self._files(root)
        present = files.load(through=20)
        files.keep([*present, files.create([self._part(1)])], 20)

    def check(self, root: Path, *, changed: bool) -> None:
        files = self._files(root)
        segments = files.load(through=20)
        whole = [self._part(seed).segment.rows.vector_ND.tolist() for seed in range(2)]
        assert [segment.rows.vector_ND.tolist() for segment in segments] in (
            [whole] if changed else [whole[:1], whole]
        )
        files.keep([*segments, files.create([self._part(2)])], 30)
        assert len(self._files(root).load(through=30)) == len(segments) + 1

    @staticmethod
    def _files(root: Path) -> SegmentDirectory:
        identity = IndexIdentity(catalogue_id="c" * 32, space="s" * 64)
        return SegmentDirectory(root / "index", identity=identity, dimension=16)

    @staticmethod
    def _part(seed: int) -> Part:
        labels = np.arange(1, 9) + 100 * seed
        vector_ND = np.random.default_rng(seed).normal(size=(8, 16)).astype(np.float32)
        return Part.whole(Segment(rows=new_rows(labels, vector_ND, 16, None)))


class Run(Scenario):
    """A run's folder: claimed, its checkpoint and its report replaced. Its modules are imported when it runs:
    torch alone takes seconds.
    """

    def prepare(self, root: Path) -> None:
        self._write(root, 1)

    def change(self, root: Path) -> None:
        self._write(root, 2)

    def check(self, root: Path, *, changed: bool) -> None:
        import torch

        from trainer.loop.checkpoints import load_checkpoint

        body = load_checkpoint(root / "last.pt", KIND)
        report = json.loads((root / "report.json").read_bytes())
        for read in (body, report):
            assert read["epoch"] in ({2} if changed else {1, 2})
        assert torch.equal(body["weights"], torch.full((1_000,), float(body["epoch"])))
        self._write(root, 3)

    @staticmethod
    def _write(root: Path, epoch: int) -> None:
        import torch

        from trainer.loop.checkpoints import save_checkpoint
        from trainer.loop.run_folder import claimed
        from trainer.reports.json_report import write_report

        with claimed(root):
            weights = torch.full((1_000,), float(epoch))
            save_checkpoint(root / "last.pt", {"kind": KIND, "epoch": epoch, "weights": weights})
            write_report(root / "report.json", {"epoch": epoch})


class Careless(Scenario):
    """A file written in place: what the other scenarios must not be, and what this suite must notice."""

    def prepare(self, root: Path) -> None:
        root.mkdir(exist_ok=True)
        (root / "file").write_bytes(b"before" * 100)

    def change(self, root: Path) -> None:
        (root / "file").write_bytes(b"after" * 100)

    def check(self, root: Path, *, changed: bool) -> None:
        assert (root / "file").read_bytes() in (
            {b"after" * 100} if changed else {b"before" * 100, b"after" * 100}
        )


SCENARIOS: dict[str, type[Scenario]] = {
    "publish": Publish,
    "collect": Collect,
    "cache": Cache,
    "catalog": CatalogWrites,
    "segments": Segments,
    "run": Run,
    "careless": Careless,
}
