import time

import numpy as np
import pytest
from atelier.recommender.v1 import insight_pb2
from google.protobuf import timestamp_pb2

from services.runtime import errors
from tests.services.recommender.world import DIMENSION, item

pytestmark = pytest.mark.slow  # servers with models and catalogs

DAY_S = 86_400


def event(event_id, item_id="a", kind="CLICKED", **fields):
    return insight_pb2.FeedbackEvent(
        event_id=event_id, item_id=item_id, kind=f"FEEDBACK_KIND_{kind}", **fields
    )


def ago(days):
    return timestamp_pb2.Timestamp(seconds=int(time.time()) - days * DAY_S)


def test_feedback_is_recorded_once_and_seen_in_figures(recommender, models):
    """Events count once; hits, coverage, times and similarities are reported per model version (R-5)."""
    recommender.upsert(item("a", "knit"), item("b", "skirt"))
    reply = recommender.recommend(image=b"knit")
    lead = reply.models[0]

    first = recommender.feedback(event("1", kind="SHOWN", lead=lead), event("2", lead=lead))
    again = recommender.feedback(event("2", lead=lead), event("3", kind="LIKED"))

    assert (first.recorded_count, again.recorded_count) == (2, 1)
    figures = recommender.kpis()
    by_lead = {each.lead: each for each in figures.leads}
    ours = by_lead[f"{lead.name}/{lead.version}"]
    assert (ours.shown_count, ours.clicked_count, ours.hit_rate) == (1, 1, 1.0)
    assert by_lead[""].liked_count == 1
    assert figures.coverage == 0.5
    assert 0 < figures.p50_ms <= figures.p99_ms
    assert figures.mean_similarity != 0
    assert figures.embeddings.item_count == 2


def test_feedback_survives_a_restart(recommender, models, serve):
    """An acknowledged event is known to the next process (R-5)."""
    recommender.feedback(event("1"))
    recommender.close()

    assert serve().feedback(event("1"), event("2")).recorded_count == 1


def test_trends_follow_what_customers_take_up(recommender, models):
    """A value's share among clicks grows from one period to the next (R-1)."""
    recommender.upsert(
        item("a", "knit", attributes={"style": ["retro"]}),
        item("b", "skirt", attributes={"style": ["modern"]}),
    )
    recommender.feedback(
        event("1", "a", occurred_at=ago(10)), event("2", "b"), event("3", "b", kind="PURCHASED")
    )

    trends = recommender.trends(fields=["style"], days=14)

    by_value = {series.value: series for series in trends.series}
    assert list(by_value) == ["modern", "retro"]
    assert list(by_value["modern"].taken_share) == [0.0, 1.0]
    assert list(by_value["retro"].taken_share) == [1.0, 0.0]
    assert by_value["modern"].change == 1.0
    assert len(trends.period_starts) == 2
    assert trends.catalogue_revision == 3  # the first release took one


@pytest.mark.parametrize(
    ("events", "field"),
    [
        ([], "events"),
        ([event("1")] * 1001, "events"),
        ([event("ok"), event("no spaces allowed")], "events[1].event_id"),
        ([event("1", item_id="../x")], "events[0].item_id"),
        ([event("1", kind="UNSPECIFIED")], "events[0].kind"),
        ([event("1", occurred_at=ago(91))], "events[0].occurred_at"),
        ([event("1", occurred_at=ago(-1))], "events[0].occurred_at"),
        ([event("1", lead={"name": "x"})], "events[0].lead"),
    ],
)
def test_malformed_events_are_refused_by_field(recommender, events, field):
    """The status names the event and the field, and nothing of the call is recorded (S-5)."""
    with pytest.raises(errors.InvalidArgument) as caught:
        recommender.feedback(*events)

    assert field in caught.value.message
    assert len(recommender.kpis().leads) == 0


@pytest.mark.parametrize(
    ("ask", "field"),
    [
        (lambda r: r.trends(days=731), "days"),
        (lambda r: r.trends(period_days=-1), "period_days"),
        (lambda r: r.trends(fields=[""]), "fields"),
        (lambda r: r.trends(fields=[str(n) for n in range(17)]), "fields"),
        (lambda r: r.kpis(days=-1), "days"),
    ],
)
def test_questions_beyond_the_bounds_are_refused(recommender, ask, field):
    """The status names the field (S-5)."""
    with pytest.raises(errors.InvalidArgument) as caught:
        ask(recommender)

    assert field in caught.value.message


def test_unknown_collections_are_not_found(recommender):
    """Every call names a collection of the settings."""
    for ask in (recommender.trends, recommender.kpis):
        with pytest.raises(errors.NotFound):
            ask(collection="shoes")
    with pytest.raises(errors.NotFound):
        recommender.feedback(event("1"), collection="shoes")


def test_centrality_is_readable_by_item_and_by_value(recommender, models):
    """Cosines to the mean of all, the anchors above the threshold, and sums by value (R-8, F-15)."""
    rng = np.random.default_rng(2)
    centre = rng.normal(size=DIMENSION)
    recommender.upsert(
        *(
            item(
                f"i{n}",
                vector=(models[1].space_id, centre + (0.1 if n < 10 else 1) * rng.normal(size=DIMENSION)),
                attributes={"style": ["near" if n < 10 else "far"]},
            )
            for n in range(40)
        )
    )

    reply = recommender.centrality(item_ids=["i0", "i30"], field="style")

    assert (reply.item_count, reply.anchor_count) == (40, 4)
    assert reply.min <= reply.mean <= reply.threshold <= reply.anchor_mean <= reply.max
    assert [each.item_id for each in reply.items] == ["i0", "i30"]
    assert reply.items[0].centrality > reply.items[1].centrality
    assert not reply.items[1].is_anchor
    far, near = reply.values
    assert (far.value, far.item_count, near.item_count) == ("far", 30, 10)
    assert near.mean > far.mean
    assert far.anchor_count + near.anchor_count == 4
    with pytest.raises(errors.NotFound, match="no item gone"):
        recommender.centrality(item_ids=["gone"])


def test_records_near_a_picture_suggest_its_values(recommender, models):
    """The nearest records come back with what they suggest; a filter holds (R-9)."""
    recommender.upsert(
        item("a", "knit", attributes={"style": ["retro"], "colour": "red"}),
        item("b", "skirt", attributes={"style": ["modern"]}),
    )

    reply = recommender.find_records(image=b"knit")

    assert [each.item_id for each in reply.records] == ["a", "b"]
    assert reply.records[0].similarity == pytest.approx(1, abs=1e-3)
    assert reply.records[0].attributes["colour"] == "red"
    assert [(each.field, each.value) for each in reply.suggestions][:2] == [
        ("colour", "red"),
        ("style", "retro"),
    ]
    assert len(reply.models) == 2
    red = {"any_of": {"colour": "red"}}
    assert [each.item_id for each in recommender.find_records(image=b"skirt", filter=red).records] == ["a"]
    with pytest.raises(errors.InvalidArgument, match="picture is empty"):
        recommender.find_records()
