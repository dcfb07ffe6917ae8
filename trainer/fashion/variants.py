"""Training records as others might have written them: mixed, emphasised, in other words (F-22).

Shapes: N training garments, B garments of a batch, C columns.
"""

from collections.abc import Mapping, Sequence

import torch

from trainer.fashion.augment import emphasised_words, mixed_fields, synonymous_words
from trainer.fashion.config import AttributeSettings, AugmentationSettings
from trainer.fashion.encoders.base import MISSING
from trainer.fashion.lexicons import open_tables


class Fellows:
    """Which other garments each garment may borrow from: those whose fields `within` say the same.

    A garment that lacks one of the fields has no fellow but itself.
    """

    def __init__(self, tensors: Mapping[str, torch.Tensor], within: Sequence[str]) -> None:
        columns = [
            tensors[key].view(len(tensors[key]), -1)
            for name in within
            for key in (f"{name}_index_B", f"{name}_index_BL")
            if key in tensors
        ]
        groups = torch.unique(torch.cat(columns, dim=1), dim=0, return_inverse=True)[1]
        self._group_N = groups
        self._known_N = torch.stack([column[:, 0] != MISSING for column in columns]).all(dim=0)
        self._order_N = torch.argsort(groups, stable=True)
        self._count_G = torch.bincount(groups)
        self._start_G = self._count_G.cumsum(0) - self._count_G
        self._place_N = torch.empty_like(groups)
        self._place_N[self._order_N] = torch.arange(len(groups)) - self._start_G[groups[self._order_N]]

    def draw(self, row_B: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """int64 fellow_B: another garment of the group, all equally likely; itself where there is none."""
        group_B = self._group_N[row_B]
        count_B = self._count_G[group_B]
        step_B = 1 + (torch.rand(len(row_B), generator=rng, dtype=torch.float64) * (count_B - 1)).long()
        fellow_B = self._order_N[self._start_G[group_B] + (self._place_N[row_B] + step_B) % count_B]
        return torch.where(self._known_N[row_B], fellow_B, row_B)


class RecordVariants:
    """Draws variants of the records of the training part; with all rates at 0, the records themselves.

    tensors: those of the training part, from which alone is borrowed. Fields that make the query what it
    is, single and core, are never borrowed; nothing is where the schema lacks a field to borrow within.
    """

    def __init__(
        self,
        settings: AugmentationSettings,
        attributes: AttributeSettings,
        tensors: Mapping[str, torch.Tensor],
    ) -> None:
        fields = attributes.preprocessing().fields
        core = {field.name for field in attributes.fields if field.core}
        self._settings, self._tensors = settings, tensors
        self._synonyms = open_tables(settings.synonyms, fields)
        self._emphasis = open_tables(settings.emphasis, [field for field in fields if field.multiple])
        names = {field.name for field in fields}
        within = [name for name in settings.mixing_within if name in names]
        self._mixed = tuple(
            (field.name, field.multiple)
            for field in fields
            if (field.multiple or field.name not in core) and field.name not in within
        )
        mixing = settings.mixing_rate > 0 and len(within) == len(settings.mixing_within)
        self._fellows = Fellows(tensors, within) if mixing else None

    def draw(self, row_B: torch.Tensor, rng: torch.Generator) -> dict[str, torch.Tensor]:
        """The index tensors of some garments; draws nothing from `rng` for what is off."""
        settings, found = self._settings, self._rows(row_B)
        if self._fellows is not None:
            others = self._rows(self._fellows.draw(row_B, rng))
            found = mixed_fields(found, others, self._mixed, settings.mixing_rate, rng)
        if settings.emphasis_rate:
            found = emphasised_words(found, self._emphasis, settings.emphasis_rate, rng)
        if settings.synonym_rate:
            found = synonymous_words(found, self._synonyms, settings.synonym_rate, rng)
        return found

    def _rows(self, row_B: torch.Tensor) -> dict[str, torch.Tensor]:
        return {name: tensor[row_B] for name, tensor in self._tensors.items()}
