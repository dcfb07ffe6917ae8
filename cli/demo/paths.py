"""Where the demo keeps what it draws, trains and publishes."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoPaths:
    """The folders below `--out`."""

    root: Path

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def samples(self) -> Path:
        return self.root / "pictures" / "samples"

    @property
    def graded(self) -> Path:
        return self.root / "pictures" / "graded"

    @property
    def garments(self) -> Path:
        return self.root / "pictures" / "garments"

    @property
    def figures(self) -> Path:
        return self.root / "trained.json"

    def run(self, name: str) -> Path:
        return self.root / "runs" / name
