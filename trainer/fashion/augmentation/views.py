"""Views of garments' pictures: turned, cropped, lit otherwise, two garments mixed (F-22, F-24).

MixUp and CutMix are made once, as pictures, because only vectors are kept: a view's partner is drawn among
the garments of the training part and stays. In a batch the partner's record stands beside the others, and the
picture belongs to both in proportion of what it shows of them (Zhang et al. 2018, Yun et al. 2019; soft pairs
as in i-Mix, Lee et al. 2021). A partner's record that is not in the batch is added: without it, the loss
would attribute the rest of the picture to the first garment.

Shapes: N garments of the training part, V views with the picture itself first, B garments of a batch,
M records, D vector.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import AutoAugment, InterpolationMode

from model_store.store import Version
from trainer.fashion.config import AugmentationSettings
from trainer.fashion.data.prepared_data import GarmentRecord
from trainer.features import vectors_of_pictures
from trainer.pictures import open_picture
from trainer.views import as_png, change, join_views, view_names, view_seed
from trainer.workspace import Workspace

# The least share of a mixed view that is its own garment's.
LEAST_SHARE = 0.5
# Of width to height against the picture's own, as in RandomResizedCrop.
_STRETCH = 4 / 3
_PLAIN, _MIXUP, _CUTMIX = 0, 1, 2
# Drawn apart from the pixels, so that a view without a partner does not depend on mixing.
_OF_PARTNERS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedBatch:
    """A batch: picture_BD, the garments row_M that they show, share_BM of each, rows summing to 1."""

    picture_BD: torch.Tensor
    row_M: torch.Tensor
    share_BM: torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureViews:
    """float32 vector_NVD; int64 partner_NV, the other garment in a view; share_NV, its own share."""

    vector_NVD: torch.Tensor
    partner_NV: torch.Tensor
    share_NV: torch.Tensor

    def draw(self, row_B: torch.Tensor, rng: torch.Generator) -> MixedBatch:
        """One view of each garment, all equally likely, the picture itself among them."""
        view_B = torch.randint(self.vector_NVD.shape[1], row_B.shape, generator=rng)
        row_M, share_BM = shares_of(row_B, self.partner_NV[row_B, view_B], self.share_NV[row_B, view_B])
        return MixedBatch(picture_BD=self.vector_NVD[row_B, view_B], row_M=row_M, share_BM=share_BM)


def shares_of(
    row_B: torch.Tensor, partner_B: torch.Tensor, share_B: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The garments row_M of a batch and their partners, each once, and share_BM of each picture in them."""
    # A garment with share 0 is not shown: its record would only be another negative.
    shown_B = torch.where(share_B < 1, partner_B, row_B)
    row_M, place_2B = torch.unique(torch.cat((row_B, shown_B)), return_inverse=True)
    own_B, other_B = place_2B.split(len(row_B))
    share_BM = torch.zeros(len(row_B), len(row_M))
    at_B = torch.arange(len(row_B))
    share_BM[at_B, other_B] = 1 - share_B
    share_BM[at_B, own_B] += share_B
    return row_M, share_BM


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewPlan:
    """How each view is mixed: way_NV, int64 partner_NV (itself if unmixed), float64 share_NV of its own."""

    way_NV: np.ndarray
    partner_NV: np.ndarray
    share_NV: np.ndarray


def encode_views(
    garments: Sequence[GarmentRecord],
    plain_ND: np.ndarray,
    settings: AugmentationSettings,
    image: Version,
    space: Workspace,
) -> PictureViews | None:
    """The views of the training part as vectors, each encoded once, ever; None where there are none.

    Raises InvalidData: listing every view that cannot be encoded.
    """
    if not settings.views:
        return None
    plan = plan_views(garments, settings)
    names = view_names((garment.path for garment in garments), settings.views)
    places = product(range(len(garments)), range(1, settings.views + 1))
    pictures = (as_png(make_view(garments, settings, plan, row, view)) for row, view in places)
    view_ND = vectors_of_pictures(pictures, names, image, space, "fashion views")
    return PictureViews(
        vector_NVD=torch.from_numpy(join_views(plain_ND, view_ND)),
        partner_NV=torch.from_numpy(plan.partner_NV),
        share_NV=torch.from_numpy(plan.share_NV).to(torch.float32),
    )


