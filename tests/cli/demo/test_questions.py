"""What the demo asks, against a ranker and a recommender in this process."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from cli.demo import questions as asked
from cli.demo.questions import Answers, Questions, ask, choose_questions
from cli.errors import CommandError
from cli.output import console
from cli.supervisor import Address
from tests.cli.fakes import FakeServices


@pytest.fixture
def questions(tmp_path: Path, jpeg: Callable[..., bytes]) -> Questions:
    """Two works of two tiers, two garments and a query of each kind."""
    files = {}
    for name, side in (("good", 200), ("bad", 20), ("skirt", 50), ("dress", 60), ("query", 40)):
        files[name] = tmp_path / f"{name}.jpg"
        files[name].write_bytes(jpeg(size=(side, side)))
    return Questions(
        graded={"C one": files["bad"], "S one": files["good"]},
        garments={"skirt": (files["skirt"], {"category": "skirt"}), "dress": (files["dress"], {})},
        image=files["query"],
        item_id="skirt",
        attributes={"category": "skirt"},
    )


def _ask(questions: Questions, services: FakeServices, out: Path) -> Answers:
    addresses = {
        "ranker": Address(grpc=services.ranker_address, metrics=""),
        "recommender": Address(grpc=services.shop_address, metrics=""),
    }
    console.quiet = True
    try:
        return ask(questions, addresses, out, lambda: None)
    finally:
        console.quiet = False


def test_answers_are_plain_values_and_pictures(
    questions: Questions, services: FakeServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ranking, items by each kind of query, every model once, times of each call and four pictures."""
    monkeypatch.setattr(asked, "_REPEATS", 2)

    answers = _ask(questions, services, tmp_path / "out")

    assert [each["id"] for each in answers.rank] == ["S one", "C one"]
    assert answers.recommend == {name: ["dress", "skirt"] for name in ("image", "item", "attributes")}
    assert [model["name"] for model in answers.models] == ["artwork-head", "fashion-image"]
    assert answers.models[0]["version"] == 3
    assert answers.counts == {"ranked": 2, "catalogue_items": 2, "services": 2}
    assert set(answers.latency_ms) == {
        "rank", "recommend_by_image", "recommend_by_item", "recommend_by_attributes",
    }  # fmt: skip
    assert all(times["p50"] <= times["p95"] and times["calls"] == 2 for times in answers.latency_ms.values())
    assert len(answers.pictures) == 4
    for path in answers.pictures:
        with Image.open(path) as saved:
            saved.verify()


def test_the_catalog_is_filled_first(
    questions: Questions, services: FakeServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each garment is upserted with its picture and record."""
    monkeypatch.setattr(asked, "_REPEATS", 2)

    _ask(questions, services, tmp_path / "out")

    kept = services.shop.items
    assert {name: dict(item.attributes) for name, item in kept.items()} == {
        "skirt": {"category": "skirt"},
        "dress": {},
    }
    assert kept["skirt"].image == questions.garments["skirt"][0].read_bytes()


def test_a_refused_garment_ends_the_demo(
    questions: Questions, services: FakeServices, tmp_path: Path
) -> None:
    """The item and the service's reason are the message."""
    garments = {**questions.garments, "bad one": questions.garments["skirt"]}
    refused = Questions(
        graded=questions.graded, garments=garments, image=questions.image, item_id="skirt", attributes={}
    )

    with pytest.raises(CommandError, match="bad one was not imported: no picture"):
        _ask(refused, services, tmp_path / "out")


def test_an_unranked_picture_ends_the_demo(
    questions: Questions, services: FakeServices, tmp_path: Path
) -> None:
    """The message names both numbers."""
    questions.graded["C one"].write_bytes(b"text")

    with pytest.raises(CommandError, match="2 pictures were sent, 1 were ranked"):
        _ask(questions, services, tmp_path / "out")


def test_an_empty_recommendation_ends_the_demo(
    questions: Questions, services: FakeServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kind of query that found nothing is named."""
    monkeypatch.setattr(asked, "_REPEATS", 2)
    empty = Questions(
        graded=questions.graded, garments={}, image=questions.image, item_id="skirt", attributes={}
    )

    with pytest.raises(CommandError, match="recommending by image found nothing"):
        _ask(empty, services, tmp_path / "out")


def test_the_first_answer_is_noted_once(
    questions: Questions, services: FakeServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The callback is called after the first ranking, before the catalog is filled."""
    monkeypatch.setattr(asked, "_REPEATS", 2)
    held: list[int] = []
    addresses = {
        "ranker": Address(grpc=services.ranker_address, metrics=""),
        "recommender": Address(grpc=services.shop_address, metrics=""),
    }
    console.quiet = True

    ask(questions, addresses, tmp_path / "out", lambda: held.append(len(services.shop.items)))

    console.quiet = False
    assert held == [0]


def test_queries_stay_out_of_the_catalog(tmp_path: Path) -> None:
    """The garment and the photograph that are asked about are not in the catalog, so that they cannot find
    themselves."""
    record = {"category": "skirt", "fit": "loose"}
    drawn = {name: (tmp_path / f"{name}.png", record) for name in ("g0", "g1")}
    mine = [tmp_path / "mine" / f"{number}.jpg" for number in range(2)]

    one = choose_questions({}, drawn, [], tmp_path)
    other = choose_questions({}, drawn, mine, tmp_path / "mine")

    assert set(one.garments) == {"g1"}
    assert (one.image, one.item_id) == (tmp_path / "g0.png", "g1")
    assert one.attributes == {"category": "skirt"}
    assert set(other.garments) == {"1", "g1"}
    assert (other.image, other.item_id) == (mine[0], "1")
