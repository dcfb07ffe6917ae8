"""Pictures in memory, as the published graph will see them: uint8, one size, one decoder (A-15).

Shapes: N pictures, S side, C colour channel, F fields.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import Image

from inference.errors import InvalidImage
from inference.pixels import decode_image, open_upright
from model_store.manifest import ImagePreprocessing
from pretraining.photographs import Photograph
from pretraining.shop_labels import shop_label
from trainer.errors import InvalidData
from trainer.progress import Progress
from trainer.synthetic.cut_outs import cut_out
from trainer.synthetic.garments import Record, tailor

# Fields of a drawn garment, of which the first word counts.
ATTRIBUTES = (
    "category",
    "colour",
    "print",
    "material",
    "silhouette",
    "length",
    "sleeve",
    "neckline",
    "collar",
)
_HALF_OPAQUE = 127


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPictures:
    """Photographs: uint8 image_NSSC, the number of each label, −1 where there is none, and of each sender."""

    image_NSSC: np.ndarray
    label_N: np.ndarray
    sender_N: np.ndarray
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnGarments:
    """Drawn garments: uint8 image_NSSC and, a field, the number of each word, −1 where it has none."""

    image_NSSC: np.ndarray
    word_NF: np.ndarray
    words: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CutOuts:
    """Drawn garments without ground: uint8 layer_NSS4, what of each square the garment fills, its label.

    `box_N4` is left, top, right and bottom in shares of the side; a label is −1 where photographs have none
    of its name.
    """

    layer_NSS4: np.ndarray
    box_N4: np.ndarray
    label_N: np.ndarray


def open_photograph(photograph: Photograph, longest_side: int) -> Image.Image:
    """The photograph upright, no side longer than that.

    Raises InvalidData: naming one that cannot be read.
    """
    with _named(photograph):
        picture = open_upright(photograph.path.read_bytes())
    picture.thumbnail((longest_side, longest_side))
    return picture


def decode_photographs(
    photographs: Sequence[Photograph], labels: tuple[str, ...], size: int, progress: Progress
) -> LabelledPictures:
    """The photographs, squashed to `size`; a label that is not among `labels` counts as none.

    Raises InvalidData: naming a photograph that cannot be read.
    """
    preprocessing = ImagePreprocessing(height=size, width=size)
    image_NSSC = np.empty((len(photographs), size, size, 3), np.uint8)
    for number, photograph in enumerate(photographs):
        with _named(photograph):
            image_NSSC[number] = decode_image(photograph.path.read_bytes(), preprocessing)
        progress("decoding photographs", number + 1, len(photographs))
    numbers = {label: number for number, label in enumerate(labels)}
    label_N = np.array([numbers.get(photograph.label, -1) for photograph in photographs], np.int64)
    _, sender_N = np.unique([photograph.sender for photograph in photographs], return_inverse=True)
    return LabelledPictures(image_NSSC=image_NSSC, label_N=label_N, sender_N=sender_N, labels=labels)


def draw_garments(count: int, seed: int, size: int, progress: Progress) -> DrawnGarments:
    """The first `count` garments of a seed; the words of a field are those that occur, in order."""
    image_NSSC = np.empty((count, size, size, 3), np.uint8)
    records = []
    for number in range(count):
        garment = tailor(seed, number, size)
        image_NSSC[number] = np.asarray(garment.picture)
        records.append(garment.record)
        progress("drawing garments", number + 1, count)
    columns = [[word_of(record, field) for record in records] for field in ATTRIBUTES]
    words = tuple(tuple(sorted({word for word in column if word})) for column in columns)
    numbers = [
        [known.index(word) if word else -1 for word in column]
        for column, known in zip(columns, words, strict=True)
    ]
    return DrawnGarments(image_NSSC=image_NSSC, word_NF=np.array(numbers, np.int64).T, words=words)


def cut_garments(count: int, seed: int, size: int, labels: tuple[str, ...], progress: Progress) -> CutOuts:
    """The garments of `draw_garments` without ground, labelled with those of `labels` that they have."""
    layer_NSS4 = np.empty((count, size, size, 4), np.uint8)
    box_N4, label_N = np.empty((count, 4), np.float32), np.full(count, -1, np.int64)
    numbers = {label: number for number, label in enumerate(labels)}
    for number in range(count):
        layer_NSS4[number], record = cut_out(seed, number, size)
        box_N4[number] = _filled(layer_NSS4[number, :, :, 3])
        label_N[number] = numbers.get(shop_label(record), -1)
        progress("cutting garments out", number + 1, count)
    return CutOuts(layer_NSS4=layer_NSS4, box_N4=box_N4, label_N=label_N)


@contextmanager
def _named(photograph: Photograph) -> Iterator[None]:
    try:
        yield
    except (OSError, InvalidImage) as error:
        raise InvalidData(f"{photograph.path}: {error}") from error


def _filled(opacity_SS: np.ndarray) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of what is more than half opaque, in shares of the side."""
    down_N, across_N = np.nonzero(opacity_SS > _HALF_OPAQUE)
    size = len(opacity_SS)
    return (
        across_N.min() / size,
        down_N.min() / size,
        (across_N.max() + 1) / size,
        (down_N.max() + 1) / size,
    )


def word_of(record: Record, field: str) -> str:
    """The first word of a field, empty where the record has none."""
    value = record.get(field, "")
    return value if isinstance(value, str) else next(iter(value), "")
