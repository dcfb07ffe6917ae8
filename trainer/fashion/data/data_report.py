"""What was found in a data set and what was left out of it, counted while it streams by."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

EXAMPLES = 20
KS = (1, 5, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why one file, row or garment was left out."""

    path: Path
    reason: str
    detail: str = ""


@dataclass
class Exclusions:
    """Problems by reason, each with its first few examples, and peculiarities that excluded nothing."""

    excluded: Counter[str] = field(default_factory=Counter)
    noted: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, problem: Problem) -> None:
        """Count a problem."""
        self.excluded[problem.reason] += 1
        if len(self.examples[problem.reason]) < EXAMPLES:
            told = f"{problem.path}: {problem.detail}" if problem.detail else str(problem.path)
            self.examples[problem.reason].append(told)

    def __str__(self) -> str:
        """All reasons with their examples; empty without a problem."""
        if not self.excluded:
            return ""
        lines = [f"{sum(self.excluded.values())} left out"]
        for reason, count in self.excluded.most_common():
            lines += [f"{reason}: {count}", *(f"  {example}" for example in self.examples[reason])]
        return "\n  ".join(lines)

    def report(self) -> dict[str, Any]:
        """As the data report has it."""
        return {
            "excluded": dict(self.excluded.most_common()),
            "noted": dict(self.noted.most_common()),
            "examples": dict(self.examples),
        }


class Census:
    """Counts over records: words by field, garments by style, and how many records say the same."""

    def __init__(self) -> None:
        self.garments = 0
        self._styles: Counter[str] = Counter()
        self._parts: Counter[str] = Counter()
        self._words: dict[str, Counter[str]] = defaultdict(Counter)
        self._having: Counter[str] = Counter()
        self._keys: dict[str, Counter[int]] = defaultdict(Counter)

    def add(self, line: Mapping[str, Any]) -> None:
        """Count a record that has its part of the split."""
        self.garments += 1
        self._parts[line["split"]] += 1
        if "style_folder" in line:
            self._styles[line["style_folder"]] += 1
        for name, value in line["attributes"].items():
            self._having[name] += 1
            self._words[name].update([value] if isinstance(value, str) else value)
        key = hash(json.dumps(line["attributes"], sort_keys=True, ensure_ascii=False))
        for part in ("all", line["split"]):
            self._keys[part][key] += 1

    def report(self) -> dict[str, Any]:
        """As the data report has it."""
        return {
            "garments": self.garments,
            "split": dict(self._parts),
            "by_style_folder": dict(self._styles),
            "by_field": {name: dict(found.most_common()) for name, found in sorted(self._words.items())},
            "missing": {name: self.garments - self._having[name] for name in sorted(self._words)},
            "distinct_records": len(self._keys["all"]),
            "tie_ceiling": {
                part: {str(k): _tie_ceiling(keys, k) for k in KS} for part, keys in self._keys.items()
            },
        }


def _tie_ceiling(keys: Counter[int], k: int) -> float:
    """As `retrieval.tie_ceiling`, of counts: each of n equal records finds its own with k / n at best."""
    count_K = np.array(list(keys.values()), dtype=np.float64)
    return float((np.minimum(1.0, k / count_K) * count_K).sum() / count_K.sum())
