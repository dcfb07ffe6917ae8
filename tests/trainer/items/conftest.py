"""A drawn table of 1,000 items, its next snapshot, and runs over them."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from model_store.store import ModelStore
from trainer.items.config import ItemsConfig, read_items_config
from trainer.items.train import ItemsReport, train_items
from trainer.loop.progress import silent
from trainer.synthetic.item_tables import FEATURES_FILE, METADATA_FILE, write_item_table
from trainer.workspace import Workspace

ITEMS = 1_000


def configured(data: Path, **overrides: Any) -> ItemsConfig:
    """The settings of config/trainer.yml for the table in a folder; `a__b=1` overrides `a.b`."""
    files = {"input.features": str(data / FEATURES_FILE), "input.metadata": str(data / METADATA_FILE)}
    named = {name.replace("__", "."): value for name, value in overrides.items()}
    return read_items_config(overrides={"index.threads": 1, **files, **named})


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    write_item_table(folder, ITEMS)
    return folder


@pytest.fixture(scope="session")
def later(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("later")
    write_item_table(folder, ITEMS, snapshot=2)
    return folder


@pytest.fixture(scope="session")
def frame(drawn: Path) -> pd.DataFrame:
    return pd.read_parquet(drawn / FEATURES_FILE)


def train_in(out: Path, config: ItemsConfig, **options: Any) -> ItemsReport:
    space = Workspace(store=ModelStore.at(out / "store"), out=out, cache=out, progress=silent)
    return train_items(config, space, **options)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., ItemsReport]:
    """Runs in one folder of the test, with one store."""
    return lambda config, **options: train_in(tmp_path / "run", config, **options)


@pytest.fixture(scope="session")
def trained(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ItemsReport]:
    """The folder of a run over the table, to be read only."""
    out = tmp_path_factory.mktemp("trained")
    return out, train_in(out, configured(drawn))


@pytest.fixture
def begun(trained: tuple[Path, ItemsReport], tmp_path: Path) -> ItemsReport:
    """The same run, copied into the folder of the test, to be added to."""
    shutil.copytree(trained[0], tmp_path / "run", symlinks=True)
    return trained[1]
