"""The conditions of a question as a release reads them (R-3, S-5)."""

from dataclasses import replace

import pytest

from inference.attributes import AttributeSchema
from model_store.manifest import AttributePreprocessing
from services.recommender.recommend.conditions import settle_conditions
from services.recommender.recommend.query import NO_CONDITIONS
from services.recommender.view.view import CatalogView
from services.recommender.wire.items import MESSAGES
from services.runtime.errors import InvalidArgument
from tests.services.recommender.view.histories import History
from vector_index.protocol import Filter, Range

PREPROCESSING = AttributePreprocessing.model_validate(
    {
        "kind": "attributes",
        "fields": [{"name": "style", "multiple": True, "vocabulary": ["retro", "resort"]}],
        "spelling": {"retr0": "retro"},
    }
)
SCHEMA = AttributeSchema(PREPROCESSING)


@pytest.fixture
def catalogue() -> CatalogView:
    history = History()
    history.write("a", {"price": 3, "brand": "Nord"}, 0, True, "", keeps_label=False)
    return CatalogView.of(history.snapshot(), MESSAGES)


def test_words_are_spelt_as_the_catalog_spells(catalogue: CatalogView) -> None:
    """Each word once, whatever its spelling; other conditions stay as they are."""
    asked = Filter(
        any_of=(("style", ("retr0", "retro ", "resort")),), none_of=(("brand", (" Nord",)),), in_stock=True
    )

    settled = settle_conditions(asked, SCHEMA, catalogue)

    assert settled == Filter(
        any_of=(("style", ("retro", "resort")),), none_of=(("brand", ("Nord",)),), in_stock=True
    )


def test_without_conditions_nothing_is_looked_up(catalogue: CatalogView) -> None:
    """No conditions are passed through."""
    assert settle_conditions(NO_CONDITIONS, None, catalogue) is NO_CONDITIONS


def test_a_filter_that_comes_again_is_settled_once(catalogue: CatalogView) -> None:
    """By each schema, since that spells the words."""
    asked = Filter(any_of=(("style", ("retr0",)),))

    other = AttributeSchema(PREPROCESSING.model_copy(update={"spelling": {}}))

    settled = settle_conditions(asked, SCHEMA, catalogue)

    assert settle_conditions(replace(asked), SCHEMA, catalogue) is settled
    assert settle_conditions(asked, other, catalogue) == asked


REFUSED = {
    "any_of": (Filter(any_of=(("colur", ("x",)),)), "UNKNOWN_FIELD", "filter.any_of.colur"),
    "none_of": (Filter(none_of=(("colur", ("x",)),)), "UNKNOWN_FIELD", "filter.none_of.colur"),
    "range": (Filter(ranges=(("prise", Range(above=1)),)), "UNKNOWN_FIELD", "filter.number_ranges.prise"),
    "no numbers": (
        Filter(ranges=(("brand", Range(above=1)),)),
        "INVALID_FILTER",
        "filter.number_ranges.brand",
    ),
    "missing": (Filter(missing=("prise",)), "UNKNOWN_FIELD", "filter.missing_fields"),
    "blank": (Filter(any_of=(("style", (" ",)),)), "INVALID_FILTER", "filter.any_of.style"),
    "NUL": (Filter(none_of=(("brand", ("a\0",)),)), "INVALID_FILTER", "filter.none_of.brand"),
    "opposed": (
        Filter(any_of=(("style", ("retr0",)),), none_of=(("style", ("retro", "x")),)),
        "CONTRADICTORY_FILTER",
        "filter.none_of.style",
    ),
    "missing word": (
        Filter(any_of=(("style", ("retro",)),), missing=("style",)),
        "CONTRADICTORY_FILTER",
        "filter.missing_fields",
    ),
    "missing number": (
        Filter(ranges=(("price", Range(above=1)),), missing=("price",)),
        "CONTRADICTORY_FILTER",
        "filter.missing_fields",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_item_can_satisfy_is_refused_by_name(catalogue: CatalogView, name: str) -> None:
    """The reason and the path of the request's field."""
    asked, reason, field = REFUSED[name]

    with pytest.raises(InvalidArgument) as refused:
        settle_conditions(asked, SCHEMA, catalogue)

    assert (refused.value.reason, refused.value.field) == (reason, field)


def test_conditions_that_overlap_in_part_are_possible(catalogue: CatalogView) -> None:
    """One value asked for is left, so something may satisfy them."""
    asked = Filter(any_of=(("style", ("retro", "resort")),), none_of=(("style", ("retro",)),))
    assert settle_conditions(asked, SCHEMA, catalogue) == asked
