"""`atelier index …`, against an index in this process."""

import json

from atelier.recommender.v1 import catalog_pb2
from typer.testing import CliRunner

from cli.main import app
from tests.cli.fakes import FakeServices


def test_the_status_is_printed(runner: CliRunner, services: FakeServices) -> None:
    """Counts, the measured recall of each group of queries and what is wrong, for people (R-3)."""
    services.shop.items["one"] = catalog_pb2.UpsertItem(item_id="one")

    run = runner.invoke(app, ["index", "status"])

    assert run.exit_code == 0, run.output
    lines = [" ".join(line.split()) for line in run.stdout.splitlines()]
    assert "collection fashion, space none, 0 dimensions" in lines
    assert any("live count" in line and "1" in line for line in lines)
    (row,) = [line for line in lines if "attributes" in line and "0.970" in line]
    assert "exact" in row
    assert "32" in row
    assert "recall of attributes queries was below 0.99: they are answered exactly" in lines


def test_the_status_is_json_with_the_protos_names(runner: CliRunner, services: FakeServices) -> None:
    """--json prints the message, zero values included (R-3)."""
    run = runner.invoke(app, ["index", "status", "--collection", "shoes", "--json"])

    assert run.exit_code == 0, run.output
    body = json.loads(run.stdout)
    assert (body["collection"], body["dead_rows"]) == ("shoes", "0")
    assert body["recalls"] == [
        {
            "query_kind": "QUERY_KIND_ATTRIBUTES",
            "item_share": 0.2,
            "recall": 0.97,
            "query_count": 32,
            "ef": 0,
            "is_exact": True,
        }
    ]


def test_a_rebuild_says_what_it_built(runner: CliRunner, services: FakeServices) -> None:
    """The number of items and the duration, for people and as JSON (R-4)."""
    services.shop.items["one"] = catalog_pb2.UpsertItem(item_id="one")

    printed = runner.invoke(app, ["index", "rebuild"])
    body = runner.invoke(app, ["index", "rebuild", "--json"])

    assert printed.stdout == "1 items in 1.5 s\n"
    assert json.loads(body.stdout) == {"live_count": "1", "build_ms": "1500"}


def test_what_blocks_an_upgrade_is_dropped(runner: CliRunner, services: FakeServices) -> None:
    """The number of deleted items, for people and as JSON (R-4)."""
    printed = runner.invoke(app, ["index", "drop-blocking"])
    body = runner.invoke(app, ["index", "drop-blocking", "--json"])

    assert printed.stdout == "1,200 items deleted\n"
    assert json.loads(body.stdout) == {"deleted_count": "1200", "catalogue_revision": "9"}


def test_an_unknown_collection_ends_the_command(runner: CliRunner, services: FakeServices) -> None:
    """The service's error is a line on stderr and the code 1."""
    run = runner.invoke(app, ["index", "status", "--collection", "absent"])

    assert run.exit_code == 1
    assert "there are fashion" in run.stderr
