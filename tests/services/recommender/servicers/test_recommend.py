import pytest
from atelier.recommender.v1 import recommender_pb2, resources_pb2
from atelier.types.v1 import types_pb2

from services.messages.contents import write_record
from services.runtime import errors
from tests.services.recommender.world import DIMENSION, call, example, ids, vector_of

BOTH_STYLES = {"category": "knit", "style": ["retro", "resort"]}


@pytest.fixture
def models(shop):
    return shop.models


def test_by_picture(stocked, models):
    """A picture finds the garments that look like it, nearest first, and says what made the answer (R-2, R-3,
    R-9, S-2)."""
    reply = stocked.recommend(image=b"knit retro red", item_count=2)

    assert ids(reply) == ["knit-retro", "knit-retro-2"]
    assert reply.recommendations[0].similarity == pytest.approx(1, abs=1e-6)
    lead, image = models
    assert [(m.name, m.version, m.digest) for m in reply.models] == [
        ("fashion-attributes", 1, lead.digest),
        ("fashion-image", 1, image.digest),
    ]
    assert (reply.collection, reply.space_id) == ("fashion", image.space_id)
    assert (reply.catalogue_revision, reply.generation) == (6, 1)
    assert reply.timings.compute_ms == 1.0


def test_a_customers_picture_is_never_kept(stocked, shop):
    """The embedder is told to keep neither the picture nor its vector, and the catalog does not (S-11)."""
    stocked.recommend(image=b"a customer", positive_examples=[example("another customer")])

    request = shop.embedder.fake.requests[-1]
    assert request.no_store
    assert [one.image for one in request.inputs] == [
        b"a customer",
        b"another customer",
    ]
    assert len(list(stocked.catalog.pictures._root.glob("*/*"))) == 5


def test_by_attributes(stocked):
    """An attribute record finds garments through the lead, whose space is aligned with that of pictures
    (R-3)."""
    reply = stocked.recommend(
        attributes=write_record({"category": "skirt", "style": ["resort"]}), item_count=2
    )

    assert set(ids(reply)) == {"skirt-resort", "skirt-sold"}


def test_records_that_the_schema_refuses_never_travel(stocked, shop):
    """Many bad examples are told at once by the recommender, which has the schema; good ones are used
    (S-5)."""
    asked = len(shop.embedder.fake.requests)
    bad = [resources_pb2.Example(attributes=write_record({"colour": f"red {n}"})) for n in range(100)]
    good = resources_pb2.Example(attributes=write_record({"category": "skirt"}))

    reply = stocked.recommend(positive_examples=[*bad, good], item_count=1)

    assert [error.index for error in reply.errors] == list(range(100))
    assert "unknown field 'colour'" in reply.errors[0].status.message
    assert [len(request.inputs) for request in shop.embedder.fake.requests[asked:]] == [1]


def test_by_items(stocked):
    """Items as the query find others like them; they are left out themselves (R-1, R-3)."""
    reply = stocked.recommend(items=of_items("knit-retro"), item_count=10)

    assert ids(reply)[0] == "knit-retro-2"
    assert "knit-retro" not in ids(reply)
    assert len(ids(reply)) == 4


def of_items(*item_ids):
    return resources_pb2.ItemIds(item_ids=item_ids)


@pytest.mark.parametrize("which", ["image", "lead"])
def test_by_vector(stocked, models, which):
    """A vector of the collection's space, or of the lead's that is aligned with it, is a query."""
    lead, image = models
    values = vector_of(["knit", "retro", "red"], image.space_id)
    space_id = (image if which == "image" else lead).space_id

    reply = stocked.recommend(vector=types_pb2.SpaceVector(space_id=space_id, values=values))

    assert ids(reply)[0] == "knit-retro"


def test_likes_and_dislikes(stocked):
    """Liked examples draw the answer near, disliked ones push it away; both are left out (R-2)."""
    liked = stocked.recommend(positive_examples=[example(item_id="skirt-resort"), example("skirt red")])
    away = stocked.recommend(
        image=b"knit retro skirt resort", negative_examples=[example("knit retro"), example("knit retro red")]
    )

    assert ids(liked)[0] == "skirt-sold"
    assert "skirt-resort" not in ids(liked)
    assert ids(away)[0].startswith("skirt")


def test_excluded_items_are_left_out(stocked):
    """Items that the caller has seen are not returned; unknown identifiers do no harm."""
    reply = stocked.recommend(image=b"knit retro red", excluded_item_ids=["knit-retro", "nobody"])

    assert ids(reply)[0] == "knit-retro-2"
    assert "knit-retro" not in ids(reply)


@pytest.mark.parametrize("hostile", ["knit-retro\0x", "../knit", "니트"])
def test_what_cannot_be_an_identifier_cannot_be_excluded(stocked, hostile):
    """SQLite ends a JSON text at a NUL, so one would leave another item out; other forms go alike."""
    with pytest.raises(errors.InvalidArgument, match="item_id"):
        stocked.recommend(image=b"knit retro red", excluded_item_ids=[hostile])


