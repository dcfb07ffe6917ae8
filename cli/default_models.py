"""The models that come with Atelier, copied into a store that has none of their kind; needs no torch."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import defaults
from inference.child_check import check_in_child
from model_store.aliases import PRODUCTION
from model_store.durable import locked, sync_path
from model_store.store import ModelStore, Version
from model_store.transfer import copy_version

ARTWORK_MODELS: Final = ("artwork-backbone", "artwork-head")
FASHION_MODELS: Final = ("fashion-image", "fashion-attributes")
# A recommender that finds `fashion-image` alone in production takes it for a shop without attributes: the
# attribute encoder goes into production first.
_PROMOTED: Final = ("artwork-backbone", "artwork-head", "fashion-attributes", "fashion-image")
_STARTED_FILE: Final = ".defaults"

Notify = Callable[[str], None]


def packaged() -> ModelStore:
    """The store that comes with Atelier, to read from."""
    return ModelStore.at(defaults.STORE)


def publish_missing(place: Path, notify: Notify) -> list[str]:
    """Publish the packaged models of each kind of judgement that has none in production; their names.

    A kind that has a model in production belongs to the store's owner and stays untouched, unless an
    earlier call was interrupted while publishing it. Of two calls at once the second waits for the first.
    """
    place.mkdir(parents=True, exist_ok=True)
    store, started, published = ModelStore.at(place), place / _STARTED_FILE, list[str]()
    with locked(started):
        for names in (ARTWORK_MODELS, FASHION_MODELS):
            if is_missing(names, store, started):
                adopt(names, store, notify)
                published += names
    return published


def adopt(names: Sequence[str], store: ModelStore, notify: Notify) -> list[Version]:
    """Copy packaged models into a store with all checks, then make `production` mean them."""
    copies = {
        name: copy_version(packaged().resolve(name), store, check_in_child)
        for name in _PROMOTED
        if name in names
    }
    for name, version in copies.items():
        store.aliases.move(name, PRODUCTION, version.number, version.digest)
        notify(f"{version} comes with Atelier; {name}@{PRODUCTION} means it")
    return [copies[name] for name in names]


def is_missing(names: Sequence[str], store: ModelStore, started: Path) -> bool:
    """Whether to publish the models `names`; if so, that is noted in the file `started` first."""
    known = [store.aliases.find(name, PRODUCTION) is not None for name in names]
    if all(known) or (any(known) and names[0] not in started.read_text().split()):
        return False
    with started.open("a") as file:
        file.write(f"{names[0]}\n")
    sync_path(started)
    return True
