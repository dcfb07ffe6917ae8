"""A shop's own table: its columns, its pictures on the web, its sales, and the difference that it makes."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToDict
from typer.testing import CliRunner

from cli.main import app
from tests.cli.catalog.test_downloads import Shop
from tests.cli.fakes import FakeServices

COLUMNS = ["상품코드=item_id", "이미지=image", "분류=category", "재고=in_stock", "메모=", "판매량=units"]


@pytest.fixture
def shop() -> Iterator[Shop]:
    served = Shop()
    yield served
    served.close()


@pytest.fixture
def table(tmp_path: Path, shop: Shop, jpeg: Callable[..., bytes]) -> Path:
    """Two items with pictures on the web, as Korean Excel saves them."""
    red, blue = shop.put("/red.jpg", jpeg("red")), shop.put("/blue.jpg", jpeg("blue"))
    path = tmp_path / "shop.csv"
    rows = ["상품코드,이미지,분류,재고,메모", f"A-1,{red},스커트,12,x", f"A-2,{blue},드레스,0,y"]
    path.write_text("\n".join(rows) + "\n", encoding="cp949")
    return path


def arguments(shop: Shop, table: Path, *more: str) -> list[str]:
    pairs = [word for pair in COLUMNS for word in ("--column", pair)]
    folder = ["--downloads", str(table.parent / "downloads"), "--allow-host", shop.host]
    return ["catalog", "import", str(table), *pairs, *folder, *more]


def test_a_shops_table_is_imported(
    runner: CliRunner, services: FakeServices, shop: Shop, table: Path, jpeg: Callable[..., bytes]
) -> None:
    """Columns are renamed or left out, a number of pieces is a stock, pictures are fetched. (R-4, F-6)"""
    run = runner.invoke(app, arguments(shop, table))

    assert run.exit_code == 0, run.output
    items = services.shop.items
    assert {name: item.in_stock for name, item in items.items()} == {"A-1": True, "A-2": False}
    assert [MessageToDict(items[name].attributes) for name in ("A-1", "A-2")] == [
        {"category": "스커트"}, {"category": "드레스"},
    ]  # fmt: skip
    assert {name: item.image for name, item in items.items()} == {"A-1": jpeg("red"), "A-2": jpeg("blue")}


def test_columns_may_be_named_in_a_file(
    runner: CliRunner, services: FakeServices, shop: Shop, table: Path
) -> None:
    """A YAML file says the same once; the command line goes before it."""
    names = table.with_suffix(".yml")
    names.write_text("상품코드: group\n이미지: image\n분류:\n메모:\n재고: in_stock\n", encoding="utf-8")
    words = ["catalog", "import", str(table), "--columns", str(names), "--column", "상품코드=item_id"]
    run = runner.invoke(app, [*words, "--downloads", str(table.parent / "d"), "--allow-host", shop.host])

    assert run.exit_code == 0, run.output
    assert MessageToDict(services.shop.items["A-1"].attributes) == {}


def test_the_difference_is_shown_first(
    runner: CliRunner, services: FakeServices, shop: Shop, table: Path, jpeg: Callable[..., bytes]
) -> None:
    """--dry-run names what is new, changed, unchanged and gone, and sends nothing."""
    runner.invoke(app, arguments(shop, table))
    folder = table.parent / "other"
    folder.mkdir()
    (folder / "gone.jpg").write_bytes(jpeg("green"))
    runner.invoke(app, ["catalog", "import", str(folder)])
    text = table.read_text(encoding="cp949").replace("스커트", "팬츠")
    table.write_text(text + text.splitlines()[2].replace("A-2", "A-3") + "\n", encoding="cp949")
    before = {name: item.SerializeToString() for name, item in services.shop.items.items()}

    shown = runner.invoke(app, arguments(shop, table, "--dry-run"))
    listed = runner.invoke(app, arguments(shop, table, "--dry-run", "--json"))

    assert json.loads(listed.stdout) == {
        "new": ["A-3"], "changed": ["A-1"], "unchanged": ["A-2"], "gone": ["gone"],
    }  # fmt: skip
    assert shown.stdout.splitlines() == [
        "new: 1: A-3",
        "changed: 1: A-1",
        "unchanged: 1",
        "gone: 1: gone",
        "nothing was sent: leave out --dry-run to import",
    ]
    assert {name: item.SerializeToString() for name, item in services.shop.items.items()} == before


def test_sales_give_bestsellers(
    runner: CliRunner, services: FakeServices, shop: Shop, table: Path, tmp_path: Path
) -> None:
    """After the import the table of units sold is asked with, and its answer is printed. (R-1, R-8)"""
    sales = tmp_path / "sales.csv"
    sales.write_text("상품코드,판매량\nA-1,90\nA-2,3\n", encoding="utf-8")
    run = runner.invoke(app, arguments(shop, table, "--sales", str(sales), "--json"))

    assert run.exit_code == 0, run.output
    body = json.loads(run.stdout)
    assert body["new"] == 2
    assert "recommendations" in body["beside_bestsellers"]


def test_every_picture_that_cannot_be_had_is_named(
    runner: CliRunner, services: FakeServices, shop: Shop, table: Path
) -> None:
    """Rows with pictures of other hosts, or none, are listed with their lines; nothing is sent. (S-5)"""
    shop.put("/blue.jpg", status=404)
    with table.open("a", encoding="cp949") as stream:
        stream.write("A-3,https://evil.com/a.jpg,드레스,1,z\n")
    run = runner.invoke(app, arguments(shop, table))

    assert run.exit_code == 2
    assert "2 rows of" in run.stderr
    assert "line 3: 127.0.0.1 answers 404" in run.stderr
    assert "line 4: the host evil.com is not allowed" in run.stderr
    assert services.shop.items == {}


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--column", "이미지"], "--column 이미지: expected NAME=FIELD"),
        (
            ["--column", "그림=image"],
            "no column 그림 to call image; the columns are 상품코드, 이미지, 분류, 재고, 메모",
        ),
        (["--column", "이미지=image", "--column", "코드=product_id"], "no column 코드 to call product_id"),
        (["--column", "이미지=image", "--column", "분류=image"], "two columns are called image"),
        (["--columns", "columns.yml"], "columns.yml: expected a line for each column"),
        (["--columns", "broken.yml"], "broken.yml: not readable as YAML"),
    ],
)
def test_a_wrong_name_of_a_column_is_a_usage_error(
    runner: CliRunner,
    services: FakeServices,
    table: Path,
    options: list[str],
    why: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The message names the column, and those that the table has."""
    monkeypatch.chdir(table.parent)
    Path("columns.yml").write_text("- a\n")
    Path("broken.yml").write_text("a: [\n")
    run = runner.invoke(app, ["catalog", "import", str(table), *options])

    assert run.exit_code == 2, run.output
    assert why in run.stderr
