"""Garments with vectors, made up for the figures that are asked of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from trainer.fashion.data.prepared_data import GarmentRecord
from trainer.fashion.evaluation.encoded import Encoded


def garment(number: int, attributes: Mapping[str, Sequence[str]], group: str = "") -> GarmentRecord:
    """A garment without a picture."""
    return GarmentRecord(
        item_id=f"g{number}",
        path=Path("none.png"),
        attributes={name: tuple(words) for name, words in attributes.items()},
        group=group or f"look{number}",
        picture_digest=f"{number:064x}",
    )


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1, float32."""
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def draw_garments(count: int, *, noise: float, seed: int = 0, dimension: int = 512) -> Encoded:
    """Garments of three styles and four categories; vectors tell both, records miss them by `noise`."""
    rng = np.random.default_rng(seed)
    styles, categories = ("레트로", "로맨틱", "리조트"), ("스커트", "셔츠", "코트", "팬츠")
    style_N, category_N = rng.integers(0, 3, count), rng.integers(0, 4, count)
    centre_3D, centre_4D = rng.normal(size=(3, dimension)), rng.normal(size=(4, dimension))
    picture_ND = unit(centre_3D[style_N] + centre_4D[category_N] + rng.normal(size=(count, dimension)))
    record_ND = unit(picture_ND + noise * rng.normal(size=(count, dimension)) / np.sqrt(dimension))
    garments = [
        garment(
            number,
            {
                "style": [styles[style_N[number]]],
                "category": [categories[category_N[number]]],
                "material": ["니트"] if number % 4 else [],
            },
            f"look{number // 2}",
        )
        for number in range(count)
    ]
    keys = tuple(garment.key for garment in garments)
    return Encoded(garments=garments, record_ND=record_ND, picture_ND=picture_ND, keys=keys)
