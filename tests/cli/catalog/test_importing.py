"""`atelier catalog import`, against a catalog in this process."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToDict
from typer.testing import CliRunner

from cli.main import app
from tests.cli.fakes import FakeServices


def test_a_folder_is_imported(
    runner: CliRunner, services: FakeServices, pictures: Path, jpeg: Callable[..., bytes]
) -> None:
    """Every picture becomes an item that is named by its file; the revision is printed."""
    run = runner.invoke(app, ["catalog", "import", str(pictures)])

    assert run.exit_code == 0, run.output
    assert "imported 2 of 2: 2 new, 0 changed, 0 unchanged; catalog revision 7" in run.stdout
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
    assert json.loads(run.stdout) == {
        "items": 2,
        "new": 2,
        "changed": 0,
        "unchanged": 0,
        "failed": [],
        "vanished": 0,
        "removed": 0,
        "catalogue_revision": 7,
    }
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
    assert f"1 rows of {table} cannot be imported: line 3: no picture" in run.stderr
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


def test_a_folder_without_pictures_is_a_usage_error(runner: CliRunner, tmp_path: Path) -> None:
    """It is named before the service is asked."""
    run = runner.invoke(app, ["catalog", "import", str(tmp_path)])

    assert run.exit_code == 2
    assert run.stderr == f"error: no JPEG, PNG or WEBP in {tmp_path}\n"


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_table_brings_stock_release_and_product(
    runner: CliRunner, services: FakeServices, pictures: Path, suffix: str
) -> None:
    """`in_stock`, `released_at` and `product_id` are columns, not attributes (R-12)."""
    table = pictures / f"shop.{suffix}"
    if suffix == "csv":
        table.write_text(
            "image,item_id,in_stock,released_at,product_id,category\n"
            "red.jpg,one,no,2026-11-27,skirt,bag\ndeep/blue.jpg,two,,2026-11-27T09:00:00.5+09:00,,\n"
        )
    else:
        rows: list[dict[str, object]] = [
            {"image": "red.jpg", "item_id": "one", "in_stock": False, "released_at": "2026-11-27"},
            {"image": "deep/blue.jpg", "item_id": "two", "released_at": "2026-11-27T00:00:00.5Z"},
        ]
        rows[0] |= {"product_id": "skirt", "category": "bag"}
        table.write_text("".join(json.dumps(row) + "\n" for row in rows))

    run = runner.invoke(app, ["catalog", "import", str(table)])

    assert run.exit_code == 0, run.output
    one, two = services.shop.items["one"], services.shop.items["two"]
    assert (one.in_stock, one.product_id, one.released_at.ToJsonString()) == (
        False,
        "skirt",
        "2026-11-27T00:00:00Z",
    )
    assert MessageToDict(one.attributes) == {"category": "bag"}
    assert (two.HasField("in_stock"), two.product_id) == (False, "")
    assert two.released_at.ToJsonString() == "2026-11-27T00:00:00.500Z"


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ({"image": "red.jpg", "in_stock": "maybe"}, "in_stock is 'maybe', not true or false"),
        ({"image": "red.jpg", "released_at": "soon"}, "released_at is 'soon', not a date"),
        ({"item_id": "bare", "vector": [1, 2]}, "vector is not an object of space_id and values"),
        ({"image": "red.jpg", "item_id": "kept"}, "kept is the item of line 1 already"),
    ],
)
def test_a_row_that_is_no_item_is_named(
    runner: CliRunner, services: FakeServices, pictures: Path, row: dict[str, object], fault: str
) -> None:
    """A usage error with the line and the fault; nothing is sent."""
    table = pictures / "shop.jsonl"
    table.write_text(json.dumps({"image": "red.jpg", "item_id": "kept"}) + "\n" + json.dumps(row) + "\n")

    run = runner.invoke(app, ["catalog", "import", str(table)])

    assert run.exit_code == 2
    assert f"line 2: {fault}" in run.stderr
    assert services.shop.sent == []


def test_an_import_goes_on_where_it_was_cut_short(
    runner: CliRunner, services: FakeServices, pictures: Path, jpeg: Callable[..., bytes]
) -> None:
    """What is in the catalog with the same content is not sent again, and said to be unchanged (R-12)."""
    runner.invoke(app, ["catalog", "import", str(pictures)])
    (pictures / "green.jpg").write_bytes(jpeg("green"))
    (pictures / "red.jpg").write_bytes(jpeg("pink"))
    services.shop.sent.clear()

    run = runner.invoke(app, ["catalog", "import", str(pictures)])
    again = runner.invoke(app, ["catalog", "import", str(pictures)])

    assert "imported 3 of 3: 1 new, 1 changed, 1 unchanged" in run.stdout
    assert "imported 3 of 3: 0 new, 0 changed, 3 unchanged" in again.stdout
    assert services.shop.sent == [["green", "red"]]


def test_items_can_be_sent_again(runner: CliRunner, services: FakeServices, pictures: Path) -> None:
    """`--resend` sends what looks unchanged too; the service's revision says that it is."""
    runner.invoke(app, ["catalog", "import", str(pictures)])
    services.shop.sent.clear()

    run = runner.invoke(app, ["catalog", "import", str(pictures), "--resend"])

    assert "imported 2 of 2: 0 new, 0 changed, 2 unchanged" in run.stdout
    assert sum(map(len, services.shop.sent)) == 2


