"""docs/gateway.md: its tables are the gateway's routes and statuses, and its examples run."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from services.gateway.app import routed_app
from services.gateway.document import openapi_document
from services.gateway.web.problems import STATUSES
from tests.services.gateway.house import drawing

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "gateway.md").read_text()
EXAMPLES = re.findall(r"^curl .*$", PAGE, re.MULTILINE)


def test_every_route_stands_in_the_page():
    """The table has each operation with its scope, and no other. (R-7)"""
    rows = re.findall(r"^\| `([A-Z]+ /[^`]+)` \| (\w+) \| ", PAGE, re.MULTILINE)
    paths = openapi_document(routed_app())["paths"]

    assert dict(rows) == {
        f"{method.upper()} {path}": operation["x-scope"]
        for path, operations in paths.items()
        for method, operation in operations.items()
    }


def test_every_status_stands_in_the_page():
    """Each gRPC code has the status that the table gives. (S-1)"""
    rows = re.findall(r"^\| (\d{3}) \| ([A-Z_, ]+) \| ", PAGE, re.MULTILINE)
    written = {(code, int(status)) for status, codes in rows for code in codes.split(", ")}

    assert {(code.name, status) for code, status in STATUSES.items()} <= written


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_examples_run(gateway, tmp_path):
    """Each command of the page, in order, is answered without an error. (R-7)"""
    for number, name in enumerate(("photo.jpg", "other.jpg")):
        (tmp_path / name).write_bytes(drawing(number))
    for example in EXAMPLES:
        command = example.replace("http://127.0.0.1:8000", gateway.url).replace('garment-1"', 'item-01"')
        run = subprocess.run(
            [*shlex.split(command), "--fail-with-body"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )

        assert run.returncode == 0, f"{example}\n{run.stdout}{run.stderr}"
    assert len(EXAMPLES) >= 10
