"""What a prepared folder holds and what was left out of it, counted while records stream by."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainer.fashion.data.prepared_data import tie_ceiling

EXAMPLES = 20
KS = (1, 5, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why a file, row or garment was left out."""

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
            example = f"{problem.path}: {problem.detail}" if problem.detail else str(problem.path)
            self.examples[problem.reason].append(example)

    def __str__(self) -> str:
        """All reasons with their examples; empty without a problem."""
        if not self.excluded:
            return ""
        lines = [f"{sum(self.excluded.values())} left out"]
        for reason, count in self.excluded.most_common():
            lines += [f"{reason}: {count}", *(f"  {example}" for example in self.examples[reason])]
        return "\n  ".join(lines)

    def report(self) -> dict[str, Any]:
        """Their part of the data report."""
        return {
            "excluded": dict(self.excluded.most_common()),
            "noted": dict(self.noted.most_common()),
            "examples": dict(self.examples),
        }


class RecordCounts:
    """Counts over records: words by field, garments by style, and how many records are equal.

    words: of each field; lists: fields that are a list in some record. Both by part of the split, and of all.
    """

    def __init__(self) -> None:
        self.garments = 0
        self._styles: Counter[str] = Counter()
        self._parts: Counter[str] = Counter()
        self.words: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
        self.lists: dict[str, set[str]] = defaultdict(set)
        self._having: Counter[str] = Counter()
        self._keys: dict[str, Counter[int]] = defaultdict(Counter)

    def add(self, record: Mapping[str, Any]) -> None:
        """Count a record that has its part of the split."""
        self.garments += 1
        self._parts[record["split"]] += 1
        if "style_folder" in record:
            self._styles[record["style_folder"]] += 1
        self._having.update(record["attributes"].keys())
        for part in ("all", record["split"]):
            for name, value in record["attributes"].items():
                self.words[part][name].update([value] if isinstance(value, str) else value)
                if isinstance(value, list):
                    self.lists[part].add(name)

    def add_keys(self, parts: Iterable[str], keys: Iterable[str]) -> None:
        """Count what records are to an encoder: records of equal keys are the same query."""
        for part, key in zip(parts, keys, strict=True):
            self._keys["all"][hash(key)] += 1
            self._keys[part][hash(key)] += 1

    def report(self) -> dict[str, Any]:
        """Their part of the data report."""
        words = sorted(self.words["all"].items())
        return {
            "garments": self.garments,
            "split": dict(self._parts),
            "by_style_folder": dict(self._styles),
            "by_field": {name: dict(count.most_common()) for name, count in words},
            "missing": {name: self.garments - self._having[name] for name, _ in words},
            "distinct_records": len(self._keys["all"]),
            "tie_ceiling": {
                part: {str(k): tie_ceiling(tuple(keys.elements()), k) for k in KS}
                for part, keys in self._keys.items()
            },
        }
