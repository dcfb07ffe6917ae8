"""Which checkpoints of a run stay on disk: the last, the best, the few best, every few epochs (A-14)."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.errors import InvalidCheckpoint
from trainer.loop.checkpoints import copy_checkpoint, save_checkpoint

BEST, LAST, ENSEMBLE = "best_model.pt", "last.pt", "ensemble.pt"
PATTERNS = (BEST, LAST, ENSEMBLE, "top_*.pt", "epoch_*.pt")

Standing = tuple[float, float]


class InMemoryCheckpoints:
    """Holds the last epoch in memory and writes nothing: for runs of which only the figures count."""

    def __init__(self) -> None:
        self.last: Mapping[str, Any] = {}

    def clear(self) -> None:
        """Forget the epoch."""
        self.last = {}

    def keep(
        self, _epoch: int, _standing: Standing, body: Mapping[str, Any], _resume: Mapping[str, Any]
    ) -> None:
        """Hold this epoch. On the CPU its tensors are the network's own, which the next step changes."""
        self.last = body

    def restore(self, _resume: Mapping[str, Any]) -> None:
        """Raises InvalidCheckpoint: always."""
        raise InvalidCheckpoint("nothing was written, so there is nothing to go on from")


class CheckpointWriter:
    """Writes the checkpoints of one run into a folder; the greater standing is the better.

    `last.pt` is written last and alone carries what a run needs to go on: after a kill at any moment, the
    epoch that it names is done again and writes the same files again.
    """

    def __init__(self, folder: Path, *, top: int, every: int) -> None:
        self.folder, self._top, self._every = folder, top, every
        self._standings: dict[int, Standing] = {}

    def clear(self) -> None:
        """Delete the checkpoints of an earlier run."""
        for pattern in PATTERNS:
            for path in self.folder.glob(pattern):
                path.unlink()
        self._sweep()

    def keep(
        self, epoch: int, standing: Standing, body: Mapping[str, Any], resume: Mapping[str, Any]
    ) -> None:
        """Write the checkpoints of this epoch and delete those that it displaces."""
        names = [BEST] if all(standing > other for other in self._standings.values()) else []
        names += [f"epoch_{epoch:03d}.pt"] if epoch % self._every == 0 else []
        self._standings[epoch] = standing
        kept = self.top_epochs()
        names += [self._path(epoch).name] if epoch in kept else []
        if names:
            save_checkpoint(self.folder / names[0], body)
            for name in names[1:]:
                copy_checkpoint(self.folder / names[0], self.folder / name)
        self._standings = {number: self._standings[number] for number in kept}
        state = [[number, *standing] for number, standing in self._standings.items()]
        save_checkpoint(self.folder / LAST, {**body, "resume": {**resume, "keeper": state}})
        for path in self.folder.glob("top_*.pt"):
            if path not in {self._path(number) for number in kept}:
                path.unlink()

    def top(self) -> tuple[Path, ...]:
        """The checkpoints with the best standings, best first."""
        return tuple(self._path(epoch) for epoch in self.top_epochs())

    def top_epochs(self) -> tuple[int, ...]:
        """The epochs with the best standings; of equal standings the earlier epoch is better."""
        best_first = sorted(
            self._standings, key=lambda number: (self._standings[number], -number), reverse=True
        )
        return tuple(best_first[: self._top])

    def restore(self, resume: Mapping[str, Any]) -> None:
        """Go on from what `last.pt` carries."""
        self._sweep()
        self._standings = {int(epoch): (float(a), float(b)) for epoch, a, b in resume["keeper"]}

    def _sweep(self) -> None:
        """Delete the temporary files of a killed run."""
        for path in self.folder.glob(".*.pt.*"):
            path.unlink()

    def _path(self, epoch: int) -> Path:
        return self.folder / f"top_{epoch:03d}.pt"


# Whatever takes the epochs of a run.
CheckpointKeeper = InMemoryCheckpoints | CheckpointWriter


@dataclass(frozen=True, slots=True, kw_only=True)
class LastCheckpoint:
    """`last.pt` of a run: its path and its body, which a resumed run goes on from."""

    path: Path
    body: dict[str, Any]
