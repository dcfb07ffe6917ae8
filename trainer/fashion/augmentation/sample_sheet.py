"""Some garments before and after augmentation: pictures beside their views, records above variants (F-22).

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A garment of the sheet: its record before and after, the picture and its views."""

    item_id: str
    before: str
    after: str
    pictures: tuple[Image.Image, ...]


def draw_samples(garments: Sequence[GarmentRecord], config: FashionConfig, path: Path) -> list[Sample]:
    """Write a sheet of a few garments as PNG, and return what it shows.

    garments: the training part. Views are those that training sees; the variants of records are drawn as
    training draws them, from a generator of the sheet's own. Raises InvalidImage: for a broken picture.
    """
    settings, seed = config.augmentation, config.training.seed
    chosen = np.random.default_rng(seed).permutation(len(garments))[:MOST]
    plan, views = plan_views(garments, settings), range(1, min(settings.views, MOST_VIEWS) + 1)
    samples = [
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
    rows = [
        SheetRow(
            tiles=[Tile(picture=picture) for picture in sample.pictures],
            notes=(sample.item_id, f"before  {sample.before}", f"after  {sample.after}"),
        )
        for sample in samples
    ]
    save_sheet(path, rows, side=SIDE)
    return samples


def _records(
    garments: Sequence[GarmentRecord], config: FashionConfig, chosen: np.ndarray
) -> tuple[list[str], list[str]]:
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


def _describe(tensors: Mapping[str, torch.Tensor], fields: Sequence[AttributeField]) -> list[str]:
    """A line for each record: its fields with their words, without what is missing."""
    columns = [_words(tensors, field) for field in fields]
    return [
        "  ".join(f"{field.name}: {words}" for field, words in zip(fields, row, strict=True) if words)
        for row in zip(*columns, strict=True)
    ]


def _words(tensors: Mapping[str, torch.Tensor], field: AttributeField) -> list[str]:
    names = dict(enumerate(("?", *field.vocabulary), start=UNKNOWN))
    if not field.multiple:
        return [names.get(index, "") for index in tensors[f"{field.name}_index_B"].tolist()]
    index_BL = tensors[f"{field.name}_index_BL"].masked_fill(tensors[f"{field.name}_mask_BL"] == 0, MISSING)
    return [", ".join(names[index] for index in row if index != MISSING) for row in index_BL.tolist()]
