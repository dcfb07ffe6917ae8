"""Training records as others might write them: incomplete, mixed, emphasised, in other words (F-22).

Everything works on whole batches of index tensors and draws from the generator of the run. What a field has
is left-aligned; a field that is missing stays missing.

Shapes: N training garments, B garments of a batch, C columns, L words of a list, W indexes of a field
(missing and unknown with them), S words that go with a word.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch

from inference.attributes import FIRST_WORD, MISSING, UNKNOWN, normalise_text
from model_store.manifest import AttributeField
from trainer.fashion.config import AttributeSettings, AugmentationSettings, Lexicon


class LenderGroups:
    """Which other garments each garment may borrow words from: those whose fields `within` say the same.

    A garment that lacks one of the fields borrows from itself alone.
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
        self._place_N = torch.argsort(self._order_N) - self._start_G[groups]

    def draw(self, row_B: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """int64 lender_B: another garment of the group, all equally likely; itself where it is alone."""
        group_B = self._group_N[row_B]
        count_B = self._count_G[group_B]
        step_B = 1 + (torch.rand(len(row_B), generator=rng, dtype=torch.float64) * (count_B - 1)).long()
        lender_B = self._order_N[self._start_G[group_B] + (self._place_N[row_B] + step_B) % count_B]
        return torch.where(self._known_N[row_B], lender_B, row_B)


class RecordVariants:
    """Draws variants of the records of the training part; with all rates at 0, the records themselves.

    tensors: those of the training part, the only garments that lend words. Single core fields, which make
    the query what it is, are never borrowed; without all fields of `mixing_within` nothing is borrowed.
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
        self._lenders = LenderGroups(tensors, within) if mixing else None

    def draw(self, row_B: torch.Tensor, rng: torch.Generator) -> dict[str, torch.Tensor]:
        """The index tensors of some garments; draws nothing from `rng` for what is off."""
        settings, varied = self._settings, self._rows(row_B)
        if self._lenders is not None:
            others = self._rows(self._lenders.draw(row_B, rng))
            varied = mixed_fields(varied, others, self._mixed, settings.mixing_rate, rng)
        if settings.emphasis_rate:
            varied = emphasised_words(varied, self._emphasis, settings.emphasis_rate, rng)
        if settings.synonym_rate:
            varied = synonymous_words(varied, self._synonyms, settings.synonym_rate, rng)
        return varied

    def _rows(self, row_B: torch.Tensor) -> dict[str, torch.Tensor]:
        return {name: tensor[row_B] for name, tensor in self._tensors.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class WordTable:
    """The words that go with each word of a field: int64 table_WS, of which count_W are filled."""

    field: str
    key: str
    table_WS: torch.Tensor
    count_W: torch.Tensor

    def draw(self, index: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """int64, in the shape of `index`: a word for each, MISSING where no word goes with it."""
        drawn = torch.rand(index.shape, generator=rng) * self.count_W[index]
        return self.table_WS[index, drawn.long()]


def open_tables(lexicon: Lexicon, fields: Sequence[AttributeField]) -> tuple[WordTable, ...]:
    """A table for each field that the schema and the lexicon both have.

    Words that the vocabulary of a shop lacks are left out.
    """
    return tuple(_table(field, lexicon[field.name]) for field in fields if field.name in lexicon)


def _table(field: AttributeField, words: Mapping[str, Sequence[str]]) -> WordTable:
    known = {normalise_text(word, {}): FIRST_WORD + place for place, word in enumerate(field.vocabulary)}
    rows: dict[int, list[int]] = {}
    for word, others in words.items():
        indexes = [known.get(normalise_text(other, {}), MISSING) for other in others]
        rows[known.get(normalise_text(word, {}), MISSING)] = [index for index in indexes if index]
    # Words that the vocabulary lacks were collected under MISSING, with which nothing goes.
    rows[MISSING] = []
    table_WS = torch.zeros((len(known) + FIRST_WORD, max(map(len, rows.values())) or 1), dtype=torch.int64)
    for index, row in rows.items():
        table_WS[index, : len(row)] = torch.tensor(row, dtype=torch.int64)
    return WordTable(
        field=field.name,
        key=f"{field.name}_index_{'BL' if field.multiple else 'B'}",
        table_WS=table_WS,
        count_W=(table_WS != MISSING).sum(dim=1),
    )


def dropped_fields(
    tensors: Mapping[str, torch.Tensor], fields: Sequence[tuple[str, bool]], rate: float, rng: torch.Generator
) -> dict[str, torch.Tensor]:
    """The index tensors with each field of each record missing at `rate`."""
    changed = dict(tensors)
    for name, multiple in fields:
        key = f"{name}_mask_BL" if multiple else f"{name}_index_B"
        gone_B = torch.rand(len(tensors[key]), generator=rng) < rate
        changed[key] = tensors[key].masked_fill(_beside(gone_B, tensors[key]), MISSING)
    return changed


def unknown_words(
    tensors: Mapping[str, torch.Tensor], rate: float, rng: torch.Generator
) -> dict[str, torch.Tensor]:
    """The index tensors with each word unknown at `rate`."""
    changed = dict(tensors)
    for key, index in tensors.items():
        if "_index_" in key:
            swapped = (torch.rand(index.shape, generator=rng) < rate) & (index != MISSING)
            changed[key] = index.masked_fill(swapped, UNKNOWN)
    return changed


def synonymous_words(
    tensors: Mapping[str, torch.Tensor], tables: Iterable[WordTable], rate: float, rng: torch.Generator
) -> dict[str, torch.Tensor]:
    """The index tensors with each word that has synonyms replaced by a synonym at `rate`.

    A synonym that the record says already is left out: a list holds each word once.
    """
    changed = dict(tensors)
    for table in tables:
        index_BL = tensors[table.key].view(len(tensors[table.key]), -1)
        drawn_BL = table.draw(index_BL, rng)
        hit_BL = torch.rand(index_BL.shape, generator=rng) < rate
        hit_BL &= (drawn_BL != MISSING) & ~_holds(index_BL, drawn_BL)
        changed_BL = torch.where(hit_BL, drawn_BL, index_BL)
        # Two words of a list may have become the same: the later keeps its own.
        changed_BL = torch.where(_seen_before(changed_BL), index_BL, changed_BL)
        changed[table.key] = changed_BL.view_as(tensors[table.key])
    return changed


def emphasised_words(
    tensors: Mapping[str, torch.Tensor], tables: Iterable[WordTable], rate: float, rng: torch.Generator
) -> dict[str, torch.Tensor]:
    """The index tensors with a word that goes with one of a list's own added to that list at `rate`.

    Nothing is added to a list that has the word already or is as long as its tensor.
    """
    changed = dict(tensors)
    for table in tables:
        index_BL, mask_key = tensors[table.key], f"{table.field}_mask_BL"
        drawn_BL = table.draw(index_BL, rng)
        fit_BL = (drawn_BL != MISSING) & ~_holds(index_BL, drawn_BL)
        word_B1 = drawn_BL.gather(1, fit_BL.int().argmax(dim=1, keepdim=True))
        count_B = (index_BL != MISSING).sum(dim=1)
        hit_B = torch.rand(len(index_BL), generator=rng) < rate
        hit_B &= fit_BL.any(dim=1) & (count_B < index_BL.shape[1])
        slot_BL = (torch.arange(index_BL.shape[1]) == count_B[:, None]) & hit_B[:, None]
        changed[table.key] = torch.where(slot_BL, word_B1, index_BL)
        changed[mask_key] = tensors[mask_key].masked_fill(slot_BL, 1.0)
    return changed


def mixed_fields(
    tensors: Mapping[str, torch.Tensor],
    others: Mapping[str, torch.Tensor],
    fields: Sequence[tuple[str, bool]],
    rate: float,
    rng: torch.Generator,
) -> dict[str, torch.Tensor]:
    """The index tensors with each of `fields` at `rate` as the record of `others` in the same row has it.

    Only fields that both have are taken.
    """
    changed = dict(tensors)
    for name, multiple in fields:
        keys = [f"{name}_index_BL", f"{name}_mask_BL"] if multiple else [f"{name}_index_B"]
        own, other = (part[keys[0]].view(len(part[keys[0]]), -1)[:, 0] for part in (tensors, others))
        taken_B = (torch.rand(len(own), generator=rng) < rate) & (own != MISSING) & (other != MISSING)
        for key in keys:
            changed[key] = torch.where(_beside(taken_B, tensors[key]), others[key], tensors[key])
    return changed


def _beside(value_B: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    """A value for each row, in a shape that broadcasts over the rows of `tensor`."""
    return value_B.view(-1, *[1] * (tensor.ndim - 1))


def _holds(index_BL: torch.Tensor, word_BL: torch.Tensor) -> torch.Tensor:
    """bool (B, L): whether the row has the word already."""
    return (word_BL[:, :, None] == index_BL[:, None, :]).any(dim=2)


def _seen_before(index_BL: torch.Tensor) -> torch.Tensor:
    """bool (B, L): whether a word stands further left in the same row too."""
    same_BLL = index_BL[:, :, None] == index_BL[:, None, :]
    return same_BLL.tril(diagonal=-1).any(dim=2) & (index_BL != MISSING)
