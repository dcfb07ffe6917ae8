"""The works that a head was trained and validated with, as its checkpoints state them (A-3).

Digests alone are kept: enough to know a work, its picture, a copy of it or its artist again.

Shapes: N works, K works seen.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from trainer.artwork.data.copies import FINGERPRINT_BYTES, copies_of
from trainer.artwork.data.metadata import Artwork

# By what a work is known, in the order in which it is asked.
REASONS = ("image_id", "picture", "copy", "artist")
_KEYS = ("images", "pictures", "artists")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """The works that a head has not seen, and how many others are left out for which reason."""

    artworks: tuple[Artwork, ...]
    left_out: dict[str, int]

    @property
    def reasons(self) -> str:
        """The counts in words: "3 by image_id, 1 by copy"."""
        return ", ".join(f"{count} by {reason}" for reason, count in self.left_out.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenWorks:
    """int64 keys of images, pictures and artists, sorted; fingerprints of pictures that have one."""

    images: torch.Tensor
    pictures: torch.Tensor
    artists: torch.Tensor
    fingerprints: torch.Tensor

    @classmethod
    def of(cls, artworks: Sequence[Artwork]) -> "SeenWorks":
        """What a run that sees these works states."""
        prints = sorted({artwork.fingerprint for artwork in artworks} - {b""})
        return cls(
            images=_keys(text_key(a.image_id) for a in artworks),
            pictures=_keys(a.picture_key for a in artworks),
            artists=_keys(text_key(a.artist) for a in artworks),
            fingerprints=torch.from_numpy(
                np.frombuffer(b"".join(prints), dtype=np.uint8).reshape(-1, FINGERPRINT_BYTES).copy()
            ),
        )

    @classmethod
    def restore(cls, stated: Any) -> "SeenWorks | None":
        """What a checkpoint states; None for one that states nothing. Earlier builds stated pictures alone.

        Raises ValueError: when it is no such statement.
        """
        if stated is None:
            return None
        if isinstance(stated, torch.Tensor):
            stated = {"pictures": stated}
        if not isinstance(stated, dict) or "pictures" not in stated:
            raise ValueError("seen is no list of pictures")
        none = torch.empty(0, dtype=torch.int64)
        keys = {name: stated.get(name, none) for name in _KEYS}
        prints = stated.get("fingerprints", torch.empty((0, FINGERPRINT_BYTES), dtype=torch.uint8))
        for key_K in keys.values():
            if not isinstance(key_K, torch.Tensor) or key_K.dtype != torch.int64 or key_K.ndim != 1:
                raise ValueError("seen is no list of pictures")
        if not isinstance(prints, torch.Tensor) or prints.dtype != torch.uint8 or prints.ndim != 2:
            raise ValueError("seen is no list of pictures")
        if prints.shape[1] != FINGERPRINT_BYTES:
            raise ValueError("seen holds fingerprints of another length")
        return cls(**keys, fingerprints=prints)

    def state(self) -> dict[str, torch.Tensor]:
        """What a checkpoint holds of it."""
        return {**{name: getattr(self, name) for name in _KEYS}, "fingerprints": self.fingerprints}

    def select(self, artworks: Sequence[Artwork]) -> Unseen:
        """The works of which neither id, picture, a copy of it nor artist was seen."""
        reasons = list(self._reasons(artworks))
        counted = Counter(reason for reason in reasons if reason)
        return Unseen(
            artworks=tuple(a for a, reason in zip(artworks, reasons, strict=True) if not reason),
            left_out={reason: counted[reason] for reason in REASONS if counted[reason]},
        )

    def _reasons(self, artworks: Sequence[Artwork]) -> Iterator[str]:
        """By what each work is known; empty for one that is not."""
        images, pictures, artists = (set(getattr(self, name).tolist()) for name in _KEYS)
        seen = [row.tobytes() for row in self.fingerprints.numpy()]
        copied_N = copies_of([artwork.fingerprint for artwork in artworks], seen)
        for artwork, copied in zip(artworks, copied_N.tolist(), strict=True):
            known = (
                text_key(artwork.image_id) in images,
                artwork.picture_key in pictures,
                copied,
                text_key(artwork.artist) in artists,
            )
            yield next((reason for reason, is_so in zip(REASONS, known, strict=True) if is_so), "")


def text_key(text: str) -> int:
    """64 bits of a text's digest, signed."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big", signed=True)


def _keys(keys: Iterator[int]) -> torch.Tensor:
    return torch.tensor(sorted(set(keys)), dtype=torch.int64)
