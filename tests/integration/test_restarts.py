"""Services stop and start in any order under steady load (S-8): only what needs the missing one fails."""

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from services.client.errors import Unavailable
from services.client.health import await_serving
from tests.integration.conftest import ROOT
from tests.integration.load import KINDS, NEEDS, Load, asking_everything

pytestmark = pytest.mark.slow

FULL_NAMES: Mapping[str, str] = {
    "embedder": "atelier.embedder.v1.EmbedderService",
    "ranker": "atelier.ranker.v1.RankerService",
    "recommender": "atelier.recommender.v1.RecommenderService",
}
FAILED_WITHIN_S = 1.0
RECOVERED_WITHIN_S = 2.0
RANKED = frozenset({"rank pictures", "rank features"})
RECOMMENDED = frozenset(kind for kind in KINDS if kind.startswith("recommend"))
ENOUGH = 5  # answers of a kind that make an observation


class Row:
    """The three services as processes on ports that stay theirs, each started and stopped by itself."""

    def __init__(self, store: Path, data: Path) -> None:
        ports = _free_ports(len(FULL_NAMES))
        self.addresses = {name: f"127.0.0.1:{port}" for name, port in zip(FULL_NAMES, ports, strict=True)}
        self._data = data
        self._environment = {
            **os.environ,
            "ATELIER_STORE": str(store),
            "ATELIER_CACHE": str(data / "cache"),
            "ATELIER_CATALOGUE": str(data / "catalogue"),
            "ATELIER_EMBEDDER_ADDRESS": self.addresses["embedder"],
            "ATELIER_THREADS": "1",
            **{f"ATELIER_{name.upper()}_PORT": a.rpartition(":")[2] for name, a in self.addresses.items()},
            **{f"ATELIER_{name.upper()}_METRICS_PORT": "-1" for name in FULL_NAMES},
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        """Start a service; it answers when `await_serving` returns."""
        self._data.mkdir(parents=True, exist_ok=True)
        with (self._data / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", f"services.{name}"], cwd=ROOT, env=self._environment, stderr=log
            )

    def await_serving(self, name: str) -> float:
        """The moment at which the service said SERVING."""
        await_serving(self.addresses[name], FULL_NAMES[name], timeout_s=60)
        return time.monotonic()

    def stop(self, name: str, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal a service and wait; its exit code."""
        process = self._processes.pop(name)
        process.send_signal(number)
        return process.wait(20)

    def signal(self, name: str, number: signal.Signals) -> None:
        self._processes[name].send_signal(number)

    def close(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait(10)

    def log(self, name: str) -> str:
        return (self._data / f"{name}.log").read_text(errors="replace")


@pytest.fixture
def row(published: Path, tmp_path: Path) -> Iterator[Row]:
    row = Row(published, tmp_path / "data")
    yield row
    row.close()


@pytest.fixture
def running(row: Row) -> Row:
    for name in FULL_NAMES:
        row.start(name)
    for name in FULL_NAMES:
        row.await_serving(name)
    return row


def _free_ports(number: int) -> list[int]:
    with_ports = [socket.socket() for _ in range(number)]
    for each in with_ports:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in with_ports]
    for each in with_ports:
        each.close()
    return ports


def answerable(missing: set[str]) -> frozenset[str]:
    """The kinds of question that need none of the missing services."""
    return frozenset(kind for kind, needs in NEEDS.items() if not needs & missing)


def observe(load: Load, missing: set[str], settled: float) -> float:
    """Check what was asked after `settled` while `missing` were gone; the slowest failure in s."""
    load.await_each(settled, ENOUGH, timeout_s=30)
    answers = load.between(settled, time.monotonic())
    fine = answerable(missing)
    for answer in answers:
        if answer.kind in fine:
            assert answer.error is None, (answer, missing)
            continue
        assert isinstance(answer.error, Unavailable), (answer, missing)
        assert answer.error.retry_after_s, (answer, missing)
        assert answer.seconds < FAILED_WITHIN_S, (answer, missing)
    return max((a.seconds for a in answers if a.kind not in fine), default=0.0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_stopped_and_started_in_every_order(running: Row, number: signal.Signals) -> None:
    """All six orders of stopping, each with another order of starting: at every step only the answers that
    need a missing service fail, as UNAVAILABLE with a time to retry, within 1 s; the rest never fails; within
    2 s of a service being SERVING again its answers are back, over the channels that were there.

    # proves S-8"""
    orders = list(itertools.permutations(FULL_NAMES))
    slowest, recovery = 0.0, 0.0
    with asking_everything(running.addresses) as load:
        load.await_each(time.monotonic(), ENOUGH, timeout_s=30)
        for stopping, starting in zip(orders, reversed(orders), strict=True):
            missing: set[str] = set()
            for name in stopping:
                code = running.stop(name, number)
                assert code == (0 if number == signal.SIGTERM else -number)
                missing.add(name)
                slowest = max(slowest, observe(load, missing, time.monotonic()))
            for name in starting:
                running.start(name)
                missing.discard(name)
                serving = running.await_serving(name)
                back = load.first_good(answerable(missing), serving, timeout_s=20)
                recovery = max(recovery, back)
                observe(load, missing, time.monotonic())
        answers = load.between(0, time.monotonic())
    print(
        f"\n{number.name}: {len(answers)} answers; slowest failing {slowest * 1e3:.0f} ms,"
        f" slowest recovery {recovery * 1e3:.0f} ms"
    )
    assert recovery < RECOVERED_WITHIN_S


@pytest.mark.parametrize("order", list(itertools.permutations(FULL_NAMES)), ids="-".join)
def test_every_order_of_starting(row: Row, order: tuple[str, ...]) -> None:
    """From nothing, each started once the one before listens: all three become SERVING.  # proves S-8"""
    for name in order:
        row.start(name)
        await_serving(row.addresses[name], "", timeout_s=30)
    for name in order:
        row.await_serving(name)


def test_a_term_under_load_fails_no_accepted_request(running: Row) -> None:
    """SIGTERM while every kind is asked: what fails was refused, and each answer that was made arrived.

    # proves S-8"""
    with asking_everything(running.addresses) as load:
        load.await_each(time.monotonic(), ENOUGH, timeout_s=30)
        since = time.monotonic()
        for name in ("recommender", "ranker", "embedder"):
            assert running.stop(name) == 0
        load.await_each(time.monotonic(), 1, timeout_s=30)
        answers = load.between(0, time.monotonic())
    failed = [answer for answer in answers if answer.error is not None]
    assert min(answer.asked_at + answer.seconds for answer in failed) > since
    assert {type(answer.error) for answer in failed} == {Unavailable}
    assert codes(running.log("recommender")).keys() <= {"OK", "UNAVAILABLE"}
    for kinds, service, method in ((RANKED, "ranker", "/Rank"), (RECOMMENDED, "recommender", "/Recommend")):
        arrived = sum(answer.kind in kinds and answer.error is None for answer in answers)
        made = codes(running.log(service), method)["OK"]
        assert arrived == made - (1 if service == "ranker" else 0)  # the load asks once before it begins


def codes(log: str, method: str = "") -> Counter[str]:
    """How often each status was given, by the log lines of a service's calls."""
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    return Counter(line["code"] for line in lines if "code" in line and line["method"].endswith(method))


def test_a_hung_embedder_is_given_up_and_found_again(running: Row) -> None:
    """SIGSTOP of the embedder: answers that need no embedder go on, the others end within their bound as
    UNAVAILABLE or DEADLINE_EXCEEDED; after SIGCONT everything is answered again.  # proves S-8"""
    with asking_everything(running.addresses) as load:
        load.await_each(time.monotonic(), ENOUGH, timeout_s=30)
        running.signal("embedder", signal.SIGSTOP)
        stopped = time.monotonic()
        load.first_good(answerable({"embedder"}), stopped + 1, timeout_s=30)
        running.signal("embedder", signal.SIGCONT)
        continued = time.monotonic()
        load.first_good(KINDS, continued, timeout_s=30)
        healthy = answerable({"embedder"})
        failures = [a for a in load.between(stopped, continued) if a.kind in healthy and a.error is not None]
    assert failures == []
