"""Published models of the real architectures and the real services as processes, for whole-house tests."""

import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.integration.models import publish_untrained

from cli.demo_questions import await_all
from cli.supervisor import Address, Supervisor
from cli.up import specs
from model_store.store import ModelStore
from services.client.ranker import RankerClient
from services.client.recommender import RecommenderClient


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
    supervisor = Supervisor(specs(store, data, any_port=True), data / "run")
    addresses = supervisor.start()
    try:
        await_all(addresses)
        yield House(store=ModelStore.at(store), data=data, addresses=addresses, supervisor=supervisor)
    finally:
        codes = supervisor.stop()
    assert set(codes.values()) == {0}, codes


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one untrained version of every model, `production` set; not to be written to."""
    root = tmp_path_factory.mktemp("published")
    publish_untrained(root / "models", root / "backbones")
    return root / "models"


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
