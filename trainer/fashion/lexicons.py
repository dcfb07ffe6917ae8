"""Words that may stand for a word or beside it, as tables of indexes (F-22).

Shapes: W indexes of a field (missing and unknown with them), S words that go with one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from inference.attributes import normalise_text
from model_store.manifest import AttributeField
from trainer.fashion.config import Lexicon
from trainer.fashion.encoders.base import FIRST_WORD, MISSING


@dataclass(frozen=True, slots=True, kw_only=True)
class WordTable:
    """What goes with each word of one field: int64 table_WS, of which count_W are filled."""

    field: str
    key: str
    table_WS: torch.Tensor
    count_W: torch.Tensor

    def draw(self, index: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """int64, in the shape of `index`: one word for each, MISSING for a word that none goes with."""
        drawn = torch.rand(index.shape, generator=rng) * self.count_W[index]
        return self.table_WS[index, drawn.long()]


def open_tables(lexicon: Lexicon, fields: Sequence[AttributeField]) -> tuple[WordTable, ...]:
    """A table for each field that the schema and the lexicon both have.

    A catalogue may bring a vocabulary of its own: words that it has not are left out.
    """
    return tuple(_table(field, lexicon[field.name]) for field in fields if field.name in lexicon)


def _table(field: AttributeField, words: Mapping[str, Sequence[str]]) -> WordTable:
    known = {normalise_text(word, {}): FIRST_WORD + place for place, word in enumerate(field.vocabulary)}
    rows: dict[int, list[int]] = {}
    for word, others in words.items():
        indexes = [known.get(normalise_text(other, {}), MISSING) for other in others]
        rows[known.get(normalise_text(word, {}), MISSING)] = [index for index in indexes if index]
    # A word that the vocabulary has not was collected under MISSING, with which nothing goes.
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
