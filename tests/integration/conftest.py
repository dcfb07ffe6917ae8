"""Published models of the real architectures and the real services as processes, for whole-house tests."""

import fcntl
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cli.demo.questions import await_all
from cli.supervisor import Address, Supervisor
from cli.up import specs
from model_store.store import ModelStore
from services.client.ranker import RankerClient
from services.client.recommender import RecommenderClient

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """The running services, the store that they follow and the folder of their data."""

    store: ModelStore
    data: Path
    addresses: dict[str, Address]
    supervisor: Supervisor

    def ranker(self) -> RankerClient:
        """A client of the ranker; to be closed."""
        return RankerClient(self.addresses["ranker"].grpc)

    def recommender(self) -> RecommenderClient:
        """A client of the recommender; to be closed."""
        return RecommenderClient(self.addresses["recommender"].grpc)


@contextmanager
def running_house(store: Path, data: Path) -> Iterator[House]:
    """The three services over `store` until the context ends, when each must have stopped cleanly."""
    supervisor = Supervisor(specs(store, data, any_port=True, has_gateway=False), data / "run")
    addresses = supervisor.start()
    try:
        await_all(addresses)
        yield House(store=ModelStore.at(store), data=data, addresses=addresses, supervisor=supervisor)
    finally:
        codes = supervisor.stop()
    assert set(codes.values()) == {0}, codes


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two untrained versions of every model, 1 in production; not to be written to.

    Made once for all workers of a run, in a child: torch traces many times slower under coverage.
    """
    root = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        root = root.parent
    with (root / "published.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / "published").exists():
            making = root / "publishing"
            shutil.rmtree(making, ignore_errors=True)
            command = [
                sys.executable,
                "-m",
                "tests.integration.models",
                making / "models",
                making / "backbones",
            ]
            subprocess.run(command, cwd=ROOT, check=True, timeout=280, env=_without_coverage())
            making.rename(root / "published")
    return root / "published" / "models"


def _without_coverage() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("COV")}


@pytest.fixture(scope="module")
def house(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Running services that a whole file shares; tests must leave models as they are."""
    with running_house(published, tmp_path_factory.mktemp("house")) as running:
        yield running


@pytest.fixture
def own_store(published: Path, tmp_path: Path) -> Path:
    """A store of the test's own, to promote in and to damage."""
    return Path(shutil.copytree(published, tmp_path / "models"))


def drawing(seed: int, form: str = "JPEG", size: tuple[int, int] = (120, 90)) -> bytes:
    """An encoded picture of coloured blocks, different for each seed."""
    rng = np.random.default_rng(seed)
    blocks = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    stream = io.BytesIO()
    blocks.resize(size, Image.Resampling.BICUBIC).save(stream, form)
    return stream.getvalue()
