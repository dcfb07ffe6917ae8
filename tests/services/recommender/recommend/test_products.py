"""Distinct products under filters, with items left out: many random questions beside an oracle (R-10, R-2).

ATELIER_TEST_QUESTIONS=1000000 asks as many of 100,000 items in 40,000 products, without a time limit;
ATELIER_TEST_SEED draws others.
"""

import os

import numpy as np
import pytest

from services.recommender.catalog.items import Item
from services.recommender.catalog.log import Snapshot
from services.recommender.recommend.effort import EffortTable
from services.recommender.recommend.query import QueryKind
from services.recommender.recommend.search import Searcher, SearchTarget
from services.recommender.view.view import CatalogView
from services.recommender.wire.items import MESSAGES
from tests.vector_index.drawing import clustered, directory
from vector_index.protocol import Filter, field_words
from vector_index.segmented import SegmentedIndex

QUESTIONS = int(os.environ.get("ATELIER_TEST_QUESTIONS", "5000"))
SEED = int(os.environ.get("ATELIER_TEST_SEED", "13"))
ITEMS, PRODUCTS, DIMENSION = (2_000, 800, 16) if QUESTIONS <= 100_000 else (100_000, 40_000, 64)
# Shares of the items that a word leaves.
SHARES = (0.5, 0.05, 0.005, 0.001)


class Shop:
    """Items of products, an index over them, and what an oracle needs to know."""

    def __init__(self, path):
        rng = np.random.default_rng(11)
        self.product_N = rng.integers(PRODUCTS, size=ITEMS)
        self.vector_ND = clustered(PRODUCTS, DIMENSION)[self.product_N] + 0.1 * rng.normal(
            size=(ITEMS, DIMENSION)
        )
        self.vector_ND /= np.linalg.norm(self.vector_ND, axis=1, keepdims=True)
        self.has_word = {share: rng.random(ITEMS) < share for share in SHARES}
        self.in_stock = rng.random(ITEMS) < 0.8
        self.index = SegmentedIndex(directory(path, dimension=DIMENSION))
        view = CatalogView.of(
            Snapshot(revision=ITEMS, generation=0, items=[self.item(n) for n in range(ITEMS)]), MESSAGES
        )
        self.index.update(np.arange(1, ITEMS + 1), self.vector_ND, revision=ITEMS, attached=view)
        self.index.settle()

    def item(self, number):
        words = [f"w{share}" for share in SHARES if self.has_word[share][number]]
        return Item(
            item_id=f"i{number}",
            product_id=f"p{self.product_N[number]}",
            attributes={"word": words} if words else {},
            released_us=number,
            in_stock=bool(self.in_stock[number]),
            picture_digest="",
            source=f"v:{number}",
            label=number + 1,
            revision=number + 1,
        )

    def allowed(self, share, *, in_stock, left_out):
        """The items that may come back: by the conditions, and of no product of which one is left out."""
        kept = np.ones(ITEMS, dtype=bool) if share is None else self.has_word[share].copy()
        if in_stock:
            kept &= self.in_stock
        may_come = np.ones(PRODUCTS, dtype=bool)
        may_come[self.product_N[left_out]] = False
        return kept & may_come[self.product_N]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    made = Shop(tmp_path_factory.mktemp("index"))
    yield made
    made.index.close()


@pytest.mark.slow
@pytest.mark.timeout(0 if QUESTIONS > 5_000 else 300)
def test_answers_are_never_short_and_never_repeat(shop):
    """Where k products exist k come back: none twice, none seen, all under the conditions, nearest first."""
    rng = np.random.default_rng(SEED)
    searcher, view = Searcher(EffortTable()), shop.index.view()
    faults = []
    for number in range(QUESTIONS):
        count = int(rng.choice([1, 5, 10, 40]))
        share = [None, *SHARES][rng.integers(5)]
        in_stock = bool(rng.random() < 0.3)
        left_out = np.unique(rng.integers(ITEMS, size=rng.choice([0, 1, 20, 300])))
        allowed = shop.allowed(share, in_stock=in_stock, left_out=left_out)

        query = shop.vector_ND[rng.integers(ITEMS)] + 0.2 * rng.normal(size=DIMENSION)
        target = SearchTarget(
            direction_D=query / np.linalg.norm(query),
            count=count,
            kind=QueryKind.VECTOR,
            conditions=Filter(
                any_of=field_words({} if share is None else {"word": [f"w{share}"]}),
                in_stock=True if in_stock else None,
            ),
            left_out=left_out + 1,
            diversity=float(rng.choice([0.0, 0.0, 0.5])),
        )
        hits = searcher.search(view, target)

        numbers = hits.labels - 1
        products = shop.product_N[numbers]
        exist = np.count_nonzero(np.bincount(shop.product_N[allowed], minlength=PRODUCTS))
        if len(numbers) != min(count, exist):
            faults.append((number, f"{len(numbers)} of {min(count, exist)}"))
        if len(np.unique(products)) != len(products):
            faults.append((number, "repeated"))
        if not allowed[numbers].all():
            faults.append((number, "not allowed"))
        if not target.diversity and (np.diff(hits.similarities) > 0).any():
            faults.append((number, "order"))

    assert faults == []


@pytest.mark.slow
def test_a_batch_answers_as_its_questions_alone(shop):
    """Products, diversity, filters and items left out included (R-10, R-11)."""
    rng = np.random.default_rng(19)
    searcher, view = Searcher(EffortTable()), shop.index.view()
    targets = [
        SearchTarget(
            direction_D=shop.vector_ND[number],
            count=int(rng.choice([1, 5, 10])),
            kind=QueryKind.VECTOR,
            conditions=Filter(in_stock=True) if rng.random() < 0.5 else Filter(),
            left_out=rng.integers(1, ITEMS, size=rng.choice([0, 1, 3, 40])),
            diversity=float(rng.choice([0.0, 0.5])),
        )
        for number in rng.integers(ITEMS, size=64)
    ]

    together = searcher.search_batch(view, targets)

    for target, neighbours in zip(targets, together, strict=True):
        assert neighbours.labels.tolist() == searcher.search(view, target).labels.tolist()


@pytest.mark.slow
def test_the_nearest_view_stands_for_its_product(shop):
    """Searched exactly, products and views are those of brute force."""
    rng = np.random.default_rng(17)
    view = shop.index.view()
    efforts = EffortTable()
    searcher = Searcher(efforts)
    for _ in range(50):
        query = shop.vector_ND[rng.integers(ITEMS)] + 0.2 * rng.normal(size=DIMENSION)
        similarity = shop.vector_ND @ (query / np.linalg.norm(query))
        order = np.argsort(-similarity)
        _, first = np.unique(shop.product_N[order], return_index=True)
        best = order[np.sort(first)[:10]]

        target = SearchTarget(
            direction_D=query / np.linalg.norm(query), count=10, kind=QueryKind.VECTOR, conditions=Filter()
        )

        assert len(set((searcher.search(view, target).labels - 1).tolist()) & set(best.tolist())) >= 9