def plan_views(garments: Sequence[GarmentRecord], settings: AugmentationSettings) -> ViewPlan:
    """The plan of every view, the same for the same garments and settings; view 0 is the picture itself."""
    count, views = len(garments), settings.views + 1
    way_NV, share_NV = np.zeros((count, views), dtype=np.int64), np.ones((count, views))
    partner_NV = np.repeat(np.arange(count)[:, None], views, axis=1)
    if settings.mixup + settings.cutmix == 0 or count < 2:
        return ViewPlan(way_NV=way_NV, partner_NV=partner_NV, share_NV=share_NV)
    for row, garment in enumerate(garments):
        for view in range(1, views):
            rng = np.random.default_rng([view_seed(garment.picture_digest, view), _OF_PARTNERS])
            drawn, step, share = rng.random(), rng.integers(1, count), rng.uniform(LEAST_SHARE, 1)
            if drawn < settings.mixup + settings.cutmix:
                way_NV[row, view] = _MIXUP if drawn < settings.mixup else _CUTMIX
                partner_NV[row, view], share_NV[row, view] = (row + step) % count, share
    return ViewPlan(way_NV=way_NV, partner_NV=partner_NV, share_NV=share_NV)


def make_view(
    garments: Sequence[GarmentRecord], settings: AugmentationSettings, plan: ViewPlan, row: int, view: int
) -> Image.Image:
    """One view at the size of its picture, the same in every run; a partner is varied and drawn to that size.

    Raises InvalidImage: for a picture that cannot be read.
    """
    garment, way = garments[row], plan.way_NV[row, view]
    rng = np.random.default_rng(view_seed(garment.picture_digest, view))
    own = _varied(garment, settings, rng)
    if way == _PLAIN:
        return own
    other = _varied(garments[plan.partner_NV[row, view]], settings, rng)
    other = other.resize(own.size, Image.Resampling.BICUBIC)
    share = float(plan.share_NV[row, view])
    return Image.blend(other, own, share) if way == _MIXUP else _pasted(own, other, share, rng)


def crop_randomly(view: Image.Image, least: float, rng: np.random.Generator) -> Image.Image:
    """A part of the view of at least `least` of its area, at the view's size.

    Sides are stretched relative to the picture's own shape, as far as the part fits: torchvision's bounds
    on the absolute ratio would cut the ends off long and narrow garments.
    """
    area = rng.uniform(least, 1)
    bound = np.log(min(_STRETCH, 1 / area))
    stretch = np.exp(rng.uniform(-bound, bound))
    width, height = view.width * np.sqrt(area * stretch), view.height * np.sqrt(area / stretch)
    left, top = rng.uniform(0, view.width - width), rng.uniform(0, view.height - height)
    box = (left, top, left + width, top + height)
    return view.resize(view.size, Image.Resampling.BICUBIC, box=box)


class _SeededAutoAugment(AutoAugment):  # type: ignore[misc]
    """ImageNet's policy, drawn from a generator of its own instead of torch's global one."""

    def __init__(self, rng: np.random.Generator, fill: list[float]) -> None:
        super().__init__(interpolation=InterpolationMode.BILINEAR, fill=fill)
        self._rng = rng

    def get_params(self, transform_num: int) -> tuple[int, Any, Any]:
        policy = int(self._rng.integers(transform_num))
        return policy, torch.from_numpy(self._rng.random(2)), torch.from_numpy(self._rng.integers(0, 2, 2))


def _varied(garment: GarmentRecord, settings: AugmentationSettings, rng: np.random.Generator) -> Image.Image:
    view = change(open_picture(garment.path, garment.limits), settings, rng)
    if settings.crop < 1:
        view = crop_randomly(view, settings.crop, rng)
    if settings.autoaugment:
        view = _SeededAutoAugment(rng, _border(view))(view)
    return view


def _border(view: Image.Image) -> list[float]:
    """The mean colour of the first and the last row: the fill where a policy moves the picture."""
    pixels_HWC = np.asarray(view, dtype=np.float64)
    return [float(value) for value in pixels_HWC[[0, -1]].mean(axis=(0, 1)).round()]


def _pasted(own: Image.Image, other: Image.Image, share: float, rng: np.random.Generator) -> Image.Image:
    """The view with a rectangle of the other at its place there, of area 1 − share to the nearest pixels."""
    width, height = (round(side * np.sqrt(1 - share)) for side in own.size)
    left, top = int(rng.integers(own.width - width + 1)), int(rng.integers(own.height - height + 1))
    result = own.copy()
    result.paste(other.crop((left, top, left + width, top + height)), (left, top))
    return result
