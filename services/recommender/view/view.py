"""The catalog of one collection at a revision, as answers need it: a pure fold of the collection's log.

A view is frozen and read by any number of threads without a lock. A later view shares with it whatever
the entries between the two left alone.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

import numpy as np

from services.recommender.catalog.items import Item
from services.recommender.catalog.log import LogEntry, Snapshot
from services.recommender.view.columns import Column
from services.recommender.view.filters import FilterMask, KnownFilters, evaluate, label_mask
from services.recommender.view.identifiers import Identifiers
from services.recommender.view.replies import Replies
from services.recommender.view.terms import IN_STOCK, LIVE, Terms, terms_of
from vector_index.protocol import Filter

_NO_NUMBER: Final = np.float64("nan")
_NO_TIME: Final = np.int64(0)
_PART: Final = 4_096
_FEW: Final = 256

ByTerm = Mapping[str, Sequence[int]]


class ShownItem(Protocol):
    """What a reply shows of an item, of what filters and groups read."""

    @property
    def attributes(self) -> Mapping[str, Any]: ...

    @property
    def in_stock(self) -> bool: ...


class ItemFormat(Protocol):
    """How replies show items."""

    def write(self, item: Item) -> bytes:
        """The bytes that show an item; they begin with `prefix` of its identifier."""
        ...

    def prefix(self, item_id: str) -> bytes:
        """How the bytes of an item begin, and those of no other identifier."""
        ...

    def read(self, reply: bytes) -> ShownItem:
        """What the bytes show."""
        ...


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CatalogView:
    """The live items of a collection by label.

    revision: of the last entry. generation: how many flips the log had until then. numbers: columns by field.
    products: a hash of each item's product; equal for items of one product. has_products: whether an item
    named a product, so that several may be of one.
    """

    format: ItemFormat
    revision: int = 0
    generation: int = 0
    identifiers: Identifiers = field(default_factory=Identifiers)
    replies: Replies = field(default_factory=Replies)
    terms: Terms = field(default_factory=Terms)
    released: Column = field(default_factory=lambda: Column.empty(_NO_TIME))
    products: Column = field(default_factory=lambda: Column.empty(_NO_TIME))
    numbers: Mapping[str, Column] = field(default_factory=dict)
    known: KnownFilters = field(default_factory=KnownFilters)
    has_products: bool = False

    @classmethod
    def of(cls, snapshot: Snapshot, format: ItemFormat) -> "CatalogView":  # noqa: A002
        """The view of a snapshot."""
        view = cls(format=format)
        # In parts, so that what is put together for a part is free again before the next.
        for start in range(0, len(snapshot.items), _PART):
            view = view._written(snapshot.items[start : start + _PART], {})
        return replace(view, revision=snapshot.revision, generation=snapshot.generation)

    def apply(self, entries: Sequence[LogEntry]) -> "CatalogView":
        """The view after the next entries of the log; entries that it reflects already change nothing."""
        entries = [entry for entry in entries if entry.revision > self.revision]
        if not entries:
            return self
        last = {entry.item_id: entry.item for entry in entries if entry.flip is None}
        old = {label: item_id for item_id in last if (label := self.label_of(item_id)) is not None}
        flips = [entry.flip.generation for entry in entries if entry.flip is not None]
        view = self._written([item for item in last.values() if item is not None], old)
        generation = flips[-1] if flips else self.generation
        return replace(view, revision=entries[-1].revision, generation=generation, known=KnownFilters())

    def __len__(self) -> int:
        return len(self.terms.labels(LIVE))

    @property
    def size(self) -> int:
        """One more than the last label of a live item."""
        live = self.terms.labels(LIVE)
        return live.max() + 1 if live else 0

    def label_of(self, item_id: str) -> int | None:
        """The label of an item; None if it does not exist."""
        prefix = self.format.prefix(item_id)
        return self.identifiers.label_of(item_id, lambda label: self.replies.begins(label, prefix))

    def labels_of(self, item_ids: Iterable[str]) -> np.ndarray:
        """Labels, int64, of the items that exist."""
        labels = [label for item_id in item_ids if (label := self.label_of(item_id)) is not None]
        return np.array(labels, dtype=np.int64)

    def live_labels(self) -> np.ndarray:
        """Labels, int64, of every live item, ascending."""
        return np.frombuffer(self.terms.labels(LIVE).to_array(), np.uint32).astype(np.int64)

    def shown(self, labels: Iterable[int]) -> list[bytes]:
        """What replies show of live items."""
        return self.replies.of_each(labels)

    def products_of(self, labels: np.ndarray) -> np.ndarray:
        """int64, one for each of some live labels: the hash of the product that it shows."""
        if len(labels) > _FEW:
            product_N: np.ndarray = self.products.values()[labels]
            return product_N
        return np.array(self.products.of_each(labels.tolist()), dtype=np.int64)

    def has_field(self, name: str) -> bool:
        """Whether some item has a value in a field."""
        return name in self.terms

    def allowed(self, conditions: Filter) -> FilterMask | None:
        """The labels that satisfy the conditions; None without any."""
        if not conditions.has_conditions:
            return None
        return self.known.masks.of(
            conditions, lambda: evaluate(conditions, self.terms, self.released, self.numbers, self.size)
        )

    def knows_mask(self, conditions: Filter) -> bool:
        """Whether `allowed` has its answer ready."""
        return not conditions.has_conditions or self.known.masks.peek(conditions) is not None

    def _written(self, items: Sequence[Item], old: Mapping[int, str]) -> "CatalogView":
        """The view with `items` written and `old` labels removed, unless an item keeps its label."""
        changes = _Changes()
        for label in old:
            changes.forget(label, self.format.read(self.replies.of(label)))
        for item in items:
            changes.write(item, self.format.write(item))
        added, removed = changes.terms()
        terms = self.terms.changed(added, removed)
        replies = self.replies.changed(changes.replies)
        numbers = {
            name: self.numbers.get(name, Column.empty(_NO_NUMBER)).changed(values)
            for name, values in changes.numbers.items()
        }
        return replace(
            self,
            identifiers=self.identifiers.added(
                changes.labels, lambda: label_mask(terms.labels(LIVE), replies.size)
            ),
            replies=replies,
            terms=terms,
            released=self.released.changed(changes.released),
            products=self.products.changed(changes.products),
            has_products=self.has_products or any(item.product_id for item in items),
            numbers={
                name: column for name, column in {**self.numbers, **numbers}.items() if column.has_values
            },
        )


class _Changes:
    """What a batch of entries changes, by label; what is written last counts."""

    def __init__(self) -> None:
        self.labels: dict[str, int] = {}
        self.replies: dict[int, bytes] = {}
        self.released: dict[int, float | None] = {}
        self.products: dict[int, float | None] = {}
        self.numbers = defaultdict[str, dict[int, float | None]](dict)
        self._before: dict[int, ShownItem] = {}
        self._added = defaultdict[str, list[int]](list)
        self._removed = defaultdict[str, list[int]](list)

    def forget(self, label: int, shown: ShownItem) -> None:
        """Remove an item, unless it is written under this label."""
        self.replies[label] = b""
        self.released[label] = self.products[label] = None
        self._before[label] = shown

    def write(self, item: Item, reply: bytes) -> None:
        label = item.label
        self.replies[label] = reply
        self.released[label] = item.released_us
        self.products[label] = hash(item.product_id or item.item_id)
        before = self._before.pop(label, None)
        if before is None:
            self.labels[item.item_id] = label
            self._add(label, terms_of(item.attributes, in_stock=item.in_stock), item.attributes)
        elif not _are_equal(before.attributes, item.attributes):
            old = terms_of(before.attributes, in_stock=before.in_stock)
            new = terms_of(item.attributes, in_stock=item.in_stock)
            self._remove(label, set(old).difference(new), before.attributes)
            self._add(label, set(new).difference(old), item.attributes)
        elif before.in_stock != item.in_stock:
            (self._added if item.in_stock else self._removed)[IN_STOCK].append(label)

    def terms(self) -> tuple[ByTerm, ByTerm]:
        """Labels to add and to remove, by term."""
        for label, shown in self._before.items():
            self._remove(label, terms_of(shown.attributes, in_stock=shown.in_stock), shown.attributes)
        return self._added, self._removed

    def _add(self, label: int, terms: Iterable[str], attributes: Mapping[str, Any]) -> None:
        for term in terms:
            self._added[term].append(label)
        for name, number in _numbers(attributes).items():
            self.numbers[name][label] = number

    def _remove(self, label: int, terms: Iterable[str], attributes: Mapping[str, Any]) -> None:
        for term in terms:
            self._removed[term].append(label)
        for name in _numbers(attributes):
            self.numbers[name][label] = None


def _are_equal(some: Mapping[str, Any], others: Mapping[str, Any]) -> bool:
    """Whether two records are the same; to Python a truth value equals a number."""
    return some == others and all(
        isinstance(value, bool) == isinstance(others[name], bool) for name, value in some.items()
    )


def _numbers(attributes: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in attributes.items() if type(value) in (float, int)}
