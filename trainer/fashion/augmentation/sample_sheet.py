"""Some garments before and after augmentation: pictures and their views, records and variants (F-22).

Shapes: N garments of the training part, B garments of the sheet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from inference.attributes import MISSING, UNKNOWN, AttributeSchema
from model_store.manifest import AttributeField
from trainer.fashion.augmentation.records import RecordVariants, dropped_fields, unknown_words
from trainer.fashion.augmentation.views import make_view, plan_views
from trainer.fashion.config import FashionConfig
from trainer.fashion.data.prepared_data import GarmentRecord
from trainer.pictures import open_picture
from trainer.reports.contact_sheet import SheetRow, Tile, save_sheet

SAMPLES = Path("results") / "augmentation_samples.png"
SIDE, MOST, MOST_VIEWS = 128, 8, 7


# The words of a record by field, without fields that have none.
Words = Mapping[str, list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A garment of the sheet: its record before and after, the picture and its views."""

    item_id: str
    before: Words
    after: Words
    pictures: tuple[Image.Image, ...]


def take_samples(garments: Sequence[GarmentRecord], config: FashionConfig) -> list[Sample]:
    """A few garments as augmentation changes them.

    garments: the training part. Views are those that training sees; the variants of records are drawn as
    training draws them, from a generator of their own. Raises InvalidImage: for a broken picture.
    """
    settings, seed = config.augmentation, config.training.seed
    chosen = np.random.default_rng(seed).permutation(len(garments))[:MOST]
    plan, views = plan_views(garments, settings), range(1, min(settings.views, MOST_VIEWS) + 1)
    return [
        Sample(
            item_id=garments[row].item_id,
            before=before,
            after=after,
            pictures=(
                open_picture(garments[row].path, garments[row].limits),
                *(make_view(garments, settings, plan, row, view) for view in views),
            ),
        )
        for row, before, after in zip(chosen.tolist(), *_records(garments, config, chosen), strict=True)
    ]


def draw_samples(samples: Sequence[Sample], path: Path) -> Path:
    """Write a sheet of samples as PNG. Returns the path."""
    rows = [
        SheetRow(
            tiles=[Tile(picture=picture) for picture in sample.pictures],
            notes=(sample.item_id, f"before  {describe(sample.before)}", f"after  {describe(sample.after)}"),
        )
        for sample in samples
    ]
    return save_sheet(path, rows, side=SIDE)


def _records(
    garments: Sequence[GarmentRecord], config: FashionConfig, chosen: np.ndarray
) -> tuple[list[Words], list[Words]]:
    """The words of some records as they are and as one draw of training has them."""
    preprocessing, training = config.attributes.preprocessing(), config.training
    row_B, rng = torch.from_numpy(chosen), torch.Generator().manual_seed(training.seed)
    arrays = AttributeSchema(preprocessing).tensors([garment.attributes for garment in garments])
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    varied = RecordVariants(config.augmentation, config.attributes, tensors).draw(row_B, rng)
    fields = [(field.name, field.multiple) for field in preprocessing.fields]
    varied = dropped_fields(varied, fields, training.field_dropout, rng)
    varied = unknown_words(varied, training.unknown_rate, rng)
    plain = {name: tensor[row_B] for name, tensor in tensors.items()}
    return _describe(plain, preprocessing.fields), _describe(varied, preprocessing.fields)


def _describe(tensors: Mapping[str, torch.Tensor], fields: Sequence[AttributeField]) -> list[Words]:
    """The words of each record by field, without what is missing."""
    columns = [_words(tensors, field) for field in fields]
    return [
        {field.name: words for field, words in zip(fields, row, strict=True) if words}
        for row in zip(*columns, strict=True)
    ]


def _words(tensors: Mapping[str, torch.Tensor], field: AttributeField) -> list[list[str]]:
    names = dict(enumerate(("?", *field.vocabulary), start=UNKNOWN))
    if not field.multiple:
        return [
            [] if index == MISSING else [names[index]] for index in tensors[f"{field.name}_index_B"].tolist()
        ]
    index_BL = tensors[f"{field.name}_index_BL"].masked_fill(tensors[f"{field.name}_mask_BL"] == 0, MISSING)
    return [[names[index] for index in row if index != MISSING] for row in index_BL.tolist()]


def describe(record: Words) -> str:
    """A record in a line."""
    return "  ".join(f"{name}: {', '.join(words)}" for name, words in record.items())
