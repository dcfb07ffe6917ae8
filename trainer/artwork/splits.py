"""Train, validation and test: 80/10/10, whole artists, every tier in its share (A-2, A-3)."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from model_store.durable import write_text
from trainer.artwork.metadata import TIERS, Artwork
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

    Raises InvalidData: when fewer than three artists leave a part empty, or a part has one tier only.
    """
    groups = _by_artist(artworks)
    if len(groups) < len(PARTS):
        raise InvalidData(f"{len(groups)} artists cannot fill train, val and test: at least 3 are needed")
    counts_GT = np.array([[sum(a.tier == t for a in group) for t in TIERS] for group in groups], dtype=float)
    rng = np.random.default_rng(seed)
    best = min((_deal(counts_GT, rng) for _ in range(_ATTEMPTS)), key=lambda deal: deal[0])[1]
    parts = [
        tuple(a for i, group in enumerate(groups) if best[i] == part for a in group) for part in range(3)
    ]
    split = Split(train=parts[0], val=parts[1], test=parts[2], seed=seed)
    for name, part in zip(PARTS, parts, strict=True):
        tiers = {a.tier for a in part}
        if len(tiers) < 2:
            raise InvalidData(
                f"{len(groups)} artists leave {name} with {len(part)} images of {len(tiers)} tiers, and a "
                "pair takes two: more artists, or artists with several tiers, are needed"
            )
    check_no_leak((*split.train, *split.val), split.test)
    return split


def check_no_leak(seen: Sequence[Artwork], test: Sequence[Artwork]) -> None:
    """Prove that nothing of the test split is among what training or validation sees.

    Raises LeakDetected: naming the first image, artist or picture that is in both.
    """
    for what in ("image_id", "artist", "picture_digest"):
        both = {getattr(a, what) for a in seen} & {getattr(a, what) for a in test}
        if both:
            raise LeakDetected(f"{what} {min(both)} of the test split is in training or validation too")


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


def _by_artist(artworks: Artworks) -> list[Artworks]:
    """Artworks by artist; artists that share a picture count as one, or the picture would leak."""
    owner: dict[str, str] = {}
    first: dict[str, str] = {}

    def root(artist: str) -> str:
        while owner.setdefault(artist, artist) != artist:
            artist = owner[artist]
        return artist

    for artwork in artworks:
        holder = first.setdefault(artwork.picture_digest, artwork.artist)
        owner[root(artwork.artist)] = root(holder)
    groups: dict[str, list[Artwork]] = defaultdict(list)
    for artwork in artworks:
        groups[root(artwork.artist)].append(artwork)
    return [tuple(groups[key]) for key in sorted(groups)]


def _deal(counts_GT: np.ndarray, rng: np.random.Generator) -> tuple[float, np.ndarray]:
    """One dealing, large artists first, each to the part where it helps most; with its cost."""
    target_PT = np.array(RATIOS)[:, None] * counts_GT.sum(axis=0)
    held_PT = np.zeros_like(target_PT)
    chosen_G = np.zeros(len(counts_GT), dtype=int)
    order = rng.permutation(len(counts_GT))
    order = order[np.argsort(-counts_GT[order].sum(axis=1), kind="stable")]
    for group in order:
        gained_PPT = np.eye(len(PARTS))[:, :, None] * counts_GT[group]
        part = int(np.argmin([_cost(held_PT + gained_PT, target_PT) for gained_PT in gained_PPT]))
        chosen_G[group], held_PT[part] = part, held_PT[part] + counts_GT[group]
    empty = (held_PT.sum(axis=1) == 0).sum()
    return _cost(held_PT, target_PT) + float(1e6 * empty), chosen_G


def _cost(held_PT: np.ndarray, target_PT: np.ndarray) -> float:
    return float((((held_PT - target_PT) / np.maximum(1, target_PT)) ** 2).sum())
