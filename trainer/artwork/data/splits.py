"""Train, validation and test: 80/10/10, whole artists, every tier in its share (A-2, A-3)."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from model_store.durable import write_text
from trainer.artwork.data.copies import copies_among, copies_of
from trainer.artwork.data.metadata import TIERS, Artwork
from trainer.errors import InvalidData, LeakDetected

PARTS = ("train", "val", "test")
SPLIT_FILE = "split.json"
RATIOS = (0.8, 0.1, 0.1)
_ATTEMPTS = 64

Artworks = tuple[Artwork, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Three disjoint sets of artworks that share no artist and no picture."""

    train: Artworks
    val: Artworks
    test: Artworks
    seed: int

    @property
    def digest(self) -> str:
        """sha256, hexadecimal, of which image is in which part."""
        body = {part: sorted(a.image_id for a in getattr(self, part)) for part in PARTS}
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()

    def report(self) -> dict[str, Any]:
        """Sizes, achieved ratios and tier shares of each part, JSON-ready."""
        total = sum(len(getattr(self, part)) for part in PARTS)
        return {
            part: {
                "count": len(members := getattr(self, part)),
                "ratio": round(len(members) / total, 4),
                "artists": len({a.artist for a in members}),
                "tiers": {
                    t: round(sum(a.tier == t for a in members) / max(1, len(members)), 4) for t in TIERS
                },
            }
            for part in PARTS
        }


def split_artworks(artworks: Artworks, seed: int = 42) -> Split:
    """Whole artists dealt out so that sizes and tier shares come as near 80/10/10 as they can.

    The order of the artworks does not matter. Artists that share a picture, or copies of one, count as one.
    Raises InvalidData: when fewer than three artists leave a part empty, or a part has one tier only.
    """
    ordered = tuple(sorted(artworks, key=lambda artwork: artwork.image_id))
    group_N = _groups(ordered)
    groups = int(group_N.max(initial=-1)) + 1
    if groups < len(PARTS):
        raise InvalidData(f"{groups} artists cannot fill train, val and test: at least 3 are needed")
    counts_GT = np.zeros((groups, len(TIERS)))
    tier_N = np.array([TIERS.index(artwork.tier) for artwork in ordered])
    np.add.at(counts_GT, (group_N, tier_N), 1)
    part_N = _deal(counts_GT, seed)[group_N].tolist()
    train, val, test = (
        tuple(a for a, dealt in zip(ordered, part_N, strict=True) if dealt == part)
        for part in range(len(PARTS))
    )
    split = Split(train=train, val=val, test=test, seed=seed)
    for name in PARTS:
        part = getattr(split, name)
        tiers = {artwork.tier for artwork in part}
        if len(tiers) < 2:
            raise InvalidData(
                f"{groups} artists leave {name} with {len(part)} images of {len(tiers)} tiers, and a "
                "pair takes two: more artists, or artists with several tiers, are needed"
            )
    check_no_leak((*split.train, *split.val), split.test)
    return split


def check_no_leak(seen: Sequence[Artwork], test: Sequence[Artwork]) -> None:
    """Prove that nothing of the test split is among what training or validation sees.

    Raises LeakDetected: naming the first image, artist or picture that is in both, or copied from one.
    """
    for what in ("image_id", "artist", "picture_digest"):
        both = {getattr(a, what) for a in seen} & {getattr(a, what) for a in test}
        if both:
            raise LeakDetected(f"{what} {min(both)} of the test split is in training or validation too")
    copied_N = copies_of([a.fingerprint for a in test], [a.fingerprint for a in seen])
    if copied_N.any():
        image_id = test[int(copied_N.argmax())].image_id
        raise LeakDetected(
            f"image_id {image_id} of the test split is a copy of one in training or validation"
        )


def write_split(split: Split, path: Path) -> None:
    """Write which image is in which part, with the digest, ratios and tier shares."""
    body = {
        "schema_version": 1,
        "seed": split.seed,
        "digest": split.digest,
        "report": split.report(),
        **{part: sorted(a.image_id for a in getattr(split, part)) for part in PARTS},
    }
    write_text(path, json.dumps(body, indent=2, ensure_ascii=False) + "\n")


def _groups(artworks: Artworks) -> np.ndarray:
    """int32 group_N: works of one artist are in one group, and so are copies of one picture."""
    count = len(artworks)
    _, artist_N = np.unique([artwork.artist for artwork in artworks], return_inverse=True)
    _, picture_N = np.unique([artwork.picture_digest for artwork in artworks], return_inverse=True)
    copy_C2 = copies_among([artwork.fingerprint for artwork in artworks])
    # Nodes: works, then artists, then pictures.
    first, second = (
        np.concatenate(ends)
        for ends in (
            (np.arange(count), np.arange(count), copy_C2[:, 0]),
            (count + artist_N, 2 * count + picture_N, copy_C2[:, 1]),
        )
    )
    links = coo_array((np.ones(len(first), dtype=bool), (first, second)), shape=(3 * count, 3 * count))
    label_V = connected_components(links, directed=False)[1]
    _, group_N = np.unique(label_V[:count], return_inverse=True)
    return np.asarray(group_N, dtype=np.int32)


def _deal(counts_GT: np.ndarray, seed: int) -> np.ndarray:
    """int64 part_G: the best of many dealings, which differ in the order of groups of one size.

    In each, large groups come first, each to the part where it helps most. All dealings go on at once.
    """
    target_PT = np.array(RATIOS)[:, None] * counts_GT.sum(axis=0)
    scale_PT = np.maximum(1, target_PT) ** 2
    rng, attempts = np.random.default_rng(seed), np.arange(_ATTEMPTS)
    order_AG = np.stack([_large_first(counts_GT, rng) for _ in attempts])
    short_APT = np.repeat(-target_PT[None], _ATTEMPTS, axis=0)
    part_AG = np.zeros(order_AG.shape, dtype=np.int64)
    for group_A in order_AG.T:
        count_A1T = counts_GT[group_A][:, None]
        # By how much each part's cost rises with the group.
        rise_AP = ((2 * short_APT + count_A1T) * count_A1T / scale_PT).sum(axis=2)
        part_A = rise_AP.argmin(axis=1)
        part_AG[attempts, group_A] = part_A
        short_APT[attempts, part_A] += count_A1T[:, 0]
    cost_A = (short_APT**2 / scale_PT).sum(axis=(1, 2))
    empty_A = ((short_APT + target_PT).sum(axis=2) == 0).sum(axis=1)
    best: np.ndarray = part_AG[int((cost_A + 1e6 * empty_A).argmin())]
    return best


def _large_first(counts_GT: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    order_G = rng.permutation(len(counts_GT))
    return order_G[np.argsort(-counts_GT[order_G].sum(axis=1), kind="stable")]
