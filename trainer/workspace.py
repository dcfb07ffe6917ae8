"""Where a run reads and writes."""

from dataclasses import dataclass, field
from pathlib import Path

from inference.pixels import DEFAULT_LIMITS, ImageLimits
from inference.runtimes.device import SessionSettings
from model_store.store import ModelStore
from trainer.loop.progress import Progress, silent


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """The store that frozen models come from, the run's own folder and the vector cache of all runs.

    limits: bounds of the pictures that are encoded.
    """

    store: ModelStore
    out: Path
    cache: Path
    session: SessionSettings = field(default_factory=SessionSettings)
    progress: Progress = silent
    limits: ImageLimits = DEFAULT_LIMITS
