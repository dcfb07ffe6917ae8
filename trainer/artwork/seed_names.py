"""The classes that the seeds name, as thin names over what does their work (A-22).

split = DataSplitter(seed=42).split(read_metadata(table, images))
report = Trainer(read_artwork_config(), backbone, workspace).train(artworks)
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import nn

from model_store.store import Version
from trainer.artwork.config import ArtworkConfig
from trainer.artwork.data.metadata import Artwork
from trainer.artwork.data.pairs import PairList
from trainer.artwork.data.splits import Split, split_artworks
from trainer.artwork.train import ArtworkReport, train_artwork
from trainer.workspace import Workspace

PairItem = tuple[Artwork, Artwork, int]


class DataSplitter:
    """Deals artworks 80/10/10, whole artists, tiers in their shares; see `split_artworks`."""

    def __init__(self, seed: int = 42) -> None:
        self.seed = seed

    def split(self, artworks: Sequence[Artwork]) -> Split:
        """Training, validation and test. Raises InvalidData: see `split_artworks`."""
        return split_artworks(tuple(artworks), self.seed)


class PairwiseDataset(torch.utils.data.Dataset[PairItem]):
    """Every cross-tier pair of some artworks: the two, and +1 where the first is better, else −1."""

    def __init__(self, artworks: Sequence[Artwork]) -> None:
        self._artworks = artworks
        self._pairs = PairList(np.array([artwork.rank for artwork in artworks], dtype=np.int64))

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, number: int) -> PairItem:
        """Raises IndexError: for a number that no pair has."""
        pair = self._pairs.take(np.array([number + len(self) if number < 0 else number]))
        return self._artworks[pair.first[0]], self._artworks[pair.second[0]], int(pair.label[0])

    def __iter__(self) -> Iterator[PairItem]:
        for chunk in self._pairs.chunks():
            for first, second, label in zip(chunk.first, chunk.second, chunk.label.tolist(), strict=True):
                yield self._artworks[first], self._artworks[second], label


class MarginRankingLoss(nn.MarginRankingLoss):
    """Mean of max(0, −label · (a − b) + margin) over pairs, with the margin of the seeds."""

    def __init__(self, margin: float = 1.0) -> None:
        super().__init__(margin=margin)


class Trainer:
    """Trains heads on features of one backbone; see `train_artwork`."""

    def __init__(self, config: ArtworkConfig, backbone: Version, space: Workspace) -> None:
        self._config, self._backbone, self._space = config, backbone, space

    def train(
        self, artworks: Sequence[Artwork], *, resume: bool = False, overwrite: bool = False
    ) -> ArtworkReport:
        """What the run made. Raises whatever `train_artwork` raises."""
        chosen = tuple(artworks)
        return train_artwork(
            self._config, chosen, self._backbone, self._space, resume=resume, overwrite=overwrite
        )
