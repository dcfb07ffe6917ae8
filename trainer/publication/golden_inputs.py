"""Inputs of golden sets: drawn pictures and records, the same on every machine.

Shapes: B pictures, H height, W width, C colour channel.
"""

import numpy as np
from PIL import Image

from inference.attributes import AttributeSchema
from model_store.manifest import AttributePreprocessing, ImagePreprocessing
from model_store.store import Version
from trainer.synthetic.garments import draw_garment
from trainer.synthetic.paintings import artist, paint

_SEED = 20


def golden_pictures(height: int, width: int) -> np.ndarray:
    """uint8 image_BHWC of four: a painting, a garment, noise and a grey gradient."""
    rng = np.random.default_rng(_SEED)
    gradient_HW = np.linspace(0, 255, height * width).reshape(height, width).astype(np.uint8)
    pictures = [
        _fitted(paint(artist(_SEED, 0), _SEED, 0), height, width),
        _fitted(draw_garment(_SEED, 0).picture, height, width),
        rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
        np.repeat(gradient_HW[:, :, None], 3, axis=2),
    ]
    return np.stack(pictures)


def golden_pictures_of(version: Version) -> np.ndarray:
    """Those of the size that a version takes."""
    pixels = version.manifest.preprocessing
    assert isinstance(pixels, ImagePreprocessing)
    return golden_pictures(pixels.height, pixels.width)


def golden_records(preprocessing: AttributePreprocessing) -> dict[str, np.ndarray]:
    """Index tensors of eight records: nothing, unknown words, and words drawn from the vocabulary."""
    rng = np.random.default_rng(_SEED)
    records: list[dict[str, object]] = [
        {},
        {f.name: ["?"] if f.multiple else "?" for f in preprocessing.fields},
    ]
    for _ in range(6):
        record: dict[str, object] = {}
        for field in preprocessing.fields:
            words = rng.choice(field.vocabulary, size=min(3, len(field.vocabulary)), replace=False).tolist()
            record[field.name] = words[: int(rng.integers(0, 4))] if field.multiple else words[0]
        records.append(record)
    return AttributeSchema(preprocessing).tensors(records)


def _fitted(picture: Image.Image, height: int, width: int) -> np.ndarray:
    return np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC))
