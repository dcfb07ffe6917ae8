"""Pictures in memory, as the published graph will see them: uint8, one size, one decoder (A-15).

Photographs keep their labels. Drawn garments have attributes and, as cut-outs, the label of a shop.
Shapes: N pictures, S side, C colour channel, F fields; 4 channels are red, green and blue times opacity, and
opacity.
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
from trainer.errors import InvalidData
from trainer.loop.progress import Progress
from trainer.synthetic.garments import draw_garment
from trainer.synthetic.records import Record, word_of

# Fields of a drawn garment, of which the first word counts.
ATTRIBUTES = (
    "category", "colour", "print", "material", "silhouette", "length", "sleeve", "neckline", "collar",
)  # fmt: skip
# The nearest label of the clothing photographs; T-shirts go by their sleeves, trousers by their length.
_LABELS = {
    "셔츠": "Shirt", "블라우스": "Shirt", "드레스": "Dress", "스커트": "Skirt", "니트웨어": "Longsleeve",
    "후드티": "Hoodie", "짚업": "Hoodie", "코트": "Outwear", "점퍼": "Outwear", "패딩": "Outwear",
    "재킷": "Blazer", "래깅스": "Pants", "탑": "Undershirt",
}  # fmt: skip
_TROUSERS = ("팬츠", "청바지", "조거팬츠")
_BY_SLEEVE = {"민소매": "Undershirt", "긴팔": "Longsleeve"}
_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)
_HALF_OPAQUE = 127


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPictures:
    """Photographs: uint8 image_NSSC, the number of each label, −1 for none, and of each sender."""

    image_NSSC: np.ndarray
    label_N: np.ndarray
    sender_N: np.ndarray
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnGarments:
    """Drawn garments: uint8 image_NSSC and the number of each word in its field, −1 for none."""

    image_NSSC: np.ndarray
    word_NF: np.ndarray
    words: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CutOuts:
    """Drawn garments without ground: uint8 layer_NSS4, the box that each fills, and its label.

    `box_N4`: left, top, right and bottom in shares of the side. `label_N`: −1 where photographs have no label
    of that name.
    """

    layer_NSS4: np.ndarray
    box_N4: np.ndarray
    label_N: np.ndarray


def open_photograph(photograph: Photograph, longest_side: int) -> Image.Image:
    """The photograph upright, no side longer than `longest_side` pixels.

    Raises InvalidData: if it cannot be read, naming it.
    """
    with _named(photograph):
        picture = open_upright(photograph.path.read_bytes())
    picture.thumbnail((longest_side, longest_side))
    return picture


def decode_photographs(
    photographs: Sequence[Photograph], labels: tuple[str, ...], size: int, progress: Progress
) -> LabelledPictures:
    """The photographs, squashed to `size`; a label that is not among `labels` counts as none.

    Raises InvalidData: if a photograph cannot be read, naming it.
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
    rows = []
    for number in range(count):
        garment = draw_garment(seed, number, size)
        image_NSSC[number] = np.asarray(garment.picture)
        rows.append([word_of(garment.record, field) for field in ATTRIBUTES])
        progress("drawing garments", number + 1, count)
    words = tuple(tuple(sorted(set(column) - {""})) for column in zip(*rows, strict=True))
    numbers = [[w.index(word) if word else -1 for word, w in zip(row, words, strict=True)] for row in rows]
    return DrawnGarments(image_NSSC=image_NSSC, word_NF=np.array(numbers, np.int64), words=words)


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


def cut_out(seed: int, number: int, size: int) -> tuple[np.ndarray, Record]:
    """uint8 garment_SS4 of a drawn garment with its shadow, and its record.

    It is drawn on black and on white: what differs between the two shows through, and the picture on black is
    the colour times the opacity (Smith and Blinn 1996). On a ground it is `colour + (1 - opacity) * ground`.
    """
    black, white = (draw_garment(seed, number, size, ground) for ground in (_BLACK, _WHITE))
    colour_SSC = np.asarray(black.picture)
    through_SSC = np.asarray(white.picture).astype(np.int16) - colour_SSC
    opacity_SS1 = np.clip(255 - through_SSC.max(2, keepdims=True), 0, 255).astype(np.uint8)
    return np.concatenate((colour_SSC, opacity_SS1), 2), black.record


def shop_label(record: Record) -> str:
    """The nearest of the labels that the clothing photographs have; empty where none is near."""
    category = str(record["category"])
    if category in _TROUSERS:
        return "Shorts" if record["length"] == "하프" else "Pants"
    if category == "티셔츠":
        return _BY_SLEEVE.get(str(record["sleeve"]), "T-Shirt")
    return _LABELS.get(category, "")


@contextmanager
def _named(photograph: Photograph) -> Iterator[None]:
    try:
        yield
    except (OSError, InvalidImage) as error:
        raise InvalidData(f"{photograph.path}: {error}") from error


def _filled(opacity_SS: np.ndarray) -> np.ndarray:
    """float64 (4,): left, top, right and bottom of what is more than half opaque, in shares of the side."""
    down_N, across_N = np.nonzero(opacity_SS > _HALF_OPAQUE)
    sides = (across_N.min(), down_N.min(), across_N.max() + 1, down_N.max() + 1)
    return np.array(sides) / len(opacity_SS)
