"""The store: publish, open, list, verify and find versions (M-1, M-4)."""

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_store import manifest as manifests
from model_store.aliases import PRODUCTION, AliasBook
from model_store.durable import hash_file
from model_store.errors import CorruptVersion, NotInStore, StoreError, UnsupportedSchema
from model_store.manifest import MANIFEST_FILE, FileEntry, Manifest
from model_store.names import check_file
from model_store.storage import LocalStorage, Storage

Validate = Callable[[Path, Manifest], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One published version: immutable, complete, its manifest verified."""

    name: str
    number: int
    manifest: Manifest
    digest: str
    space_id: str
    storage: Storage

    def path(self, file: str) -> Path:
        """A local path of a file of the version. Raises NotInStore: if it is gone."""
        return self.storage.fetch(self.name, self.number, file)

    def __str__(self) -> str:
        return f"{self.name}/{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A version before it is published: the fields of its manifest except `files`, and its files by role."""

    manifest: dict[str, Any]
    graph: dict[str, Path]
    golden: dict[str, Path]
    payload: dict[str, Path]


class ModelStore:
    """Versions in one storage. Reading needs no lock and no write access."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.aliases = AliasBook(storage)

    @classmethod
    def at(cls, root: Path) -> "ModelStore":
        """The store in a local directory."""
        return cls(LocalStorage(root))

    @property
    def place(self) -> str:
        """Where the store is, for messages that stay on this machine."""
        return self._storage.place

    def names(self) -> list[str]:
        """Model names, sorted. Raises NoStore: when there is none."""
        return self._storage.names()

    def numbers(self, name: str) -> list[int]:
        """Version numbers of a model, ascending."""
        return self._storage.numbers(name)

    def open(self, name: str, number: int) -> Version:
        """A version with its manifest verified; its other files are verified by `verify`.

        Raises NotInStore: when it is not there. Raises CorruptVersion: when its manifest is damaged.
        """
        try:
            data = self._storage.fetch(name, number, MANIFEST_FILE).read_bytes()
        except FileNotFoundError as error:
            raise NotInStore(f"no version {name}/{number}") from error
        manifest = manifests.decode(data, f"{name}/{number}/{MANIFEST_FILE}")
        if manifest.name != name:
            raise CorruptVersion(f"{name}/{number}/{MANIFEST_FILE} is of the model {manifest.name}")
        return Version(
            name=name,
            number=number,
            manifest=manifest,
            digest=manifest.digest,
            space_id=manifest.space_id,
            storage=self._storage,
        )

    def resolve(self, name: str, alias: str = PRODUCTION) -> Version:
        """The version that an alias means.

        Raises NotInStore: when the alias or its version is not there.
        Raises CorruptVersion: when the version is not the one that the alias was moved to.
        """
        target = self.aliases.read(name, alias).target
        version = self.open(name, target.version)
        if version.digest != target.digest:
            raise CorruptVersion(f"{version}/{MANIFEST_FILE} is not the version that {name}@{alias} means")
        return version

    def verify(self, version: Version) -> None:
        """Hash every file of a version.

        Raises CorruptVersion: naming the first file that is missing or is not what was published.
        """
        for file, entry in sorted(version.manifest.files.items()):
            try:
                actual = hash_file(version.path(file))
            except (NotInStore, FileNotFoundError) as error:
                raise CorruptVersion(f"{version}/{file} is missing") from error
            if actual != entry.sha256:
                raise CorruptVersion(f"{version}/{file} is not what was published: its hash differs")

    def readable(self, name: str) -> Iterator[Version]:
        """The versions of a model whose manifests can be read, ascending."""
        yield from self._existing((name, number) for number in self.numbers(name))

    def reachable(self) -> Iterator[Version]:
        """Versions that an alias, its last three history entries or a manifest among those name.

        An alias that is damaged or of a newer schema reaches nothing here, so that the other aliases stay
        usable; reading it by name raises. Nothing may therefore be removed by this alone.
        """
        seen: set[str] = set()
        queue: list[Version] = []
        for name in self.names():
            for alias in self.aliases.names(name):
                with suppress(NotInStore, CorruptVersion, UnsupportedSchema):
                    state = self.aliases.read(name, alias)
                    queue += self._existing((name, target.version) for target in state.reachable)
        while queue:
            version = queue.pop()
            if version.digest in seen:
                continue
            seen.add(version.digest)
            yield version
            queue += self._named_by(version)

    def find_space(self, space_id: str) -> Version:
        """The reachable version of a space. Raises NotInStore: when no alias reaches it."""
        for version in self.reachable():
            if version.space_id == space_id:
                return version
        raise NotInStore(f"no alias reaches a model of space {space_id[:12]}")

    def publishing(self, name: str) -> AbstractContextManager[None]:
        """Context manager: look for an equal version, and publish one if there is none, inside it.

        It waits while another process is in it: two that began at once would publish two equal versions.
        """
        return self._storage.publishing(name)

    def publish(self, draft: Draft, validate: Validate) -> Version:
        """Publish a draft as the next version of its model; all of it or nothing appears.

        `validate` sees the staged directory and its manifest, and raises to refuse the draft.
        """
        with self._storage.staging() as staged:
            manifest = self._stage(draft, staged)
            validate(staged, manifest)
            (staged / MANIFEST_FILE).write_bytes(manifests.encode(manifest))
            number = self._storage.commit(manifest.name, staged)
        return self.open(manifest.name, number)

    def _stage(self, draft: Draft, staged: Path) -> Manifest:
        files: dict[str, FileEntry] = {}
        for role, members in (("graph", draft.graph), ("golden", draft.golden), ("payload", draft.payload)):
            for file, source in members.items():
                target = staged / check_file(file)
                # Copied, never linked: onnx refuses external data behind a link.
                shutil.copyfile(source, target)
                files[file] = FileEntry.model_validate(
                    {"sha256": hash_file(target), "size": target.stat().st_size, "role": role}
                )
        return Manifest.model_validate({**draft.manifest, "files": files})

    def _existing(self, keys: Iterable[tuple[str, int]]) -> Iterator[Version]:
        for name, number in keys:
            try:
                yield self.open(name, number)
            except StoreError:
                # Damaged, collected or of a newer schema: not reachable here; opening it by name raises.
                continue

    def _named_by(self, version: Version) -> Iterator[Version]:
        wanted = set(version.manifest.accepts)
        if not wanted:
            return
        for name in self.names():
            for candidate in self.readable(name):
                if candidate.space_id in wanted:
                    yield candidate