@pytest.mark.slow
def test_when_every_item_is_refused_each_is_named(
    runner: CliRunner, services: FakeServices, tmp_path: Path, jpeg: Callable[..., bytes]
) -> None:
    """A call that fails as a whole fails its items, not the import."""
    for number in range(200):
        (tmp_path / f"bad-{number:03}.jpg").write_bytes(jpeg())
    (tmp_path / "good.jpg").write_bytes(jpeg())

    run = runner.invoke(app, ["catalog", "import", str(tmp_path)])

    assert run.exit_code == 1
    assert "imported 1 of 201" in run.stdout
    assert "not imported: bad-019: no picture\nnot imported: 180 more" in run.stdout
    assert set(services.shop.items) == {"good"}


def test_what_vanished_is_removed_only_when_asked(
    runner: CliRunner, services: FakeServices, pictures: Path, jpeg: Callable[..., bytes]
) -> None:
    """Without the flag it is counted; with it the number is shown and has to be confirmed (R-12)."""
    runner.invoke(app, ["catalog", "import", str(pictures)])
    (pictures / "red.jpg").unlink()

    kept = runner.invoke(app, ["catalog", "import", str(pictures)])
    refused = runner.invoke(app, ["catalog", "import", str(pictures), "--remove-vanished"], input="n\n")
    assert "red" in services.shop.items
    removed = runner.invoke(app, ["catalog", "import", str(pictures), "--remove-vanished"], input="y\n")

    assert "1 of 2 items of fashion are not in this import and stay" in kept.stderr
    assert refused.exit_code == 1
    assert "Remove 1 items" in refused.stderr
    assert removed.exit_code == 0
    assert removed.stdout.endswith("removed 1 items that were not in the import\n")
    assert "red" not in services.shop.items


def test_nothing_is_removed_after_a_failure(
    runner: CliRunner, services: FakeServices, pictures: Path, jpeg: Callable[..., bytes]
) -> None:
    """An import of which an item failed removes nothing, also with `--yes`."""
    runner.invoke(app, ["catalog", "import", str(pictures)])
    (pictures / "red.jpg").rename(pictures / "bad.jpg")

    run = runner.invoke(app, ["catalog", "import", str(pictures), "--remove-vanished", "--yes", "--json"])

    assert run.exit_code == 1
    body = json.loads(run.stdout)
    assert (body["vanished"], body["removed"]) == (1, 0)
    assert "red" in services.shop.items


def test_an_empty_table_removes_nothing(
    runner: CliRunner, services: FakeServices, pictures: Path, tmp_path: Path
) -> None:
    """A table that was cut off before its first row does not empty the catalog, also with `--yes`."""
    runner.invoke(app, ["catalog", "import", str(pictures)])
    table = tmp_path / "shop.csv"
    table.write_text("image,item_id\n")
    run = runner.invoke(app, ["catalog", "import", str(table), "--remove-vanished", "--yes"])

    assert run.exit_code == 1
    assert "--remove-vanished would remove all 2 of them" in " ".join(run.stderr.split())
    assert len(services.shop.items) == 2


def test_a_table_of_another_catalog_removes_nothing(
    runner: CliRunner, services: FakeServices, pictures: Path, tmp_path: Path
) -> None:
    """Where no item of the catalog is in the table, it is another one's, also with `--yes`."""
    runner.invoke(app, ["catalog", "import", str(pictures)])
    table = tmp_path / "shop.csv"
    table.write_text("image,item_id\nred.jpg,other\n")
    arguments = ["catalog", "import", str(pictures), "--attributes", str(table), "--remove-vanished", "--yes"]

    run = runner.invoke(app, arguments)
    difference = runner.invoke(app, [*arguments, "--dry-run"])

    assert run.exit_code == 1
    assert "--remove-vanished would remove all 2 of them" in " ".join(run.stderr.split())
    assert len(services.shop.items) == 2
    assert "gone: 2" in difference.stdout


def test_a_file_of_another_kind_is_a_usage_error(runner: CliRunner, pictures: Path) -> None:
    """The suffixes of tables are named."""
    run = runner.invoke(app, ["catalog", "import", str(pictures / "red.jpg")])

    assert run.exit_code == 2
    assert "is neither a folder nor a table: the suffix of a table is .csv, .json, .jsonl" in run.stderr
