"""`atelier recommend`, against a recommender in this process."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from atelier.recommender.v1 import catalog_pb2, recommender_pb2
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Struct
from PIL import Image
from typer.testing import CliRunner

from cli.errors import CommandError
from cli.main import app
from cli.recommend import parse_record, save_recommendation
from services.client.recommender import RecommenderClient
from tests.cli.fakes import FakeServices


@pytest.fixture
def shop(services: FakeServices, jpeg: Callable[..., bytes]) -> FakeServices:
    """Three items with pictures and a record."""
    record = {"category": "skirt", "print": ["dots", "stripes"], "note": ""}
    for item_id in ("a", "b", "c"):
        services.shop.items[item_id] = catalog_pb2.UpsertItem(
            item_id=item_id, image=jpeg(), attributes=ParseDict(record, Struct())
        )
    return services


def test_items_are_listed_nearest_first(runner: CliRunner, shop: FakeServices) -> None:
    """Each row has a place, the item, its similarity and its words; models and revision are below."""
    run = runner.invoke(app, ["recommend", "--item", "a"])

    assert run.exit_code == 0, run.output
    assert re.search(r"│ +1 │ a +│ +1.0000 │ .*dots stripes", run.stdout)
    assert re.search(r"│ +2 │ b +│ +0.9000 │ .*skirt", run.stdout)
    assert "fashion-image/2 cdcdcdcdcdcd (untrained); catalogue revision 7" in run.stdout


def test_each_kind_of_query_is_sent(
    runner: CliRunner, shop: FakeServices, tmp_path: Path, jpeg: Callable[..., bytes]
) -> None:
    """A picture, several items, a record as JSON and a record in a file; count and collection beside them."""
    (tmp_path / "query.jpg").write_bytes(jpeg("blue"))
    (tmp_path / "record.json").write_text('{"category": "스커트"}')
    asked = [
        ["--image", str(tmp_path / "query.jpg")],
        ["--item", "a", "--item", "b"],
        ["--attributes", '{"category": "skirt"}'],
        ["--attributes", f"@{tmp_path / 'record.json'}"],
    ]

    runs = [
        runner.invoke(app, ["recommend", *words, "--count", "2", "--collection", "shoes"]) for words in asked
    ]

    assert [run.exit_code for run in runs] == [0] * 4, runs[0].output
    image, items, record, file = shop.shop.queries
    assert image.image == jpeg("blue")
    assert list(items.items.item_ids) == ["a", "b"]
    assert MessageToDict(record.attributes) == {"category": "skirt"}
    assert MessageToDict(file.attributes) == {"category": "스커트"}
    assert {query.collection for query in shop.shop.queries} == {"shoes"}
    # One more than asked for, where an item may be the very picture.
    assert [query.item_count for query in shop.shop.queries] == [3, 2, 2, 2]


def test_json_is_the_reply(runner: CliRunner, shop: FakeServices) -> None:
    """`--json` prints the message with the names of the protos."""
    run = runner.invoke(app, ["recommend", "--item", "a", "--count", "2", "--json"])

    body = json.loads(run.stdout)
    assert [each["item"]["item_id"] for each in body["recommendations"]] == ["a", "b"]
    assert body["collection"] == "fashion"


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ([], "none"),
        (["--item", "a", "--attributes", "{}"], "--item and --attributes"),
        (["--image", "x.jpg", "--item", "a", "--attributes", "{}"], "--image and --item and --attributes"),
    ],
)
def test_exactly_one_query_is_asked(runner: CliRunner, words: list[str], given: str) -> None:
    """None or several are a usage error that names what was given."""
    run = runner.invoke(app, ["recommend", *words])

    assert run.exit_code == 2
    assert run.stderr == f"error: one of --image, --item and --attributes is needed, not {given}\n"


@pytest.mark.parametrize(
    ("text", "message"), [("{", "--attributes is not JSON"), ("[1]", "a JSON list, not an object")]
)
def test_a_record_is_a_json_object(runner: CliRunner, text: str, message: str) -> None:
    """Anything else is a usage error that names the option."""
    run = runner.invoke(app, ["recommend", "--attributes", text])

    assert run.exit_code == 2
    assert message in run.stderr
    with pytest.raises(CommandError, match=message):
        parse_record(text)


def test_a_missing_record_file_is_named(runner: CliRunner, tmp_path: Path) -> None:
    """`@FILE` of a file that is not there exits with 1 and the path."""
    run = runner.invoke(app, ["recommend", "--attributes", f"@{tmp_path / 'none.json'}"])

    assert run.exit_code == 1
    assert run.stderr == f"error: {tmp_path / 'none.json'}: No such file or directory\n"


def test_a_picture_is_not_its_own_first_result(
    runner: CliRunner, shop: FakeServices, tmp_path: Path, jpeg: Callable[..., bytes]
) -> None:
    """An item of the very file that is asked with is left out, and as many as asked for come back."""
    query = tmp_path / "query.jpg"
    query.write_bytes(jpeg("blue"))
    shop.shop.items["a"].image = query.read_bytes()

    run = runner.invoke(app, ["recommend", "--image", str(query), "--count", "2", "--json"])

    assert run.exit_code == 0, run.output
    items = [each["item"]["item_id"] for each in json.loads(run.stdout)["recommendations"]]
    assert items == ["b", "c"]
    assert shop.shop.queries[0].item_count == 3


def test_a_saved_sheet_shows_record_and_attributes(
    shop: FakeServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above the results stands the record, below each its attributes, those asked for first."""
    sheets: list[Any] = []
    monkeypatch.setattr("cli.recommend.save_sheet", lambda path, rows, **_: sheets.extend(rows) or path)
    request = recommender_pb2.RecommendRequest(
        attributes=ParseDict({"print": "dots"}, Struct()), item_count=1
    )

    with RecommenderClient(shop.shop_address) as recommender:
        answer = recommender.recommend(request)
        save_recommendation(tmp_path / "sheet.png", recommender, request, answer, "en")

    asked, results = sheets
    assert (asked.tiles, asked.notes) == ((), ("print: dots",))
    assert results.tiles[0].caption == "a"
    assert results.tiles[0].words == "dots stripes, skirt"


