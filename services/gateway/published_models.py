"""What the store holds and means by each alias, and moving an alias by compare-and-swap (M-3, M-7)."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from model_store.aliases import PRODUCTION, Alias, AliasTarget
from model_store.errors import (
    AliasConflict,
    InvalidName,
    NotInStore,
    StoreError,
    StoreNotWritable,
)
from model_store.manifest import AttributePreprocessing
from model_store.names import check_name
from model_store.store import ModelStore, Version
from services.runtime.errors import Aborted, DataLoss, InvalidArgument, NotFound, ServiceError, Unimplemented

_NATIVE: Final = "ko"  # of words that the packaged encoders know; a manifest names its labels' languages
_LABELS: Final = "labels"
_CARD: Final = "card"  # what a model was measured at, and what it is not for
_MOST_HISTORY: Final = 20
_ERRORS: Final[Mapping[type[StoreError], type[ServiceError]]] = {
    AliasConflict: Aborted,
    InvalidName: InvalidArgument,
    NotInStore: NotFound,
}

T = TypeVar("T")


class PublishedModels:
    """The models of a store, read anew at each call; versions are immutable and remembered. Blocks."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._store = ModelStore.at(root)
        self._versions: dict[tuple[str, int], dict[str, Any]] = {}

    @property
    def can_change(self) -> bool:
        """Whether aliases can be moved here."""
        return self._root.is_dir() and os.access(self._root, os.W_OK)

    def models(self) -> list[dict[str, Any]]:
        """Every model with its versions and aliases. Raises ServiceError."""
        return _asked(lambda: [self._model(name) for name in self._store.names()])

    def vocabulary(self, name: str) -> dict[str, Any]:
        """The fields and words that a model's version in production knows, with what they are called.

        Raises NotFound: for a model without attributes, or without production.
        """
        version = _asked(lambda: self._store.resolve(check_name(name, "model"), PRODUCTION))
        known = version.manifest.preprocessing
        if not isinstance(known, AttributePreprocessing):
            raise NotFound(f"{version} takes no attributes")
        tables = version.manifest.metrics.get(_LABELS, {})
        fields = [
            {
                "name": field.name,
                "is_list": field.multiple,
                "words": [
                    {"word": word, "display": _display(tables, field.name, word)} for word in field.vocabulary
                ],
            }
            for field in known.fields
        ]
        return {"model": version.name, "version": version.number, "fields": fields}

    def promote(self, name: str, alias: str, number: int, expect: int) -> dict[str, Any]:
        """The alias once it means a version.

        Raises Aborted: if it does not mean `expect`. Raises NotFound. Raises Unimplemented: where the store
        is read-only.
        """

        def move() -> Alias:
            version = self._store.open(check_name(name, "model"), number)
            return self._store.aliases.move(
                name, check_name(alias, "alias"), number, version.digest, expect=expect
            )

        return _alias(self._changed(move))

    def rollback(self, name: str, alias: str, expect: int) -> dict[str, Any]:
        """The alias once it means what it meant before. Raises as `promote`."""

        def move() -> Alias:
            model, checked = check_name(name, "model"), check_name(alias, "alias")
            return self._store.aliases.rollback(model, checked, expect=expect)

        return _alias(self._changed(move))

    def _changed(self, change: Callable[[], Alias]) -> Alias:
        if not self.can_change:
            raise _read_only()
        return _asked(change)

    def _model(self, name: str) -> dict[str, Any]:
        """A model's versions and aliases; of an alias that cannot be read, what is wrong with it."""
        body: dict[str, Any] = {
            "name": name,
            "versions": [self._version(name, number) for number in self._store.numbers(name)],
            "aliases": {},
        }
        for alias in self._store.aliases.names(name):
            try:
                body["aliases"][alias] = _alias(self._store.aliases.read(name, alias))
            except StoreError as error:
                body["problem"] = str(error)
        return body

    def _version(self, name: str, number: int) -> dict[str, Any]:
        """A version's figures; of a damaged one, what is wrong with it."""
        known = self._versions.get((name, number))
        if known is None:
            try:
                known = self._versions[name, number] = _version(self._store.open(name, number))
            except StoreError as error:
                return {"version": number, "problem": str(error)}
        return known


def _asked(ask: Callable[[], T]) -> T:
    try:
        return ask()
    except StoreNotWritable:
        raise _read_only() from None
    except StoreError as error:
        kind = next((kind for known, kind in _ERRORS.items() if isinstance(error, known)), DataLoss)
        raise kind(str(error)) from error


def _read_only() -> Unimplemented:
    return Unimplemented(
        "the model store is mounted read-only here: use `atelier models promote` where it is not",
        reason="STORE_READ_ONLY",
    )


def _version(version: Version) -> dict[str, Any]:
    manifest = version.manifest
    figures = {
        name: value
        for name, value in manifest.metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    return {
        "version": version.number,
        "digest": version.digest,
        "space_id": version.space_id,
        "created_at": manifest.provenance.created_at,
        "precision": manifest.precision,
        "dimension": manifest.dimension,
        "trained": manifest.provenance.trained,
        "metrics": figures,
        "card": manifest.metrics.get(_CARD),
        "calibration": manifest.calibration.model_dump(
            include={"temperature", "uncertainty_weight", "tie_margin"}
        )
        if manifest.calibration
        else None,
    }


def _alias(state: Alias) -> dict[str, Any]:
    return {**_target(state.target), "history": [_target(each) for each in state.history[:_MOST_HISTORY]]}


def _target(target: AliasTarget) -> dict[str, Any]:
    return {"version": target.version, "digest": target.digest, "since": target.since}


def _display(tables: Any, field: str, word: str) -> dict[str, str]:
    """What a word is called, by language: itself where nothing else is known."""
    named = {language: words.get(field, {}).get(word, word) for language, words in tables.items()}
    return {_NATIVE: word, "en": word, **named}
