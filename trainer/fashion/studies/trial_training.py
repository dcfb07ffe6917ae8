"""Trainings of the same garments with other settings, for studies: figures, and no file (F-17, F-21)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from model_store.store import Version
from trainer.configuration import change_settings
from trainer.fashion.config import FashionConfig
from trainer.fashion.data.prepared_data import GarmentRecord
from trainer.fashion.dataset import GarmentTensors
from trainer.fashion.encoders import FieldEncoder, restore_encoder
from trainer.fashion.train import EncoderRun
from trainer.loop.checkpointing import InMemoryCheckpoints
from trainer.loop.progress import Progress
from trainer.loop.tracking import Tracker
from trainer.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """Garments opened once for many trainings: none of these touches a pixel."""

    garments: tuple[GarmentRecord, ...]
    image: Version
    space: Workspace
    train: GarmentTensors
    val: GarmentTensors
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """A training that left no file: the encoder after its last epoch, and the figures of each epoch."""

    encoder: FieldEncoder
    history: tuple[dict[str, float], ...]


def open_collection(
    config: FashionConfig, garments: tuple[GarmentRecord, ...], image: Version, space: Workspace
) -> Collection:
    """The parts that `train_fashion` would train and validate on with the same arguments."""
    run = EncoderRun(config, garments, image, space)
    train, val = run.open_parts()
    return Collection(
        garments=garments, image=image, space=space, train=train, val=val, device=run.device.type
    )


def rehearse_fashion(
    config: FashionConfig, collection: Collection, told: str, tracker: Tracker | None = None
) -> Rehearsal:
    """Train as `train_fashion` does, both stages to the same bits, and write nothing.

    told: its name for who waits. What the tracker raises ends the training and is raised.
    """
    space = replace(collection.space, progress=_named(told, collection.space.progress))
    config = change_settings(config, {"training.device": collection.device})
    kept = InMemoryCheckpoints()
    run = EncoderRun(config, collection.garments, collection.image, space, lambda _folder, _every: kept)
    history = run.fit(collection.train, collection.val, tracker or _Untold())
    return Rehearsal(encoder=restore_encoder(kept.last), history=tuple(history))


class _Untold:
    """A tracker of one training out of many: the study tells its figures itself."""

    run_id: str | None = None

    def log(self, figures: Mapping[str, float], step: int) -> None:
        """Tells nobody."""

    def show(self, name: str, picture: Path, step: int) -> None:
        """Shows nobody."""


def _named(told: str, progress: Progress) -> Progress:
    """The same progress under another name; of two stages the second is told."""

    def tell(stage: str, done: int, total: int, *note: str) -> None:
        if "standalone" not in stage:
            progress(told, done, total, *note)

    return tell
