"""`atelier bestsellers | feedback | trends`, against a recommender in this process."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from atelier.recommender.v1 import catalog_pb2
from typer.testing import CliRunner

from cli.main import app
from tests.cli.fakes import FakeServices


@pytest.fixture
def shop(services: FakeServices, jpeg: Callable[..., bytes]) -> FakeServices:
    """One item."""
    services.shop.items["a"] = catalog_pb2.UpsertItem(item_id="a", image=jpeg())
    return services


def test_each_source_of_bestsellers_is_sent(
    runner: CliRunner, shop: FakeServices, tmp_path: Path, jpeg: Callable[..., bytes]
) -> None:
    """Items, pictures, a sales table, or the proxy without any (R-1, R-8)."""
    (tmp_path / "best.jpg").write_bytes(jpeg("blue"))
    (tmp_path / "sales.csv").write_text("\ufeffitem_id,units\na,3\nb,4.5\n")
    asked: list[list[str]] = [
        ["--item", "a", "--item", "b"],
        ["--image", str(tmp_path / "best.jpg")],
        ["--sales", str(tmp_path / "sales.csv")],
        [],
    ]

    runs = [runner.invoke(app, ["bestsellers", *words, "--count", "3"]) for words in asked]

    assert [run.exit_code for run in runs] == [0] * 4, runs[0].output
    items, pictures, sales, proxy = shop.shop.bestsellers
    assert list(items.items.item_ids) == ["a", "b"]
    assert list(pictures.pictures.images) == [jpeg("blue")]
    assert [(row.item_id, row.units) for row in sales.sales.rows] == [("a", 3), ("b", 4.5)]
    assert proxy.use_proxy
    assert proxy.item_count == 3
    assert "bestsellers: 3, by sales" in runs[0].stdout
    assert "75%" in runs[0].stdout


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("item_id,sold\na,3\n", "no columns item_id and units"),
        ("item_id,units\na,many\n", "line 2: units 'many'"),
    ],
)
def test_a_bad_sales_table_is_one_line(
    runner: CliRunner, shop: FakeServices, tmp_path: Path, text: str, problem: str
) -> None:
    """The file and line are named, and nothing is asked."""
    (tmp_path / "sales.csv").write_text(text)

    run = runner.invoke(app, ["bestsellers", "--sales", str(tmp_path / "sales.csv")])

    assert run.exit_code == 2
    assert problem in " ".join(run.output.split())
    assert shop.shop.bestsellers == []


def test_two_sources_are_refused(runner: CliRunner, shop: FakeServices) -> None:
    """The options that exclude each other are named."""
    run = runner.invoke(app, ["bestsellers", "--item", "a", "--image", "b.jpg"])

    assert run.exit_code == 2
    assert "--item and --image" in run.output


def test_feedback_is_recorded_once(runner: CliRunner, shop: FakeServices, tmp_path: Path) -> None:
    """Events of a file are sent; those that are known are counted apart (R-5)."""
    events = [
        {"event_id": "1", "item_id": "a", "kind": "clicked", "occurred_at": "2026-11-01T00:00:00Z"},
        {"event_id": "2", "item_id": "a", "kind": "liked", "lead": {"name": "fashion-image", "version": 3}},
    ]
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(map(json.dumps, events)) + "\n\n")

    first = runner.invoke(app, ["feedback", str(file)])
    again = runner.invoke(app, ["feedback", str(file), "--json"])

    assert first.exit_code == 0, first.output
    assert "recorded 2 of 2 events" in first.stdout
    assert json.loads(again.stdout) == {"events": 2, "recorded": 0}
    assert shop.shop.events["2"].lead.version == 3


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"event_id": "1"}', '{"kind": "sold", "event_id": "1"}', '{"kind": 3}']
)
def test_what_is_no_event_is_named_by_its_line(
    runner: CliRunner, shop: FakeServices, tmp_path: Path, line: str
) -> None:
    """Nothing of the file is sent."""
    file = tmp_path / "events.jsonl"
    file.write_text('{"event_id": "0", "item_id": "a", "kind": "shown"}\n' + line)

    run = runner.invoke(app, ["feedback", str(file)])

    assert run.exit_code == 2
    assert "line 2 is not an event" in " ".join(run.output.split())
    assert shop.shop.events == {}


def test_trends_are_drawn(runner: CliRunner, shop: FakeServices) -> None:
    """A curve, the last shares and the change of each value (R-1)."""
    run = runner.invoke(app, ["trends", "--field", "print", "--days", "21"])

    assert run.exit_code == 0, run.output
    (request,) = shop.shop.trends
    assert (list(request.fields), request.days, request.period_days) == (["print"], 21, 7)
    for text in ("dots", "▁▅█", "100%", "25%", "+100%", "points of 7 days"):
        assert text in run.stdout
