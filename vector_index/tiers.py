"""Which segments to merge: by tiers of four while writes go on, into as few as allowed once they rest.

A row is written once for each tier that it passes: 4 times on the way to 100,000 rows, 5 times to 1,000,000.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from vector_index.segment import Part

WIDTH: Final = 4
# More rows in one graph take minutes to build.
MOST_ROWS: Final = 250_000
_DEAD_SHARE: Final = 0.2


def merge_next(parts: Sequence[Part], least_rows: int) -> tuple[Part, ...]:
    """Sealed parts to merge into one now; none if nothing is due. least_rows: of the lowest tier."""
    for part in parts:
        if part.dead_count >= least_rows and part.dead_count > part.live_count:
            return (part,)
    by_tier: dict[int, list[Part]] = defaultdict(list)
    for part in parts:
        by_tier[_tier(part.live_count, least_rows)].append(part)
    for tier in sorted(by_tier):
        group = _fitting(by_tier[tier])
        if len(group) >= WIDTH:
            return group
    return ()


def compact_next(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Sealed parts to merge into one while writes rest; none if the index is as compact as it can be."""
    group = _fitting(parts)
    if len(group) > 1:
        return group
    for part in parts:
        if part.dead_count > _DEAD_SHARE * len(part.segment):
            return (part,)
    return ()


def _tier(rows: int, least_rows: int) -> int:
    tier = 0
    while rows >= least_rows * WIDTH ** (tier + 1):
        tier += 1
    return tier


def _fitting(parts: Sequence[Part]) -> tuple[Part, ...]:
    """The smallest parts that fit into one graph together."""
    group, rows = [], 0
    for part in sorted(parts, key=lambda part: part.live_count):
        rows += part.live_count
        if rows > MOST_ROWS:
            break
        group.append(part)
    return tuple(group)
