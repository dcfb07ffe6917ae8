"""Trainings of the same garments with other settings, for studies: figures, and no file (F-17, F-21)."""

from dataclasses import dataclass
from typing import Any

from model_store.store import Version
from trainer.configuration import change_settings
from trainer.fashion.config import FashionConfig
from trainer.fashion.data.prepared_data import GarmentRecord
from trainer.fashion.data.splits import split_records
from trainer.fashion.encoders import FieldEncoder, restore_encoder
from trainer.fashion.module import GarmentTensors
from trainer.fashion.train import EncoderTraining, checkpoint_header, open_parts
from trainer.loop.checkpoints import InMemoryCheckpoints
from trainer.loop.device import choose_device
from trainer.loop.progress import Progress
from trainer.loop.tracking import TRACKING_SETTINGS, Tracker, Untracked
from trainer.workspace import Workspace

# Settings that a training without files does not use.
_UNUSED = (*TRACKING_SETTINGS, "save_every_n_epochs")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialData:
    """Garments with their vectors, opened once for many trainings: none of them reads a picture."""

    garments: tuple[GarmentRecord, ...]
    image: Version
    space: Workspace
    train: GarmentTensors
    val: GarmentTensors
    device: str


def open_trial_data(
    config: FashionConfig, garments: tuple[GarmentRecord, ...], image: Version, space: Workspace
) -> TrialData:
    """The parts that `train_fashion` would train and validate on with the same arguments."""
    device = choose_device(config.training.device).type
    split = split_records(garments, config.training.seed, config.split)
    train, val = open_parts(config, split, image, space)
    return TrialData(garments=garments, image=image, space=space, train=train, val=val, device=device)


def deciding_settings(config: FashionConfig) -> dict[str, Any]:
    """The settings that decide the weights of a trial, as JSON values."""
    body = config.model_dump(mode="json", exclude={"checkpoint", "image", "pictures"})
    return body | {"training": {name: v for name, v in body["training"].items() if name not in _UNUSED}}


def train_trial(
    config: FashionConfig, data: TrialData, label: str, tracker: Tracker | None = None
) -> tuple[FieldEncoder, list[dict[str, float]]]:
    """The encoder after its last epoch and the figures of each epoch; writes nothing.

    Both stages train as in `train_fashion`, to the same bits. label: its name in progress. What the tracker
    raises ends the training and is raised.
    """
    config = change_settings(config, {"training.device": data.device})
    kept = InMemoryCheckpoints()
    training = EncoderTraining(
        config=config,
        train=data.train,
        val=data.val,
        keep=lambda _stage, _every: kept,
        progress=_relabelled(label, data.space.progress),
    )
    header = checkpoint_header(config, data.garments, data.image)
    history = training.fit(tracker or Untracked(), header)
    return restore_encoder(kept.last), history


def _relabelled(label: str, progress: Progress) -> Progress:
    """The same progress under another label; of the two stages it shows the second."""

    def show(stage: str, done: int, total: int, *note: str) -> None:
        if "standalone" not in stage:
            progress(label, done, total, *note)

    return show
