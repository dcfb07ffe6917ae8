"""A shop that is written to until its recommender dies, and what it must hold afterwards.

Two collections: `fashion` has pictures and moves between two models; `bulk` has bare vectors, enough for
segments and merges. Each item's attributes and content state its version, so that an answer shows which
write it comes from.
"""

import random
from dataclasses import dataclass, field

import numpy as np
from atelier.recommender.v1 import catalog_pb2, recommender_pb2, resources_pb2
from atelier.types.v1 import types_pb2

from services.client.recommender import RecommenderClient
from services.messages.contents import read_record, write_record

DIMENSION = 64
BULK, PICTURES = "bulk", "fashion"
BULK_IDS, PICTURE_IDS = 4_000, 40
AT_ONCE = 128

Key = tuple[str, str]


@dataclass
class Written:
    """What was acknowledged, by collection and identifier: the version, None for deleted. `open`: versions
    that a call without an answer may have written."""

    versions: dict[Key, int | None] = field(default_factory=dict)
    open: dict[Key, int | None] = field(default_factory=dict)
    acknowledged: int = 0
    next_version: int = 1

    def allowed(self, key: Key) -> set[int | None]:
        """The versions that the item may have now."""
        return {self.versions.get(key)} | ({self.open[key]} if key in self.open else set())

    def begin(self, changes: dict[Key, int | None]) -> None:
        self.open.update(changes)

    def acknowledge(self, changes: dict[Key, int | None]) -> None:
        self.versions.update(changes)
        for key in changes:
            del self.open[key]
        self.acknowledged += len(changes)

    def settle(self, present: dict[Key, int]) -> None:
        """Take what is there as what was written; nothing is open any more."""
        self.versions = {key: present.get(key) for key in {*self.versions, *self.open}}
        self.open = {}


def vector_of(item_id: str, version: int) -> np.ndarray:
    """The vector of a version of an item, far from every other."""
    seed = [int(item_id[1:]), version]
    vector_D = np.random.default_rng(seed).standard_normal(DIMENSION).astype(np.float32)
    return vector_D / np.linalg.norm(vector_D)


def picture_of(item_id: str, version: int) -> bytes:
    """The picture of a version of an item; the embedder of these tests reads its words."""
    return f"knit {item_id} v{version}".encode()


