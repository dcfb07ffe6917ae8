"""Targets into items of a view: filters, items left out, batches; brute force is the oracle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.recommender.recommend.effort import Effort, EffortTable, Selectivity
from services.recommender.recommend.query import QueryKind
from services.recommender.recommend.search import Searcher, SearchTarget
from services.recommender.view.view import CatalogView
from services.recommender.wire.items import MESSAGES
from tests.services.recommender.view.histories import stock
from vector_index.files import IndexIdentity, SegmentDirectory
from vector_index.protocol import Filter, Range, field_words
from vector_index.segmented import SegmentedIndex

DIMENSION = 16
COUNT = 300

FILTERS = [
    Filter(),
    Filter(in_stock=True),
    Filter(any_of=field_words({"category": ["knit"]})),
    Filter(any_of=field_words({"category": ["knit", "coat"]}), in_stock=True),
    Filter(released=Range(at_least=290_000_000)),
    Filter(any_of=field_words({"category": ["nothing"]})),
]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Garments with vectors, in the delta of an index, the catalog attached."""
    rows = np.random.default_rng(3).normal(size=(COUNT, DIMENSION)).astype(np.float32)
    rows[7] = rows[11]  # a tie
    files = SegmentDirectory(
        tmp_path_factory.mktemp("index"),
        identity=IndexIdentity(catalogue_id="c", space="s"),
        dimension=DIMENSION,
    )
    index = SegmentedIndex(files)
    history = stock(COUNT)
    view = CatalogView.of(history.snapshot(), MESSAGES)
    index.update(np.arange(1, COUNT + 1), rows, revision=COUNT, attached=view)
    yield index.view(), rows, history
    index.close()


def target(direction_D, count=10, conditions=FILTERS[0], left_out=(), kind=QueryKind.VECTOR):
    return SearchTarget(
        direction_D=direction_D / np.linalg.norm(direction_D),
        count=count,
        kind=kind,
        conditions=conditions,
        left_out=np.array(left_out, np.int64),
    )


def nearest(shop, asked):
    """The labels of a target by brute force."""
    view, rows, _ = shop
    mask = view.attached.allowed(asked.conditions)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    similarity = unit.astype(np.float64) @ asked.direction_D
    out = set(asked.left_out.tolist())
    labels = [
        label for label in range(1, COUNT + 1) if label not in out and (mask is None or mask.allowed_L[label])
    ]
    return sorted(labels, key=lambda label: (-np.float32(similarity[label - 1]), label))[: asked.count]


targets = st.builds(
    lambda seed, count, conditions, first, many: target(
        np.random.default_rng(seed).normal(size=DIMENSION),
        count,
        conditions,
        range(first, first + many),
    ),
    seed=st.integers(0, 50),
    count=st.integers(1, 40),
    conditions=st.sampled_from(FILTERS),
    first=st.integers(1, COUNT + 5),
    many=st.sampled_from([0, 1, 3, 17, 80]),
)


@settings(max_examples=60)
@given(asked=st.lists(targets, min_size=1, max_size=6))
def test_searches_equal_brute_force(shop, asked) -> None:
    """Alone and in a batch, with filters and any number of items left out (R-3, R-11)."""
    searcher, view = Searcher(EffortTable()), shop[0]

    alone = [searcher.search(view, each) for each in asked]
    together = searcher.search_batch(view, asked)

    for each, one, other in zip(asked, alone, together, strict=True):
        assert one.labels.tolist() == other.labels.tolist() == nearest(shop, each)
        assert one.similarities.tolist() == other.similarities.tolist()


def test_a_filter_whose_mask_is_there_is_predicted_to_be_cheaper(shop) -> None:
    """So a filter that comes again is answered where it is."""
    searcher, view = Searcher(EffortTable()), shop[0]
    asked = target(np.ones(DIMENSION), conditions=Filter(in_stock=False, released=Range(below=5)))
    before = searcher.predict_us(view, asked)
    searcher.search(view, asked)

    assert searcher.predict_us(view, asked) < before


@pytest.mark.parametrize(
    ("share", "selectivity"), [(1.0, "ALL"), (0.5, "MANY"), (0.05, "SOME"), (0.005, "FEW"), (0, "FEW")]
)
def test_shares_have_a_selectivity(share: float, selectivity: str) -> None:
    """The filters that leave all, half, a twentieth and a two-hundredth are told apart."""
    assert Selectivity.of(share) is Selectivity[selectivity]


def test_an_effort_can_be_replaced() -> None:
    """What the sampler measured counts from the next search on, for its kind and selectivity alone."""
    table = EffortTable()

    table.set(QueryKind.ITEMS, Selectivity.SOME, Effort(128, exact=True))

    assert table.of(QueryKind.ITEMS, Selectivity.SOME) == Effort(128, exact=True)
    assert table.of(QueryKind.ITEMS, Selectivity.ALL) == Effort(64)
    assert table.of(QueryKind.ATTRIBUTES, Selectivity.SOME) == Effort(400)
