"""`atelier up` in the foreground: addresses printed, one Ctrl-C stops all cleanly, what dies is restarted."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from services.client.health import await_serving
from tests.integration.test_promotion import wait_until

pytestmark = pytest.mark.slow

NAMES = ("embedder", "ranker", "recommender", "gateway")


def alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{process_id}/stat").read_text().split(")")[1].split()[0] != "Z"


def process_ids(data: Path) -> dict[str, int]:
    return {name: json.loads((data / "run" / f"{name}.ready.json").read_text())["pid"] for name in NAMES}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_stops_everything(published: Path, tmp_path: Path, number: signal.Signals) -> None:
    """All serve; after Ctrl-C (or SIGTERM) the command exits 0 and no process is left."""
    command = [sys.executable, "-m", "cli.main", "up", "--any-port", "--json"]
    with subprocess.Popen(
        [*command, "--store", str(published), "--data", str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as up:
        assert up.stdout is not None
        printed = ""
        while not printed.rstrip().endswith("}\n}"):
            printed += up.stdout.readline()
        addresses = json.loads(printed)
        await_serving(addresses["ranker"]["grpc"], "atelier.ranker.v1.RankerService", timeout_s=30)
        children = process_ids(tmp_path)

        up.send_signal(number)
        assert up.wait(20) == 0

    assert not any(alive(child) for child in children.values())


def test_a_killed_service_is_restarted_where_it_was(published: Path, tmp_path: Path) -> None:
    """kill -9 of the ranker: a new process answers at the same address."""
    command = [sys.executable, "-m", "cli.main", "up", "--any-port", "--json"]
    with subprocess.Popen(
        [*command, "--store", str(published), "--data", str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as up:
        assert up.stdout is not None
        printed = ""
        while not printed.rstrip().endswith("}\n}"):
            printed += up.stdout.readline()
        address = json.loads(printed)["ranker"]["grpc"]
        before = process_ids(tmp_path)["ranker"]
        os.kill(before, signal.SIGKILL)
        assert wait_until(lambda: not alive(before), 5)
        (tmp_path / "run" / "ranker.ready.json").unlink(missing_ok=True)

        assert wait_until((tmp_path / "run" / "ranker.ready.json").exists, 20)
        await_serving(address, "atelier.ranker.v1.RankerService", timeout_s=20)
        assert process_ids(tmp_path)["ranker"] != before
        up.send_signal(signal.SIGTERM)
        assert up.wait(20) == 0


def test_children_do_not_outlive_a_killed_supervisor(published: Path, tmp_path: Path) -> None:
    """kill -9 of `atelier up` itself: the services end too."""
    command = [sys.executable, "-m", "cli.main", "up", "--any-port", "--json"]
    with subprocess.Popen(
        [*command, "--store", str(published), "--data", str(tmp_path)], stdout=subprocess.DEVNULL
    ) as up:
        ready = [tmp_path / "run" / f"{name}.ready.json" for name in NAMES]
        assert wait_until(lambda: all(path.exists() for path in ready), 30)
        children = process_ids(tmp_path)
        up.kill()
        up.wait(5)

        assert wait_until(lambda: not any(alive(child) for child in children.values()), 20)
