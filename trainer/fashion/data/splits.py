"""Garments to train on, to choose by and to judge by, that share no photograph and no look (F-5)."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trainer.errors import InvalidData
from trainer.fashion.config import SplitSettings
from trainer.fashion.data.prepared_data import PARTS, TEST, TRAIN, VAL, GarmentRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class GarmentSplit:
    """Sets of garments that share no group and no picture; folders of earlier builds have no test part.

    dropped: by part, garments left out of it because a part before it has their picture too.
    """

    train: tuple[GarmentRecord, ...]
    val: tuple[GarmentRecord, ...]
    test: tuple[GarmentRecord, ...] = ()
    dropped: Mapping[str, int]

    @property
    def judged(self) -> str:
        """The part that gives the headline: "test", or "val" where no garment is held back for a test."""
        return TEST if self.test else VAL

    def sizes(self) -> dict[str, int]:
        """The number of garments by part, and of those that were left out."""
        sizes = {TRAIN: len(self.train), VAL: len(self.val), TEST: len(self.test)}
        return sizes | {"dropped": sum(self.dropped.values())}


def split_records(
    garments: Sequence[GarmentRecord], seed: int = 42, shares: SplitSettings | None = None
) -> GarmentSplit:
    """Whole groups by `shares`; groups that have a picture in common, byte for byte, stay together.

    Garments that all have a part since they were prepared keep it.
    Raises InvalidData: when there are too few groups, or a prepared group is in two parts.
    """
    if all(garment.part for garment in garments):
        return _prepared_split(garments)
    joined = join_groups((garment.group, garment.picture_digest) for garment in garments)
    part_of = deal_groups(joined.values(), shares or SplitSettings(), seed)
    parts = {
        part: tuple(garment for garment in garments if part_of[joined[garment.group]] == part)
        for part in PARTS
    }
    return GarmentSplit(train=parts[TRAIN], val=parts[VAL], test=parts[TEST], dropped={})


def deal_groups(groups: Iterable[str], shares: SplitSettings, seed: int) -> dict[str, str]:
    """The part of each group, each part with at least one; the same for the same groups, shares and seed.

    Raises InvalidData: when there are fewer groups than parts.
    """
    ordered = sorted(set(groups))
    val = max(1, round(len(ordered) * shares.validation))
    test = max(1, round(len(ordered) * shares.test)) if shares.test else 0
    if val + test >= len(ordered):
        needed = 3 if shares.test else 2
        raise InvalidData(
            f"{len(ordered)} groups of garments (photographs, looks) are too few to be split into train "
            f"{1 - shares.validation - shares.test:.2f}, validation {shares.validation:g} and test "
            f"{shares.test:g}: at least {needed} are needed"
            + ("; --set split.test=0 leaves the test part out" if shares.test else "")
        )
    order = np.random.default_rng(seed).permutation(len(ordered))
    parts = [VAL] * val + [TEST] * test + [TRAIN] * (len(ordered) - val - test)
    return {ordered[place]: part for place, part in zip(order, parts, strict=True)}


def join_groups(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """For each group the name of all groups that it hangs together with: the least of theirs.

    pairs: a group with a picture of it; a picture that two groups have joins them.
    """
    above: dict[str, str] = {}
    owner: dict[str, str] = {}

    def root(group: str) -> str:
        while above[group] != group:
            above[group] = above[above[group]]
            group = above[group]
        return group

    for group, picture in pairs:
        above.setdefault(group, group)
        one, other = root(group), root(owner.setdefault(picture, group))
        above[max(one, other)] = min(one, other)
    return {group: root(group) for group in above}


def _prepared_split(garments: Sequence[GarmentRecord]) -> GarmentSplit:
    parts = {part: [garment for garment in garments if garment.part == part] for part in PARTS}
    if not parts[TRAIN] or not parts[VAL]:
        raise InvalidData(
            f"{len(parts[TRAIN])} garments to train on and {len(parts[VAL])} to validate on: none may be 0"
        )
    part_of: dict[str, str] = {}
    seen: set[str] = set()
    dropped: Counter[str] = Counter()
    for part, members in parts.items():
        for garment in members:
            if part_of.setdefault(garment.group, part) != part:
                raise InvalidData(f"group {garment.group} is in both {part_of[garment.group]} and {part}")
        kept = [garment for garment in members if garment.picture_digest not in seen]
        dropped[part] = len(members) - len(kept)
        seen |= {garment.picture_digest for garment in members}
        parts[part] = kept
    return GarmentSplit(
        train=tuple(parts[TRAIN]),
        val=tuple(parts[VAL]),
        test=tuple(parts[TEST]),
        dropped={part: count for part, count in dropped.items() if count},
    )
