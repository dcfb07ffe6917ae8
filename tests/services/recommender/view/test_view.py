"""The view is a pure fold of the log: however the entries come, it equals a plain dict of the items."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.recommender.view.identifiers import Identifiers
from services.recommender.view.view import CatalogView
from services.recommender.wire.items import MESSAGES
from tests.services.recommender.view.histories import IDS, WORDS, History, histories, stock
from vector_index.protocol import Filter, Range, field_ranges, field_words


def shown(view):
    """Everything that a view answers about every item."""
    return {
        item_id: (label, view.replies.of(label), view.released.value(label) or 0, view.products.value(label))
        for item_id in IDS
        if (label := view.label_of(item_id)) is not None
    }


def terms(view):
    """The labels of every term."""
    return {term: sorted(view.terms.labels(term)) for shard in view.terms.shards for term in shard}


def numbers(view):
    """The numbers of every field, by label."""
    return {
        name: {label: column.value(label) for label in range(view.size) if column.value(label) is not None}
        for name, column in view.numbers.items()
    }


def expected(history):
    return {
        item_id: (
            item.label,
            MESSAGES.write(item),
            item.released_us,
            hash(item.product_id or item.item_id),
        )
        for item_id, item in history.items.items()
    }


def folded(entries, size):
    view = CatalogView(format=MESSAGES)
    for start in range(0, len(entries), size):
        view = view.apply(entries[start : start + size])
    return view


@settings(max_examples=60)
@given(history=histories(), size=st.integers(2, 7))
@pytest.mark.slow
def test_however_the_log_is_folded_the_view_equals_the_items(history: History, size: int) -> None:
    """Entry by entry, in batches, all at once or from a snapshot: the same view (R-4)."""
    views = [
        folded(history.entries, 1),
        folded(history.entries, size),
        folded(history.entries, max(1, len(history.entries))),
        CatalogView.of(history.snapshot(), MESSAGES),
    ]

    for view in views:
        assert shown(view) == expected(history)
        assert len(view) == len(history.items)
        assert (view.revision, view.generation) == (history.revision, history.generation)
        assert terms(view) == terms(views[0])
        assert numbers(view) == numbers(views[0])


@settings(max_examples=30)
@given(history=histories(), cut=st.integers(0, 25))
def test_entries_that_are_known_already_change_nothing(history: History, cut: int) -> None:
    """Replaying the whole log over a view of a part of it gives the view of the whole."""
    view = folded(history.entries[:cut], 3)

    again = view.apply(history.entries)

    assert shown(again) == expected(history)
    assert again.apply(history.entries) is again


@settings(max_examples=30)
@given(history=histories(), cut=st.integers(0, 25))
def test_a_view_stays_as_it_was(history: History, cut: int) -> None:
    """Later entries change nothing that an earlier view answers."""
    before = folded(history.entries[:cut], 2)
    kept = (shown(before), terms(before), numbers(before), before.revision)

    before.apply(history.entries)

    assert (shown(before), terms(before), numbers(before), before.revision) == kept


word_conditions = st.dictionaries(
    st.sampled_from(["colour", "style", "price"]),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=3),
    max_size=2,
).map(field_words)
ranges = st.builds(
    Range,
    at_least=st.none() | st.integers(-3, 3),
    at_most=st.none() | st.integers(-3, 3),
    above=st.none() | st.floats(-3, 3),
    below=st.none() | st.floats(-3, 3),
)
filters = st.builds(
    Filter,
    any_of=word_conditions,
    none_of=word_conditions,
    ranges=st.dictionaries(st.sampled_from(["price", "length"]), ranges, max_size=2).map(field_ranges),
    missing=st.lists(st.sampled_from(["style", "organic"]), max_size=1).map(tuple),
    in_stock=st.sampled_from([None, True, False]),
    released=st.none()
    | st.builds(Range, at_least=st.sampled_from([None, 0]), below=st.sampled_from([None, 86_400_000_000])),
)


def satisfies(item, conditions):
    """Brute force: what each condition means, said with plain values."""
    record = item.attributes
    words = {
        name: {word for word in (value if isinstance(value, list) else [value]) if isinstance(word, str)}
        for name, value in record.items()
    }
    return (
        all(words.get(name, set()) & set(wanted) for name, wanted in conditions.any_of)
        and not any(words.get(name, set()) & set(refused) for name, refused in conditions.none_of)
        and all(_within(record.get(name), within) for name, within in conditions.ranges)
        and all(record.get(name) in (None, "", []) for name in conditions.missing)
        and (conditions.in_stock is None or item.in_stock == conditions.in_stock)
        and (conditions.released is None or _within(item.released_us, conditions.released))
    )


def _within(value, within):
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return (
        (within.at_least is None or value >= within.at_least)
        and (within.at_most is None or value <= within.at_most)
        and (within.above is None or value > within.above)
        and (within.below is None or value < within.below)
    )


@settings(max_examples=150)
@given(history=histories(), conditions=filters)
@pytest.mark.slow
def test_filters_equal_brute_force(history: History, conditions: Filter) -> None:
    """The mask holds the labels of exactly the items that satisfy every condition (R-3)."""
    view = folded(history.entries, 4)

    mask = view.allowed(conditions)

    wanted = sorted(item.label for item in history.items.values() if satisfies(item, conditions))
    if mask is None:
        assert not conditions.has_conditions
    else:
        assert np.flatnonzero(mask.allowed_L).tolist() == wanted
        assert mask.count == len(wanted)


@pytest.mark.slow
def test_equal_hashes_are_told_apart_by_what_the_labels_show() -> None:
    """Where every identifier has the same hash, each still has its own label, also after thousands."""
    history = stock(2_600)
    view = CatalogView(format=MESSAGES, identifiers=Identifiers(hashed=lambda item_id: 7))
    for start in range(0, 2_600, 1_300):
        view = view.apply(history.entries[start : start + 1_300])

    assert view.label_of("sku-000004") == 5
    assert view.label_of("sku-002599") == 2_600
    assert view.label_of("sku-9") is None
    assert len(view.identifiers.hashes) >= 1_300


def test_an_identifier_is_no_prefix_of_another() -> None:
    """Of `a` and `ab` each finds its own item alone."""
    history = History()
    history.write("ab", {}, 0, True, "", keeps_label=False)
    view = folded(history.entries, 1)

    assert view.label_of("a") is None
    assert view.label_of("ab") == history.items["ab"].label


def test_a_deleted_item_comes_back_under_its_new_label() -> None:
    """The old label shows nothing, whatever the sorted hashes still hold."""
    history = stock(3_000)
    view = CatalogView.of(history.snapshot(), MESSAGES)
    history.delete("sku-000003")
    gone = view.apply(history.entries[-1:])
    history.write("sku-000003", {}, 0, True, "", keeps_label=False)
    back = gone.apply(history.entries[-1:])

    assert (view.label_of("sku-000003"), gone.label_of("sku-000003")) == (4, None)
    assert back.label_of("sku-000003") == 3_001
    assert gone.shown([4]) == [b""]


def test_fields_are_known_while_some_item_has_them() -> None:
    """A field goes with the last item that has a value in it."""
    history = History()
    history.write("a", {"hem": "wide", "width": 3, "empty": []}, 0, True, "", keeps_label=False)
    view = folded(history.entries, 1)
    history.write("a", {}, 0, True, "", keeps_label=True)
    after = view.apply(history.entries[-1:])

    assert [view.has_field(name) for name in ("hem", "width", "empty")] == [True, True, False]
    assert not after.has_field("hem")
    assert not after.numbers


def test_a_truth_value_that_becomes_a_number_is_found_as_one() -> None:
    """To Python `True` equals 1, to a filter only 1 is a number."""
    history, wanted = History(), Filter(ranges=(("organic", Range(at_least=1)),))
    history.write("a", {"organic": True}, 0, True, "", keeps_label=False)
    view = folded(history.entries, 1)
    history.write("a", {"organic": 1}, 0, True, "", keeps_label=True)

    assert view.allowed(wanted).count == 0
    assert view.apply(history.entries[-1:]).allowed(wanted).count == 1


def test_masks_are_kept_for_filters_that_come_again() -> None:
    """The second call of a filter computes nothing; a later view begins anew."""
    history = stock(10)
    view = CatalogView.of(history.snapshot(), MESSAGES)
    conditions = Filter(in_stock=True)

    mask = view.allowed(conditions)

    assert view.knows_mask(conditions)
    assert view.allowed(Filter(in_stock=True)) is mask
    history.delete("sku-000000")
    assert not view.apply(history.entries[-1:]).knows_mask(conditions)


def test_a_write_copies_only_what_it_changes() -> None:
    """An edit of stock shares every column, every other page of replies and almost every shard of terms."""
    history = stock(2_000)
    view = CatalogView.of(history.snapshot(), MESSAGES)
    item = history.items["sku-000004"]
    history.write(item.item_id, item.attributes, item.released_us, False, "", keeps_label=True)

    after = view.apply(history.entries[-1:])

    assert after.label_of("sku-000004") == view.label_of("sku-000004") == 5
    assert not after.allowed(Filter(in_stock=True)).allowed_L[5]
    assert all(new is old for new, old in zip(after.released.chunks, view.released.chunks, strict=True))
    assert all(
        new is old
        for name in view.numbers
        for new, old in zip(after.numbers[name].chunks, view.numbers[name].chunks, strict=True)
    )
    copied = [new is not old for new, old in zip(after.replies.pages, view.replies.pages, strict=True)]
    assert copied == [True] + [False] * (len(copied) - 1)
    assert sum(new is not old for new, old in zip(after.terms.shards, view.terms.shards, strict=True)) == 1
    assert after.identifiers is view.identifiers
