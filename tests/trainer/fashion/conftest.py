"""A prepared folder of drawn garments, and a run trained on it, once a session."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from trainer.fashion.config import FashionConfig
from trainer.fashion.data.prepared_data import GarmentRecord, open_garments
from trainer.fashion.train import FashionReport, train_fashion
from trainer.synthetic.garments import write_garments
from trainer.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedHouse:
    """A folder of garments and a run on it; tests write beside, never into them."""

    data: Path
    config: FashionConfig
    garments: tuple[GarmentRecord, ...]
    space: Workspace
    report: FashionReport


@pytest.fixture(scope="session")
def house(gallery, fashion_config, tmp_path_factory) -> TrainedHouse:
    folder = tmp_path_factory.mktemp("house")
    write_garments(folder / "data", 80, seed=5)
    config, garments = open_garments(folder / "data", fashion_config)
    config = config.model_copy(update={"training": config.training.model_copy(update={"max_epochs": 4})})
    space = Workspace(store=gallery.store, out=folder / "run", cache=folder / "cache")
    report = train_fashion(config, garments, gallery.image.version, space)
    return TrainedHouse(data=folder / "data", config=config, garments=garments, space=space, report=report)


def read_json(path: Path) -> dict:
    """A report as it lies on disk."""
    return json.loads(path.read_text(encoding="utf-8"))
