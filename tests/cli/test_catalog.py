"""`atelier catalog …`, against a catalog in this process."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToDict
from typer.testing import CliRunner

from cli.main import app
from tests.cli.fakes import FakeServices


@pytest.fixture
def pictures(tmp_path: Path, jpeg: Callable[..., bytes]) -> Path:
    """A folder with two pictures, of which one lies deeper."""
    folder = tmp_path / "pictures"
    for name, colour in (("red.jpg", "red"), ("deep/blue.jpg", "blue")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(jpeg(colour))
    return folder


def test_a_folder_is_imported(
    runner: CliRunner, services: FakeServices, pictures: Path, jpeg: Callable[..., bytes]
) -> None:
    """Every picture becomes an item that is named by its file; the revision is printed."""
    run = runner.invoke(app, ["catalog", "import", str(pictures)])

    assert run.exit_code == 0, run.output
    assert "imported 2 of 2; catalog revision 7" in run.stdout
    kept = {item.image: dict(item.attributes) for item in services.shop.items.values()}
    assert kept == {jpeg("red"): {}, jpeg("blue"): {}}
    assert "red" in services.shop.items


def test_a_table_brings_names_and_attributes(
    runner: CliRunner, services: FakeServices, pictures: Path, tmp_path: Path
) -> None:
    """`item_id` names the item; a bar separates the values of a list; empty cells are left out."""
    table = tmp_path / "shop.csv"
    table.write_text("image,item_id,category,print\nred.jpg,one,skirt,dots|stripes\ndeep/blue.jpg,,bag,\n")

    run = runner.invoke(app, ["catalog", "import", str(pictures), "--attributes", str(table), "--json"])

    assert run.exit_code == 0, run.output
    assert json.loads(run.stdout) == {"items": 2, "failed": [], "catalogue_revision": 7}
    records = {name: MessageToDict(item.attributes) for name, item in services.shop.items.items()}
    assert records.pop("one") == {"category": "skirt", "print": ["dots", "stripes"]}
    assert list(records.values()) == [{"category": "bag"}]


def test_lines_of_json_are_a_table_too(
    runner: CliRunner, services: FakeServices, pictures: Path, tmp_path: Path
) -> None:
    """JSONL keeps numbers and lists as they are."""
    table = tmp_path / "shop.jsonl"
    row = {"image": "red.jpg", "item_id": "one", "price": 3, "print": ["dots"]}
    table.write_text(json.dumps(row) + "\n")

    run = runner.invoke(app, ["catalog", "import", str(pictures), "--attributes", str(table)])

    assert run.exit_code == 0, run.output
    assert MessageToDict(services.shop.items["one"].attributes) == {"price": 3, "print": ["dots"]}


@pytest.mark.parametrize("image", ["gone.jpg", "../outside.jpg"])
def test_a_row_without_its_picture_stops_the_import(
    runner: CliRunner, services: FakeServices, pictures: Path, tmp_path: Path, image: str
) -> None:
    """A picture that is missing or lies outside the folder is a usage error; nothing is sent."""
    (tmp_path / "outside.jpg").touch()
    table = tmp_path / "shop.csv"
    table.write_text(f"image,category\nred.jpg,skirt\n{image},bag\n")

    run = runner.invoke(app, ["catalog", "import", str(pictures), "--attributes", str(table)])

    assert run.exit_code == 2
    assert f"1 rows of {table} have no picture" in run.stderr
    assert image in run.stderr
    assert services.shop.items == {}


def test_a_refused_item_is_listed_and_fails(
    runner: CliRunner, services: FakeServices, pictures: Path, jpeg: Callable[..., bytes]
) -> None:
    """The others are kept; the exit code is 1, and JSON names the item with its reason."""
    (pictures / "bad.jpg").write_bytes(jpeg())

    shown = runner.invoke(app, ["catalog", "import", str(pictures)])
    listed = runner.invoke(app, ["catalog", "import", str(pictures), "--json"])

    assert (shown.exit_code, listed.exit_code) == (1, 1)
    assert "not imported: bad: no picture" in shown.stdout
    assert "imported 2 of 3" in shown.stdout
    assert "error: 1 of 3 items were not imported" in shown.stderr
    (failed,) = json.loads(listed.stdout)["failed"]
    assert (failed["item_id"], failed["error"]["message"]) == ("bad", "no picture")


def test_items_are_listed_and_deleted(runner: CliRunner, services: FakeServices, pictures: Path) -> None:
    """A table or JSON of what is there; deleting counts what was there."""
    runner.invoke(app, ["catalog", "import", str(pictures)])
    names = sorted(services.shop.items)

    table = runner.invoke(app, ["catalog", "list"])
    body = json.loads(runner.invoke(app, ["catalog", "list", "--json"]).stdout)
    deleted = runner.invoke(app, ["catalog", "delete", names[0], "nothing"])

    assert all(name in table.stdout for name in names)
    assert [item["item_id"] for item in body] == names
    assert deleted.stdout == "deleted 1 of 2\n"
    assert sorted(services.shop.items) == names[1:]


def test_a_folder_without_pictures_is_a_usage_error(runner: CliRunner, tmp_path: Path) -> None:
    """It is named before the service is asked."""
    run = runner.invoke(app, ["catalog", "import", str(tmp_path)])

    assert run.exit_code == 2
    assert run.stderr == f"error: no JPEG, PNG or WEBP in {tmp_path}\n"
