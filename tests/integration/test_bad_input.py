"""Hostile and broken input over the wire: a status that names the item, and the house stands (S-5)."""

import io
import struct
import zlib
from collections.abc import Callable

import pytest
from atelier.ranker.v1 import ranker_pb2
from atelier.recommender.v1 import catalog_pb2, recommender_pb2, resources_pb2
from atelier.types.v1 import types_pb2
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct
from google.rpc import code_pb2
from PIL import Image

from services.client.ranker import picture
from services.runtime.errors import FailedPrecondition, InvalidArgument, NotFound, ServiceError
from tests.integration.conftest import House, drawing

pytestmark = pytest.mark.slow


def bomb() -> bytes:
    """A PNG that says it is 20,000 × 20,000 and holds a few kilobytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def animated_gif() -> bytes:
    stream = io.BytesIO()
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    return stream.getvalue()


HOSTILE: dict[str, Callable[[], bytes]] = {
    "truncated": lambda: drawing(1)[:700],
    "empty": lambda: b"",
    "text": lambda: b"this is a text named .jpg\n" * 40,
    "bomb": bomb,
    "gif": animated_gif,
    "large": lambda: b"\xff\xd8\xff" + bytes(10 * 1024 * 1024),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_bad_picture_fails_alone(house: House, name: str) -> None:
    """Rank answers the good pictures; the bad one is INVALID_ARGUMENT with its index (S-5)."""
    candidates = [picture(drawing(1), "a"), picture(HOSTILE[name](), "bad"), picture(drawing(2), "b")]

    with house.ranker() as ranker:
        ranking = ranker.rank(candidates)

    assert {placement.id for placement in ranking.placements} == {"a", "b"}
    (error,) = ranking.errors
    assert (error.index, error.id, error.status.code) == (1, "bad", code_pb2.INVALID_ARGUMENT)
    assert error.status.message
    assert "/" not in error.status.message.replace("and/or", "")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_bad_garment_fails_alone(house: House, name: str) -> None:
    """Upsert keeps the good item and names the bad one; the bad one is not in the catalog (S-5)."""
    items = [
        catalog_pb2.UpsertItem(item_id=f"good-{name}", image=drawing(3)),
        catalog_pb2.UpsertItem(item_id=f"bad-{name}", image=HOSTILE[name]()),
    ]

    with house.recommender() as recommender:
        good, bad = recommender.upsert_items(items).results
        assert good.revision > 0
        assert (bad.item_id, bad.error.code) == (f"bad-{name}", code_pb2.INVALID_ARGUMENT)
        assert recommender.get_item(f"good-{name}").item.item_id == f"good-{name}"
        with pytest.raises(NotFound, match=f"bad-{name}"):
            recommender.get_item(f"bad-{name}")


def test_when_every_picture_is_bad_the_call_fails_and_names_them(house: House) -> None:
    """Two bad pictures: INVALID_ARGUMENT, with both items in the details (S-5)."""
    with house.ranker() as ranker, pytest.raises(InvalidArgument) as caught:
        ranker.rank([picture(b"", "x"), picture(b"no picture", "y")])

    assert [(item.index, item.id) for item in caught.value.item_errors] == [(0, "x"), (1, "y")]


@pytest.mark.parametrize(("count", "message"), [(0, "0"), (10_000, r"10.?000.*1.?000")])
def test_too_few_and_too_many_candidates_are_refused(house: House, count: int, message: str) -> None:
    """0 and 10,000 candidates are INVALID_ARGUMENT naming the number and the bound (S-5)."""
    vector = types_pb2.SpaceVector(space_id="0" * 64, values=[1.0])
    candidates = [ranker_pb2.Candidate(id=str(number), feature=vector) for number in range(count)]

    with house.ranker() as ranker, pytest.raises(InvalidArgument, match=message):
        ranker.rank(candidates)


def space_of(house: House, name: str) -> tuple[str, int]:
    version = house.store.resolve(name)
    return version.space_id, version.manifest.dimension


@pytest.mark.parametrize("bad", ["nan", "infinity", "short", "foreign"])
def test_a_bad_feature_fails_alone(house: House, bad: str) -> None:
    """NaN, infinity, a wrong length: INVALID_ARGUMENT; another space: FAILED_PRECONDITION."""
    space, dimension = space_of(house, "artwork-backbone")
    values = [0.5] * dimension
    vectors = {
        "nan": types_pb2.SpaceVector(space_id=space, values=[float("nan"), *values[1:]]),
        "infinity": types_pb2.SpaceVector(space_id=space, values=[float("inf"), *values[1:]]),
        "short": types_pb2.SpaceVector(space_id=space, values=values[:7]),
        "foreign": types_pb2.SpaceVector(space_id="f" * 64, values=values),
    }
    good = types_pb2.SpaceVector(space_id=space, values=values)
    candidates = [
        ranker_pb2.Candidate(id="good", feature=good),
        ranker_pb2.Candidate(id="bad", feature=vectors[bad]),
    ]

    with house.ranker() as ranker:
        ranking = ranker.rank(candidates)

    assert [placement.id for placement in ranking.placements] == ["good"]
    expected = code_pb2.FAILED_PRECONDITION if bad == "foreign" else code_pb2.INVALID_ARGUMENT
    assert [(error.id, error.status.code) for error in ranking.errors] == [("bad", expected)]
    if bad == "short":
        assert "7" in ranking.errors[0].status.message
        assert str(dimension) in ranking.errors[0].status.message


def requests(house: House) -> dict[str, tuple[recommender_pb2.RecommendRequest, type[ServiceError], str]]:
    space, dimension = space_of(house, "fashion-image")
    request, vector = recommender_pb2.RecommendRequest, types_pb2.SpaceVector
    unit = [1.0] + [0.0] * (dimension - 1)
    return {
        "nan": (
            request(vector=vector(space_id=space, values=[float("nan"), *unit[1:]])),
            InvalidArgument,
            "finite|NaN",
        ),
        "dimension": (
            request(vector=vector(space_id=space, values=unit[:9])),
            InvalidArgument,
            r"9.*512|512.*9",
        ),
        "space": (request(vector=vector(space_id="f" * 64, values=unit)), FailedPrecondition, "space"),
        "no space": (request(vector=vector(values=unit)), InvalidArgument, "space"),
        "unknown item": (request(items=resources_pb2.ItemIds(item_ids=["nobody"])), NotFound, "nobody"),
        "unknown collection": (request(collection="hats", image=drawing(1)), NotFound, "hats"),
        "nothing asked": (request(), InvalidArgument, "query"),
        "too many": (request(image=drawing(1), item_count=1001), InvalidArgument, r"1.?001.*1.?000"),
        "none": (request(image=drawing(1), item_count=0), InvalidArgument, "0"),
        "bad field": (
            request(attributes=ParseDict({"no_such_field": "x"}, Struct())),
            InvalidArgument,
            "no_such_field",
        ),
        "bad type": (request(attributes=ParseDict({"category": 7}, Struct())), InvalidArgument, "category"),
        "bad picture": (request(image=b"no picture"), InvalidArgument, "JPEG, PNG or WEBP"),
    }


KINDS = (
    "nan", "dimension", "space", "no space", "unknown item", "unknown collection", "nothing asked",
    "too many", "none", "bad field", "bad type", "bad picture",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_query_gets_a_status_that_names_it(house: House, kind: str) -> None:
    """Each malformed Recommend fails with its canonical class and says what is wrong (S-2, S-5)."""
    request, error, message = requests(house)[kind]
    with house.recommender() as recommender:
        recommender.upsert_items([catalog_pb2.UpsertItem(item_id="present", image=drawing(4))])
        with pytest.raises(error, match=message):
            recommender.recommend(request)


@pytest.mark.parametrize("item_id", ["", "../x", "a/b", "a\0b", "%2e%2e", "é", "x" * 10_000, ".hidden"])
def test_a_hostile_item_id_is_refused_and_touches_nothing(house: House, item_id: str) -> None:
    """No identifier outside the strict form is kept or looked up (S-5)."""
    with house.recommender() as recommender:
        with pytest.raises(InvalidArgument):
            recommender.upsert_items([catalog_pb2.UpsertItem(item_id=item_id, image=drawing(5))])
        with pytest.raises(InvalidArgument):
            recommender.get_item(item_id)


def test_every_service_still_answers_afterwards(house: House) -> None:
    """After all of the above each process is the one that was started (S-5)."""
    from cli.demo.questions import await_all

    await_all(house.addresses, timeout_s=5)
    for name in ("embedder", "ranker", "recommender"):
        assert house.supervisor._children[name].process.poll() is None
