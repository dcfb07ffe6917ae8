"""A quick run: enough to see every step work, in half a minute on the CPU (F-20)."""

from pathlib import Path

from model_store.store import Version
from trainer.configuration import change_settings
from trainer.fashion.config import FashionConfig
from trainer.fashion.data.prepared_data import GarmentRecord, open_garments
from trainer.fashion.evaluation.encoded import choose_samples, style_of
from trainer.fashion.train import CHECKPOINTS, FashionReport, train_fashion
from trainer.loop.checkpoints import BEST
from trainer.workspace import Workspace

GARMENTS, EPOCHS, BATCH_SIZE = 64, 2, 4


def quick_settings(config: FashionConfig) -> FashionConfig:
    """The settings with 2 epochs and batches of 4."""
    training = {"max_epochs": EPOCHS, "standalone_epochs": 1, "batch_size": BATCH_SIZE}
    return change_settings(config, {f"training.{name}": value for name, value in training.items()})


def quick_garments(garments: tuple[GarmentRecord, ...]) -> tuple[GarmentRecord, ...]:
    """Some garments of each part, of all styles in turn, 64 at most."""
    by_part: dict[str, list[GarmentRecord]] = {}
    for garment in garments:
        by_part.setdefault(garment.part, []).append(garment)
    share = GARMENTS // len(by_part)
    return tuple(
        members[row]
        for members in by_part.values()
        for row in choose_samples([style_of(garment) for garment in members], share)
    )


def train_quickly(
    data: Path, image: Version, space: Workspace, config: FashionConfig
) -> FashionReport | None:
    """Train in the run's folder; None if it has a run already."""
    if (space.out / CHECKPOINTS / BEST).exists():
        return None
    config, garments = open_garments(data, quick_settings(config))
    return train_fashion(config, quick_garments(garments), image, space)