class Shop:
    """Writes to both collections and checks them."""

    def __init__(self, space_id: str, seed: int) -> None:
        self.written = Written()
        self._space_id = space_id
        self._rng = random.Random(seed)

    def write_once(self, client: RecommenderClient) -> None:
        """A random write. Raises ServiceError: the recommender is gone; the write is open."""
        kind = self._rng.choices(
            (self._upsert_bulk, self._delete_bulk, self._upsert_picture, self._delete_picture, self._rebuild),
            (60, 12, 16, 8, 1),
        )[0]
        kind(client)

    def check(self, client: RecommenderClient) -> None:
        """Compare everything that is served with what was acknowledged."""
        present: dict[Key, int] = {}
        for collection in (BULK, PICTURES):
            present |= self._check_listed(client, collection)
        for key in {*self.written.versions, *self.written.open}:
            assert present.get(key) in self.written.allowed(key), (key, present.get(key))
        assert {*present} <= {*self.written.versions, *self.written.open}
        before = {key: version for key, version in self.written.versions.items() if version is not None}
        self.written.settle(present)
        self._check_searches(client, present, before)
        self._check_pictures(client, present)

    # Writing.

    def _upsert_bulk(self, client: RecommenderClient) -> None:
        names = [f"v{n}" for n in self._rng.sample(range(BULK_IDS), AT_ONCE)]
        changes = {(BULK, name): self._version() for name in names}
        self._send(changes, lambda: client.upsert_items(self._items(changes), collection=BULK, deadline_s=20))

    def _delete_bulk(self, client: RecommenderClient) -> None:
        self._delete(client, BULK, [f"v{n}" for n in self._rng.sample(range(BULK_IDS), 30)])

    def _upsert_picture(self, client: RecommenderClient) -> None:
        names = {f"p{self._rng.randrange(PICTURE_IDS)}" for _ in range(3)}
        changes = {(PICTURES, name): self._version() for name in names}
        self._send(changes, lambda: client.upsert_items(self._items(changes), deadline_s=20))

    def _delete_picture(self, client: RecommenderClient) -> None:
        self._delete(client, PICTURES, [f"p{self._rng.randrange(PICTURE_IDS)}"])

    def _rebuild(self, client: RecommenderClient) -> None:
        client.rebuild(collection=BULK, deadline_s=20)

    def _delete(self, client: RecommenderClient, collection: str, names: list[str]) -> None:
        changes: dict[Key, int | None] = {(collection, name): None for name in names}
        self._send(changes, lambda: client.delete_items(names, collection=collection, deadline_s=20))

    def _send(self, changes, call) -> None:
        self.written.begin(changes)
        call()
        self.written.acknowledge(changes)

    def _version(self) -> int:
        self.written.next_version += 1
        return self.written.next_version

    def _items(self, changes: dict[Key, int]) -> list[catalog_pb2.UpsertItem]:
        return [self._item(collection, name, version) for (collection, name), version in changes.items()]

    def _item(self, collection: str, name: str, version: int) -> catalog_pb2.UpsertItem:
        attributes = write_record({"version": version})
        if collection == PICTURES:
            picture = picture_of(name, version)
            return catalog_pb2.UpsertItem(item_id=name, image=picture, attributes=attributes)
        return catalog_pb2.UpsertItem(item_id=name, vector=self._vector(name, version), attributes=attributes)

    def _vector(self, name: str, version: int) -> types_pb2.SpaceVector:
        return types_pb2.SpaceVector(space_id=self._space_id, values=vector_of(name, version).tolist())

    # Checking.

    def _check_listed(self, client: RecommenderClient, collection: str) -> dict[Key, int]:
        """The versions of every item; nothing is listed twice, and the index counts the same."""
        items = list(client.list_items(collection=collection, page_size=1_000))
        assert len({item.item_id for item in items}) == len(items)
        assert len({item.revision for item in items}) == len(items)
        assert client.get_status(collection=collection).live_count == len(items)
        return {(collection, item.item_id): int(read_record(item.attributes)["version"]) for item in items}

    def _check_searches(
        self, client: RecommenderClient, present: dict[Key, int], before: dict[Key, int]
    ) -> None:
        """Live vectors find their item first; vectors that are gone find only live items."""
        here = sorted(key for key in present if key[0] == BULK)
        gone = sorted(key for key, version in before.items() if present.get(key) != version)
        gone = [key for key in gone if key[0] == BULK]
        for _, name in self._rng.sample(here, min(10, len(here))):
            names = self._search(client, name, present[BULK, name], present, 10)
            assert names[:1] == [name]
        for key in self._rng.sample(gone, min(10, len(gone))):
            self._search(client, key[1], before[key], present, 10)
        if here:
            name = here[0][1]
            assert len(self._search(client, name, present[here[0]], present, 1_000)) == min(1_000, len(here))

    def _search(
        self, client: RecommenderClient, name: str, version: int, present: dict[Key, int], count: int
    ) -> list[str]:
        request = recommender_pb2.RecommendRequest(
            collection=BULK, vector=self._vector(name, version), item_count=count
        )
        results = client.recommend(request, deadline_s=20).recommendations
        names = [result.item.item_id for result in results]
        assert len(set(names)) == len(names)
        for result in results:
            shown = int(read_record(result.item.attributes)["version"])
            assert present.get((BULK, result.item.item_id)) == shown
            similarity = float(vector_of(name, version) @ vector_of(result.item.item_id, shown))
            assert abs(similarity - result.similarity) < 1e-4, result.item.item_id
        return names

    def _check_pictures(self, client: RecommenderClient, present: dict[Key, int]) -> None:
        """Every picture is whole, and its item can be asked about."""
        names = sorted(name for collection, name in present if collection == PICTURES)
        for name in names:
            reply = client.get_item(name, include_picture=True)
            assert reply.picture == picture_of(name, present[PICTURES, name])
        for name in names[:5]:
            request = recommender_pb2.RecommendRequest(items=resources_pb2.ItemIds(item_ids=[name]))
            results = client.recommend(request, deadline_s=20).recommendations
            assert {result.item.item_id for result in results} <= {*names} - {name}
