"""The service measures its recall, and searches more widely where that is below the floor."""

import asyncio
import logging
from types import SimpleNamespace

import numpy as np
import pytest

from services.recommender.executors import Executors
from services.recommender.insight.recall import LEAST_SAMPLES, RecallSampler
from services.recommender.recommend.effort import Effort, EffortTable, Selectivity
from services.recommender.recommend.query import QueryKind
from services.recommender.recommend.recent import MOST_KEPT, RecentQueries, RecentQuery
from services.recommender.view.filters import FilterMask
from tests.vector_index.drawing import draw, make_index
from vector_index.protocol import Filter

ROWS, DIMENSION = 2_000, 32
EVERYTHING = Filter()
FEW = Filter(any_of=(("category", ("knit",)),))
ATTRIBUTES = QueryKind.ATTRIBUTES, Selectivity.ALL
VECTORS = QueryKind.VECTOR, Selectivity.ALL


class Attached:
    """What the sampler asks of the view of a catalog: a filter leaves every second item."""

    def __len__(self):
        return ROWS

    def allowed(self, conditions):
        return (
            FilterMask.of((np.arange(ROWS + 1) % 2).astype(np.uint8)) if conditions.has_conditions else None
        )


@pytest.fixture
def built():
    """Makes indexes of rows without any order, which a graph that keeps few candidates searches badly."""
    made = []

    def build(count):
        index = make_index("tiers", dimension=DIMENSION)
        made.append(index)
        labels = np.arange(1, count + 1)
        index.update(labels, draw(count, DIMENSION), revision=1, attached=Attached())
        index.settle()
        return index.view()

    yield build
    for index in made:
        index.close()


@pytest.fixture
def view(built):
    return built(ROWS)


@pytest.fixture
def world(view):
    """A sampler over rows without any order, with efforts that find too few of them at first."""
    executors = Executors()
    efforts = EffortTable(
        {
            (kind, selectivity): Effort(10 if kind is QueryKind.ATTRIBUTES else 200)
            for kind in QueryKind
            for selectivity in Selectivity
        }
    )
    recent = RecentQueries()
    sampler = RecallSampler(recent, efforts, executors, floor=0.97)

    def measure(view=view):
        asyncio.run(sampler.measure("fashion", view))
        return {(each.kind, each.selectivity): each for each in sampler.measured("fashion")}

    def ask(count, kind=QueryKind.ATTRIBUTES, conditions=EVERYTHING):
        for query_D in draw(count, DIMENSION, seed=5):
            recent.add("fashion", kind, RecentQuery(query_D.astype(np.float64), conditions))

    yield SimpleNamespace(sampler=sampler, efforts=efforts, recent=recent, measure=measure, ask=ask)
    executors.close()


def test_a_recall_below_the_floor_raises_the_effort_of_its_group_alone(world, caplog):
    """ef is doubled until recall is back; other kinds keep theirs, and the status says so (R-3)."""
    world.ask(LEAST_SAMPLES)
    world.ask(LEAST_SAMPLES, QueryKind.VECTOR)

    with caplog.at_level(logging.WARNING):
        measured = world.measure()

    raised = world.efforts.of(*ATTRIBUTES)
    assert raised.ef > 10
    assert not raised.exact
    assert measured[ATTRIBUTES].recall >= 0.97
    assert measured[ATTRIBUTES].effort == raised
    assert world.efforts.of(*VECTORS) == Effort(200)
    assert (
        world.sampler.detail("fashion") == f"recall of attributes queries was below 0.97: ef is {raised.ef}"
    )
    (record,) = caplog.records
    assert (record.query_kind, record.ef) == ("attributes", raised.ef)
    assert not any(isinstance(value, np.ndarray) for value in vars(record).values())


def test_where_no_ef_helps_queries_are_answered_exactly(view, world):
    """With a floor that the graph cannot reach, the group is searched by comparing every row (R-3)."""
    executors = Executors()
    efforts = EffortTable(
        {(kind, selectivity): Effort(1) for kind in QueryKind for selectivity in Selectivity}
    )
    sampler = RecallSampler(world.recent, efforts, executors, floor=1.0)
    world.ask(MOST_KEPT)

    asyncio.run(sampler.measure("fashion", view))
    executors.close()

    assert efforts.of(*ATTRIBUTES).exact
    assert sampler.detail("fashion").endswith("they are answered exactly")
    assert sampler.measured("fashion")[0].recall == 1.0


def test_few_queries_change_nothing(world):
    """Their recall is published, and the effort stays (R-3)."""
    world.ask(LEAST_SAMPLES - 1)

    measured = world.measure()

    assert measured[ATTRIBUTES].recall < 0.97
    assert measured[ATTRIBUTES].sample_count == LEAST_SAMPLES - 1
    assert world.efforts.of(*ATTRIBUTES) == Effort(10)


def test_a_step_that_is_not_needed_any_more_is_taken_back(built, world):
    """Once less finds the neighbours, the effort goes down a step a round, to the default (R-3)."""
    world.ask(LEAST_SAMPLES)
    world.measure()
    raised = world.efforts.of(*ATTRIBUTES).ef
    small = built(60)

    efforts = []
    while world.efforts.of(*ATTRIBUTES) != Effort(10):
        world.measure(small)
        efforts.append(world.efforts.of(*ATTRIBUTES).ef)

    assert efforts == [raised // 2**n for n in range(1, len(efforts) + 1)]
    assert world.sampler.detail("fashion") == ""


def test_the_share_that_a_filter_leaves_is_a_group_of_its_own(world):
    """Queries with a filter are measured apart, against the rows that it leaves (R-3)."""
    world.ask(LEAST_SAMPLES, QueryKind.VECTOR)
    world.ask(LEAST_SAMPLES, QueryKind.VECTOR, FEW)

    assert {*world.measure()} == {VECTORS, (QueryKind.VECTOR, Selectivity.MANY)}


def test_only_the_last_queries_are_kept(world):
    """However many are asked, a bounded number of directions stays in memory (R-3)."""
    world.ask(3 * MOST_KEPT)
    world.ask(3 * MOST_KEPT, conditions=FEW)

    assert len(world.recent.of("fashion")) == 2 * MOST_KEPT
    assert world.recent.of("other") == []
