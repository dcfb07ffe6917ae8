"""Every file operation fails once: what is on the disk afterwards is whole, and the failure has a name (S-8).

`ATELIER_TEST_FAULTS=0` fails each operation of each change in each manner; a run of `make test` some of them.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import ROOT
from tests.integration.faults.scenarios import SCENARIOS

pytestmark = pytest.mark.slow

MOST = int(os.environ.get("ATELIER_TEST_FAULTS", "5"))


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What came of every scenario, from one process."""
    folder = tmp_path_factory.mktemp("faults")
    library = folder / "faults.so"
    source = Path(__file__).with_name("faults.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-w", "-o", library, source, "-ldl"], check=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    command = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "tests.integration.faults.failing",
        folder,
        str(MOST),
        *SCENARIOS,
    ]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**environment, "LD_PRELOAD": str(library)},
        capture_output=True,
        text=True,
        timeout=3_600,
        check=True,
    )
    outcomes: dict[str, Any] = json.loads(done.stdout)
    print(json.dumps({name: {**it, "violations": len(it["violations"])} for name, it in outcomes.items()}))
    return outcomes


@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("name", [name for name in SCENARIOS if name != "careless"])
def test_no_failed_operation_leaves_less_than_a_whole_state(outcomes: dict[str, Any], name: str) -> None:
    """A full disk, a broken one, one that refuses, a short write: the state before or the next one, an error
    of the room's own or of the system, and the change goes well afterwards (M-1, R-4, A-14, S-8)."""
    outcome = outcomes[name]

    assert outcome["violations"] == []
    assert outcome["operations"] > 10
    assert all(outcome["failed"][manner] for manner in ("ENOSPC", "EIO", "EACCES", "short"))
    assert outcome["raised"]


def test_a_file_written_in_place_is_noticed(outcomes: dict[str, Any]) -> None:
    """The suite can fail: half of a file is a violation."""
    assert outcomes["careless"]["violations"]
