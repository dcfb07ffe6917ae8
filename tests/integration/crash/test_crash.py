"""A recommender that is killed at any moment of its writing loses nothing and invents nothing.

`make crash KILLS=200` for more kills than the short form.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.client.recommender import RecommenderClient
from services.runtime.errors import ServiceError
from tests.integration.conftest import ROOT
from tests.integration.crash.shop import BULK, PICTURES, Shop
from tests.services.recommender.world import Embedder, Shelf

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("ATELIER_TEST_KILLS", "4"))
SEED = int(os.environ.get("ATELIER_TEST_CRASH_SEED", "1"))
MOST_LIFE_S = 4.0
START_S = 180.0  # on a machine that does much else
# Between the two steps that each names a crash may leave half of a change.
CHECKPOINTS = (
    "before commit",
    "after commit",
    "after pictures",
    "before rename",
    "before flip",
    "after flip",
    "segment begun",
    "segment built",
    "before segment rename",
    "before manifest",
    "after manifest",
)


class Life:
    """A recommender process over the directories of a test, and a client of it."""

    def __init__(self, folder: Path, embedder: Embedder, plan: tuple[str, int]) -> None:
        self._ready = folder / "ready.json"
        self._ready.unlink(missing_ok=True)
        self.log = folder / "recommender.log"
        environment = {
            **os.environ,
            "ATELIER_STORE": str(folder / "store"),
            "ATELIER_CATALOGUE": str(folder / "catalogue"),
            "ATELIER_COLLECTIONS": f"{PICTURES}=fashion-image,{BULK}=bulk-image",
            "ATELIER_RECOMMENDER_PORT": "0",
            "ATELIER_RECOMMENDER_METRICS_PORT": "-1",
            "ATELIER_EMBEDDER_ADDRESS": embedder.address,
            "ATELIER_READY_FILE": str(self._ready),
            "ATELIER_POLL_S": "0.05",
            "OMP_NUM_THREADS": "1",
        }
        environment = {name: value for name, value in environment.items() if not name.startswith("COV")}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.integration.crash.dying_recommender", plan[0], str(plan[1])],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

    def __enter__(self) -> "Life":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(20)

    @contextlib.contextmanager
    def client(self) -> Iterator[RecommenderClient | None]:
        """A client once both collections serve; None if the process died before."""
        end = time.monotonic() + START_S
        while not self._ready.exists():
            if self.process.poll() is not None:
                yield None
                return
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.01)
        with contextlib.closing(RecommenderClient(json.loads(self._ready.read_text())["address"])) as client:
            yield client if self._serves(client, end) else None

    def _serves(self, client: RecommenderClient, end: float) -> bool:
        while self.process.poll() is None:
            with contextlib.suppress(ServiceError):
                if all(client.get_status(collection=name).space_id for name in (BULK, PICTURES)):
                    return True
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.01)
        return False


@pytest.fixture
def embedder() -> Iterator[Embedder]:
    made = Embedder()
    yield made
    made.stop()


@pytest.mark.timeout(120 + 30 * KILLS)
def test_no_kill_loses_or_resurrects_a_write(tmp_path: Path, embedder: Embedder) -> None:
    """Killed at random and between the steps of commits, segments, merges, swaps and upgrades: every
    acknowledged write is there, nothing deleted is, nothing is there twice, counts agree, pictures are whole
    (R-4)."""
    shelf = Shelf(tmp_path)
    models = [shelf.image("tower"), shelf.image("steeple", promote=False)]
    shop, rng = Shop(shelf.publish("bulk-image", graph="bulk").space_id, SEED), random.Random(SEED)
    kills: Counter[str] = Counter()
    begun = time.monotonic()
    for number in range(KILLS):
        point = CHECKPOINTS[number // 2 * 3 % len(CHECKPOINTS)] if number % 2 else ""
        at_random = False
        with (
            Life(tmp_path, embedder, (point or "never", rng.randint(1, 3))) as life,
            life.client() as client,
        ):
            if client is not None:
                shelf.promote(models[number % 2])
                most_s = MOST_LIFE_S if point else rng.uniform(0.0, 1.0)
                at_random = live(shop, client, life, most_s)
        assert life.process.wait(20) == -signal.SIGKILL, life.log.read_text()
        kills["at random" if at_random else point] += 1

    with Life(tmp_path, embedder, ("never", 1)) as life, life.client() as client:
        assert client is not None, life.log.read_text()
        shop.check(client)

    print(
        f"{KILLS} kills in {time.monotonic() - begun:.0f} s: {dict(kills)}; "
        f"{shop.written.acknowledged} acknowledged writes, no violation"
    )
    assert shop.written.acknowledged > 0
    if KILLS >= 100:
        assert {*CHECKPOINTS} <= {*kills}


def live(shop: Shop, client: RecommenderClient, life: Life, seconds: float) -> bool:
    """Check what is there, then write until the process has killed itself; kill it after so many seconds.

    Returns whether it was the latter. The process may kill itself during the check, as it seals a segment.
    """
    timed_out = threading.Event()

    def kill() -> None:
        timed_out.set()
        life.process.kill()

    timer = threading.Timer(seconds, kill)
    try:
        shop.check(client)
        timer.start()
        while True:
            shop.write_once(client)
    except ServiceError:
        # A refusal while it lives would be a defect of the service.
        if life.process.wait(5) != -signal.SIGKILL:
            raise
    finally:
        timer.cancel()
    return timed_out.is_set()
