"""`atelier catalog list | delete`, against a catalog in this process."""

import json
from pathlib import Path

from typer.testing import CliRunner

from cli.main import app
from tests.cli.fakes import FakeServices


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
