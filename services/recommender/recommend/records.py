"""Attribute records near a picture, and what they suggest for it (R-9)."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.recommender.view.terms import words_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """A value and its share among the records that have its field, 0 to 1."""

    field: str
    value: str
    share: float


def suggest(records: Sequence[Mapping[str, Any]]) -> list[Suggestion]:
    """The words of some records, nearest first: by field, those with the greatest share first.

    A record counts 1 / rank, so that many far ones do not outvote the nearest.
    """
    totals = defaultdict[str, float](float)
    weights = defaultdict[tuple[str, str], float](float)
    for rank, record in enumerate(records, start=1):
        for name, value in record.items():
            words = set(words_of(value))
            if words:
                totals[name] += 1 / rank
            for word in words:
                weights[name, word] += 1 / rank
    suggestions = [
        Suggestion(field=name, value=word, share=weight / totals[name])
        for (name, word), weight in weights.items()
    ]
    return sorted(suggestions, key=lambda each: (each.field, -each.share, each.value))
