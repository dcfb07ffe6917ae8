"""Records as customers write them: fields left out, other words, words that nobody knows (F-22).

Everything works on whole batches of index tensors and draws from the generator of the run. What a field has
is left-aligned; a field that is missing stays missing.

Shapes: B batch, L words of a list.
"""

from collections.abc import Iterable, Mapping, Sequence

import torch

from trainer.fashion.encoders.base import MISSING, UNKNOWN
from trainer.fashion.lexicons import WordTable

Tensors = Mapping[str, torch.Tensor]


def dropped_fields(
    tensors: Tensors, fields: Sequence[tuple[str, bool]], rate: float, rng: torch.Generator
) -> dict[str, torch.Tensor]:
    """The index tensors with each field of each record missing at `rate`."""
    changed = dict(tensors)
    for name, multiple in fields:
        key = f"{name}_mask_BL" if multiple else f"{name}_index_B"
        gone_B = torch.rand(len(tensors[key]), generator=rng) < rate
        changed[key] = tensors[key].masked_fill(gone_B.view(-1, *[1] * (tensors[key].ndim - 1)), MISSING)
    return changed


def unknown_words(tensors: Tensors, rate: float, rng: torch.Generator) -> dict[str, torch.Tensor]:
    """The index tensors with each word unknown at `rate`."""
    changed = dict(tensors)
    for key, index in tensors.items():
        if "_index_" in key:
            swapped = (torch.rand(index.shape, generator=rng) < rate) & (index != MISSING)
            changed[key] = index.masked_fill(swapped, UNKNOWN)
    return changed


def synonymous_words(
    tensors: Tensors, tables: Iterable[WordTable], rate: float, rng: torch.Generator
) -> dict[str, torch.Tensor]:
    """The index tensors with each word that has synonyms replaced by one of them at `rate`.

    A synonym that the record says already is left out: a list holds each word once.
    """
    changed = dict(tensors)
    for table in tables:
        index_BL = tensors[table.key].view(len(tensors[table.key]), -1)
        drawn_BL = table.draw(index_BL, rng)
        hit_BL = torch.rand(index_BL.shape, generator=rng) < rate
        hit_BL &= (drawn_BL != MISSING) & ~_holds(index_BL, drawn_BL)
        found_BL = torch.where(hit_BL, drawn_BL, index_BL)
        # Two words of a list may have become the same one: the later is put back.
        found_BL = torch.where(_seen_before(found_BL), index_BL, found_BL)
        changed[table.key] = found_BL.view_as(tensors[table.key])
    return changed


def emphasised_words(
    tensors: Tensors, tables: Iterable[WordTable], rate: float, rng: torch.Generator
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
    tensors: Tensors, others: Tensors, fields: Sequence[tuple[str, bool]], rate: float, rng: torch.Generator
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
            wide = taken_B.view(-1, *[1] * (tensors[key].ndim - 1))
            changed[key] = torch.where(wide, others[key], tensors[key])
    return changed


def _holds(index_BL: torch.Tensor, word_BL: torch.Tensor) -> torch.Tensor:
    """bool (B, L): whether the row has the word already."""
    return (word_BL[:, :, None] == index_BL[:, None, :]).any(dim=2)


def _seen_before(index_BL: torch.Tensor) -> torch.Tensor:
    """bool (B, L): whether a word stands further left in the same row too."""
    same_BLL = index_BL[:, :, None] == index_BL[:, None, :]
    return same_BLL.tril(diagonal=-1).any(dim=2) & (index_BL != MISSING)