@pytest.mark.parametrize(
    ("words", "description"),
    [
        (["--item", "a"], "query, then nearest first"),
        (["--attributes", '{"category": "스커트"}'], '{"category": "스커트"}'),
    ],
)
def test_query_and_results_are_saved(
    runner: CliRunner, shop: FakeServices, tmp_path: Path, words: list[str], description: str
) -> None:
    """`--save` writes a PNG: the query's pictures above the results'; its metadata keeps the record."""
    sheet = tmp_path / "sheet.png"

    run = runner.invoke(app, ["recommend", *words, "--save", str(sheet)])

    assert run.exit_code == 0, run.output
    with Image.open(sheet) as saved:
        saved.load()
        assert saved.info["Description"] == description


def test_results_without_pictures_cannot_be_saved(
    runner: CliRunner, services: FakeServices, tmp_path: Path
) -> None:
    """In a collection of vectors there is nothing to draw: an error, and no file."""
    services.shop.items["a"] = catalog_pb2.UpsertItem(item_id="a")

    run = runner.invoke(app, ["recommend", "--item", "a", "--save", str(tmp_path / "sheet.png")])

    assert run.exit_code == 1
    assert run.stderr == "error: neither query nor results have a picture to save\n"
    assert not (tmp_path / "sheet.png").exists()


def test_an_empty_answer_is_not_saved(runner: CliRunner, services: FakeServices, tmp_path: Path) -> None:
    """A collection without items: the error says so, and no file is made."""
    words = ["recommend", "--attributes", "{}", "--save", str(tmp_path / "sheet.png")]

    run = runner.invoke(app, words)

    assert run.exit_code == 1
    assert run.stderr.startswith("error: nothing was recommended, so there is nothing to save\n")
    assert not (tmp_path / "sheet.png").exists()


@pytest.mark.slow
def test_a_recommender_that_is_away_is_named(runner: CliRunner) -> None:
    """Exit code 3, and a hint that says what starts the services."""
    run = runner.invoke(app, ["recommend", "--item", "a", "--address", "127.0.0.1:1"])

    assert run.exit_code == 3
    assert run.stderr.splitlines()[-1] == "hint: are the services running? `atelier up` starts them"


def test_options_narrow_and_vary_the_results(runner: CliRunner, shop: FakeServices) -> None:
    """Conditions, items left out, stock, new products, diversity and explanations are sent (R-3)."""
    words = ["recommend", "--item", "a", "--filter", "print=dots|stripes", "--filter", "price<=20"]
    words += ["--in-stock", "--exclude", "c", "--new", "--diversity", "0.5", "--explain"]

    run = runner.invoke(app, words)

    assert run.exit_code == 0, run.output
    (query,) = shop.shop.queries
    assert MessageToDict(query.filter) == {
        "anyOf": {"print": ["dots", "stripes"]},
        "noneOf": {},
        "numberRanges": {"price": {"atMost": 20.0}},
        "inStock": True,
    }
    assert list(query.excluded_item_ids) == ["c"]
    assert (query.new_products_only, query.diversity, query.explain) == (True, 0.5, True)
    assert "shared" in run.stdout
    assert "dots" in run.stdout
