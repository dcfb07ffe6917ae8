"""Services stop and start in any order under steady load (S-8): only what needs the missing one fails."""

import itertools
import json
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.client.health import await_serving
from services.runtime.errors import Unavailable
from tests.integration.load import KINDS, NEEDS, Load, asking_everything
from tests.integration.row import FULL_NAMES, Row

pytestmark = [pytest.mark.slow, pytest.mark.timed]

FAILED_WITHIN_S = 1.0
FAILED_AT_LAST_S = 4.0  # one answer in a hundred, where somebody else takes the machine's two cores
RECOVERED_WITHIN_S = 2.0
RANKED = frozenset({"rank pictures", "rank features"})
RECOMMENDED = frozenset(kind for kind in KINDS if kind.startswith("recommend"))
ENOUGH = 5  # answers of a kind that make an observation


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
        assert answer.seconds < FAILED_AT_LAST_S, (answer, missing)
    late = [answer for answer in answers if answer.error and answer.seconds > FAILED_WITHIN_S]
    assert len(late) <= 1 + len(answers) // 100, late
    return max((a.seconds for a in answers if a.kind not in fine), default=0.0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_stopped_and_started_in_every_order(running: Row, number: signal.Signals) -> None:
    """All six orders of stopping, each with another order of starting: at every step only the answers that
    need a missing service fail, as UNAVAILABLE with a time to retry, within 1 s; the rest never fails; within
    2 s of a service being SERVING again its answers are back, over the channels that were there (S-8)."""
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
    """From nothing, each started once the one before listens: all three become SERVING (S-8)."""
    for name in order:
        row.start(name)
        await_serving(row.addresses[name], "", timeout_s=30)
    for name in order:
        row.await_serving(name)


def test_a_term_under_load_fails_no_accepted_request(running: Row) -> None:
    """SIGTERM while every kind is asked: what fails was refused, and each answer that was made arrived
    (S-8)."""
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
    UNAVAILABLE or DEADLINE_EXCEEDED; after SIGCONT everything is answered again (S-8)."""
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
