"""Random views of a batch: what stays the same garment when camera, light and place change.

Shapes: B batch, H height, W width, C colour channel, S side of the view.
"""

import math

import torch
from torch.nn import functional

from pretraining.config import ViewSettings
from pretraining.draws import between, signs
from pretraining.grids import viewing_grid


def random_views(
    image_BHWC: torch.Tensor,
    size: int,
    settings: ViewSettings,
    rng: torch.Generator,
    area: tuple[float, float] | None = None,
) -> torch.Tensor:
    """float32 view_BCSS in [0, 1] of uint8 pictures: moved, turned, lit and partly covered at random.

    `area`: how much of each picture is seen, by default that of the settings.
    """
    if not len(image_BHWC):
        return torch.zeros(0, 3, size, size)
    image_BCHW = image_BHWC.permute(0, 3, 1, 2).to(torch.float32) / 255
    return alter_views(_moved(image_BCHW, size, settings, area or settings.area, rng), settings, rng)


def alter_views(view_BCSS: torch.Tensor, settings: ViewSettings, rng: torch.Generator) -> torch.Tensor:
    """The views, lit and partly covered at random."""
    return _covered(_lit(view_BCSS, settings, rng), settings.cover, rng).clamp(0, 1)


def mix_views(
    view_BCSS: torch.Tensor, chance: float, paste: float, rng: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Views with another of the batch in each, int64 partner_B of the other, and the share that is its own.

    With `chance` the batch is mixed at all; then, with `paste`, by a rectangle of the other (CutMix), else by
    laying it over (mixup). The share is at least a half but for a pixel's rounding, 1 when nothing was mixed.
    """
    partner_B = torch.randperm(len(view_BCSS), generator=rng)
    mixed, pasted, drawn, down, across = (float(n) for n in torch.rand(5, generator=rng))
    if mixed >= chance:
        return view_BCSS, partner_B, 1.0
    share = 0.5 + drawn / 2
    if pasted >= paste:
        return share * view_BCSS + (1 - share) * view_BCSS[partner_B], partner_B, share
    size = view_BCSS.shape[-1]
    side = round(size * math.sqrt(1 - share))
    top, left = round(down * (size - side)), round(across * (size - side))
    result_BCSS = view_BCSS.clone()
    inside = (..., slice(top, top + side), slice(left, left + side))
    result_BCSS[inside] = view_BCSS[partner_B][inside]
    return result_BCSS, partner_B, 1 - (side / size) ** 2


def plain_views(image_BHWC: torch.Tensor, size: int) -> torch.Tensor:
    """float32 view_BCSS in [0, 1]: the whole picture."""
    image_BCHW = image_BHWC.permute(0, 3, 1, 2).to(torch.float32) / 255
    if image_BCHW.shape[-1] == size:
        return image_BCHW
    return functional.interpolate(image_BCHW, size=(size, size), mode="bicubic", antialias=True).clamp(0, 1)


def _moved(
    image_BCHW: torch.Tensor,
    size: int,
    settings: ViewSettings,
    area: tuple[float, float],
    rng: torch.Generator,
) -> torch.Tensor:
    count = len(image_BCHW)
    # The side of the cut, of which the area is uniform, as in Inception's crops.
    area_B = between(count, area[0], area[1], rng)
    stretch_B = torch.exp(between(count, -settings.stretch, settings.stretch, rng))
    across_B, down_B = (area_B * stretch_B).sqrt(), (area_B / stretch_B).sqrt()
    angle_B = between(count, -settings.turn, settings.turn, rng) * math.pi / 180
    mirror_B = signs(count, rng)
    shift_B2 = between(2 * count, -1, 1, rng).view(count, 2)
    room_B2 = (1 - torch.stack((across_B, down_B), 1)).clamp(min=0.0) + settings.beyond
    grid = viewing_grid(
        across_B=shift_B2[:, 0] * room_B2[:, 0],
        down_B=shift_B2[:, 1] * room_B2[:, 1],
        width_B=across_B * mirror_B,
        height_B=down_B,
        angle_B=angle_B,
        size=size,
    )
    return functional.grid_sample(image_BCHW, grid, padding_mode="reflection", align_corners=False)


def _lit(view_BCSS: torch.Tensor, settings: ViewSettings, rng: torch.Generator) -> torch.Tensor:
    count = len(view_BCSS)
    light, tint = settings.light, settings.tint

    def factor(spread: float) -> torch.Tensor:
        return (1 + between(count, -spread, spread, rng)).view(-1, 1, 1, 1)

    view_BCSS = view_BCSS * factor(light) * (1 + between(3 * count, -tint, tint, rng).view(-1, 3, 1, 1))
    mean_B111 = view_BCSS.mean((1, 2, 3), keepdim=True)
    view_BCSS = (view_BCSS - mean_B111) * factor(light) + mean_B111
    grey_B1SS = view_BCSS.mean(1, keepdim=True)
    return (view_BCSS - grey_B1SS) * factor(light) + grey_B1SS


def _covered(view_BCSS: torch.Tensor, chance: float, rng: torch.Generator) -> torch.Tensor:
    """A rectangle of noise over some of the views (random erasing, Zhong et al. 2020)."""
    count, _, size, _ = view_BCSS.shape
    side_B2 = between(2 * count, 0.15, 0.5, rng).view(count, 2)
    start_B2 = between(2 * count, 0, 1, rng).view(count, 2) * (1 - side_B2)
    place_S = (torch.arange(size) + 0.5) / size
    inside = [
        (place_S >= start_B2[:, axis, None]) & (place_S < (start_B2 + side_B2)[:, axis, None])
        for axis in (0, 1)
    ]
    hit_B = between(count, 0, 1, rng) < chance
    mask_B1SS = (inside[0][:, :, None] & inside[1][:, None, :] & hit_B[:, None, None])[:, None]
    noise_BCSS = torch.rand(view_BCSS.shape, generator=rng)
    return torch.where(mask_B1SS, noise_BCSS, view_BCSS)
