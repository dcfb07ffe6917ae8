"""Versions that the model store holds already, newest first."""

import logging
from collections.abc import Iterator
from pathlib import Path

from model_store.errors import NoStore, StoreError
from model_store.manifest import VersionReference
from model_store.store import ModelStore, Version
from trainer.errors import InvalidCheckpoint

_log = logging.getLogger(__name__)


def readable_versions(store: ModelStore, name: str) -> Iterator[Version]:
    """The versions of a model whose manifest is whole, newest first."""
    for number in reversed(store.numbers(name)):
        try:
            yield store.open(name, number)
        except StoreError:
            _log.warning("version left out: its manifest is damaged", extra={"model": f"{name}/{number}"})


def is_whole(store: ModelStore, version: Version) -> bool:
    """Whether every file of a version is what was published; publishing again mends a damaged one."""
    try:
        store.verify(version)
    except StoreError:
        return False
    return True


def find_version(store: ModelStore, name: str, space_id: str) -> Version | None:
    """The newest version of a model that has this space, also one that no alias reaches."""
    return next((version for version in readable_versions(store, name) if version.space_id == space_id), None)


def trained_against(store: ModelStore, name: str, space_id: str, checkpoint: Path) -> Version:
    """The version of a frozen model in whose space a checkpoint was trained.

    Raises InvalidCheckpoint: if the store has no version of that space, naming checkpoint, space and store.
    """
    try:
        version = find_version(store, name, space_id)
    except NoStore:
        version = None
    if version is None:
        raise InvalidCheckpoint(
            f"{checkpoint} was trained on the space {space_id[:12]}, and {store.place} has no {name} of that "
            f"space: export {name} with the settings of the training first"
        )
    return version


def reference(version: Version) -> VersionReference:
    """How another manifest names this version."""
    return VersionReference(name=version.name, version=version.number, digest=version.digest)
