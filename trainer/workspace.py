"""Where a run reads and writes."""

from dataclasses import dataclass, field
from pathlib import Path

from inference.runtimes.device import SessionSettings
from model_store.store import ModelStore
from trainer.loop.progress import Progress, silent


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """The store that frozen models come from, the run's own folder and the vector cache of all runs."""

    store: ModelStore
    out: Path
    cache: Path
    session: SessionSettings = field(default_factory=SessionSettings)
    progress: Progress = silent