def test_bad_examples_fail_alone(stocked):
    """Examples that cannot be read are told with their place; the others answer (S-5)."""
    reply = stocked.recommend(
        positive_examples=[
            example("broken"),
            example(item_id="knit-retro"),
            example(item_id="nobody"),
            resources_pb2.Example(),
        ],
        negative_examples=[example(vector=types_pb2.SpaceVector(space_id="x", values=[1.0]))],
    )

    assert ids(reply)[0] == "knit-retro-2"
    found = [(one.index, one.id, one.status.code) for one in reply.errors]
    assert found == [(0, "", 3), (2, "nobody", 5), (3, "", 3), (4, "", 9)]
    assert "nobody" in reply.errors[1].status.message


def test_when_all_fail_the_call_fails(stocked):
    """A call of which nothing can be read fails with the first error (S-5)."""
    with pytest.raises(errors.InvalidArgument, match="cannot be decoded"):
        stocked.recommend(image=b"broken")
    with pytest.raises(errors.NotFound, match="nobody"):
        stocked.recommend(positive_examples=[example(item_id="nobody"), example("broken")])


REFUSED = {
    "nothing": ({}, errors.InvalidArgument, "neither a query nor positive examples"),
    "count 0": ({"image": b"x", "item_count": 0}, errors.InvalidArgument, "item_count is 0"),
    "count 1001": ({"image": b"x", "item_count": 1001}, errors.InvalidArgument, "1 to 1000"),
    "unknown item": ({"items": of_items("nobody")}, errors.NotFound, "no item nobody"),
    "no items": ({"items": of_items()}, errors.InvalidArgument, "has 0 items"),
    "hostile id": (
        {"items": of_items("../../etc/passwd")},
        errors.InvalidArgument,
        "is not 1 to 128 letters",
    ),
    "collection": ({"image": b"x", "collection": "hats"}, errors.NotFound, "there are fashion"),
    "hostile collection": ({"image": b"x", "collection": "../x"}, errors.InvalidArgument, "lower-case words"),
    "empty picture": ({"image": b""}, errors.InvalidArgument, "empty"),
    "large picture": ({"image": b"x" * (11 << 20)}, errors.InvalidArgument, "11534336 bytes"),
    "large record": (
        {"attributes": write_record({"style": ["x" * 20] * 12_000})},
        errors.InvalidArgument,
        "the bound is 262144",
    ),
    "too many": (
        {"image": b"x", "excluded_item_ids": ["a"] * 10_001},
        errors.InvalidArgument,
        "10001 excluded_item_ids",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_requests_are_refused_by_name(stocked, name):
    """What is wrong with a request is said, and the next one is answered (S-5)."""
    fields, error, message = REFUSED[name]

    with pytest.raises(error, match=message):
        stocked.recommend(**fields)

    assert ids(stocked.recommend(image=b"knit retro red"))[0] == "knit-retro"


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ([1.0, 2.0], errors.InvalidArgument, "has 2 components, the collection fashion takes 64"),
        ([float("nan")] * DIMENSION, errors.InvalidArgument, r"vector.values\[0\] is not finite"),
        ([0.0] * DIMENSION, errors.InvalidArgument, "no direction"),
    ],
)
def test_bad_vectors_are_refused(stocked, models, values, error, message):
    """A vector of another length, with NaN or without direction is refused, naming both numbers (S-5)."""
    with pytest.raises(error, match=message):
        stocked.recommend(vector=types_pb2.SpaceVector(space_id=models[1].space_id, values=values))


def test_a_vector_of_another_space_is_refused(stocked, models):
    """Vectors of two spaces never meet: FAILED_PRECONDITION names both (S-2)."""
    other = types_pb2.SpaceVector(space_id="f" * 64, values=[1.0] * DIMENSION)
    with pytest.raises(errors.FailedPrecondition) as caught:
        stocked.recommend(vector=other)

    assert "f" * 64 in str(caught.value)
    assert models[1].space_id in str(caught.value)
    with pytest.raises(errors.InvalidArgument, match=r"vector\.space_id is missing"):
        stocked.recommend(vector=types_pb2.SpaceVector(values=[1.0] * DIMENSION))


def test_examples_that_cancel_out(stocked, models):
    """A query and dislikes that leave no direction are refused."""
    values = vector_of(["a"], models[1].space_id)
    space_id = models[1].space_id
    twice = types_pb2.SpaceVector(space_id=space_id, values=values)
    against = types_pb2.SpaceVector(space_id=space_id, values=-values)

    with pytest.raises(errors.InvalidArgument, match="cancel out"):
        stocked.recommend(vector=twice, positive_examples=[example(vector=against)])


def test_models_and_limits_are_reported(stocked, models):
    """ListModels gives the lead and the image model as they serve; GetLimits the one table (S-7)."""
    lead, image = stocked.models()

    assert (lead.identity.digest, lead.alias, lead.state) == (models[0].digest, "production", 3)
    assert (image.identity.digest, image.alias, image.state) == (models[1].digest, "", 3)
    assert list(lead.accepted_space_ids) == [models[1].space_id]
    assert image.actual_provider == "CPUExecutionProvider"
    limits = call(stocked.stubs.recommender.GetLimits, recommender_pb2.GetLimitsRequest()).limits
    assert (limits.item_count, limits.message_images) == (1000, 128)
