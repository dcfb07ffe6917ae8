"""Random views: what stays the same picture when camera, light, place and ground change.

Shapes: B batch, H height, W width, C colour channel, S side of the view.
"""

import math

import torch
from torch.nn import functional

from pretraining.config import SceneSettings, ViewSettings


def random_views(
    image_BHWC: torch.Tensor,
    size: int,
    settings: ViewSettings,
    rng: torch.Generator,
    area: tuple[float, float] | None = None,
) -> torch.Tensor:
    """float32 view_BCSS in [0, 1] of uint8 pictures: moved, turned, lit and partly covered at random.

    `area`: bounds of the share of each picture that is seen, by default that of the settings.
    """
    if not len(image_BHWC):
        return torch.zeros(0, 3, size, size)
    return alter_views(
        _moved(_unit_pixels(image_BHWC), size, settings, area or settings.area, rng), settings, rng
    )


def alter_views(view_BCSS: torch.Tensor, settings: ViewSettings, rng: torch.Generator) -> torch.Tensor:
    """The views, lit and partly covered at random."""
    return _covered(_lit(view_BCSS, settings, rng), settings.cover, rng).clamp(0, 1)


def mix_views(
    view_BCSS: torch.Tensor, chance: float, paste: float, rng: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Views mixed with another of the batch, int64 partner_B of the other, and the share of the view itself.

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
    image_BCHW = _unit_pixels(image_BHWC)
    if image_BCHW.shape[-1] == size:
        return image_BCHW
    return functional.interpolate(image_BCHW, size=(size, size), mode="bicubic", antialias=True).clamp(0, 1)


def crop_groups(image_BHWC: torch.Tensor, group_size: int, size: int, rng: torch.Generator) -> torch.Tensor:
    """view_BSSC: a square somewhere in each square picture, half of them mirrored.

    Each `group_size` pictures that follow each other are cut and mirrored alike.
    """
    room = image_BHWC.shape[1] - size
    views = []
    for image_GHWC in torch.split(image_BHWC, group_size):
        top, left = (int(n) for n in torch.randint(0, room + 1, (2,), generator=rng))
        view_GSSC = image_GHWC[:, top : top + size, left : left + size]
        mirrored = bool(torch.randint(0, 2, (), generator=rng))
        views.append(view_GSSC.flip(2) if mirrored else view_GSSC)
    return torch.cat(views)


def lay_garments(
    layer_BHW4: torch.Tensor,
    box_B4: torch.Tensor,
    photograph_BHWC: torch.Tensor,
    size: int,
    settings: SceneSettings,
    rng: torch.Generator,
) -> torch.Tensor:
    """float32 view_BCSS in [0, 1]: each drawn garment, as large as in a photograph, on a corner of one.

    Floors, beds and doors, which no generator draws, are the sender's: a network that has seen few senders
    takes them for a part of the garment.
    `layer_BHW4`, `box_B4`: cut-outs (`corpus.CutOuts`) and the part of their square that they fill.
    """
    if not len(layer_BHW4):
        return torch.zeros(0, 3, size, size)
    layer_B4SS = _placed(_unit_pixels(layer_BHW4), box_B4, size, settings, rng)
    ground_BCSS = _corners(_unit_pixels(photograph_BHWC), size, settings, rng)
    light_B111 = 1 + _uniform(len(layer_B4SS), *settings.light, rng).view(-1, 1, 1, 1)
    view_BCSS = layer_B4SS[:, :3] * light_B111 + ground_BCSS * (1 - layer_B4SS[:, 3:])
    return view_BCSS.clamp(0, 1)


def _unit_pixels(image_BHWC: torch.Tensor) -> torch.Tensor:
    """float32 image_BCHW in [0, 1] of uint8 pixels."""
    return image_BHWC.permute(0, 3, 1, 2).to(torch.float32) / 255


def _uniform(count: int, low: float, high: float, rng: torch.Generator) -> torch.Tensor:
    """float32 value_B, uniform from `low` to `high`."""
    return torch.rand(count, generator=rng) * (high - low) + low


def _angles(count: int, turn: float, rng: torch.Generator) -> torch.Tensor:
    """float32 angle_B in radians, up to `turn` degrees either way."""
    return _uniform(count, -turn, turn, rng) * math.pi / 180


def _signs(count: int, rng: torch.Generator) -> torch.Tensor:
    """float32 sign_B: 1 or −1 with equal chances."""
    return torch.where(torch.rand(count, generator=rng) < 0.5, -1.0, 1.0)


def _viewing_grid(
    middle: tuple[torch.Tensor, torch.Tensor],
    sides: tuple[torch.Tensor, torch.Tensor],
    angle_B: torch.Tensor,
    size: int,
) -> torch.Tensor:
    """float32 grid_BSS2 for `grid_sample`: views of side `size` of a turned rectangle of each picture.

    `middle`: (across, down) of the rectangle, each −1 to 1 over the picture. `sides`: its (width, height) as
    shares of the picture's sides; a negative width mirrors. `angle_B` is in radians.
    """
    (across_B, down_B), (width_B, height_B) = middle, sides
    cos_B, sin_B = torch.cos(angle_B), torch.sin(angle_B)
    theta_B23 = torch.stack(
        (
            torch.stack((width_B * cos_B, -height_B * sin_B, across_B), 1),
            torch.stack((width_B * sin_B, height_B * cos_B, down_B), 1),
        ),
        1,
    )
    return functional.affine_grid(theta_B23, [len(across_B), 3, size, size], align_corners=False)


def _moved(
    image_BCHW: torch.Tensor,
    size: int,
    settings: ViewSettings,
    area: tuple[float, float],
    rng: torch.Generator,
) -> torch.Tensor:
    count = len(image_BCHW)
    # The side of the cut, of which the area is uniform, as in Inception's crops.
    area_B = _uniform(count, area[0], area[1], rng)
    stretch_B = torch.exp(_uniform(count, -settings.stretch, settings.stretch, rng))
    across_B, down_B = (area_B * stretch_B).sqrt(), (area_B / stretch_B).sqrt()
    angle_B = _angles(count, settings.turn, rng)
    mirror_B = _signs(count, rng)
    shift_B2 = _uniform(2 * count, -1, 1, rng).view(count, 2)
    room_B2 = (1 - torch.stack((across_B, down_B), 1)).clamp(min=0.0) + settings.beyond
    middle = (shift_B2[:, 0] * room_B2[:, 0], shift_B2[:, 1] * room_B2[:, 1])
    grid = _viewing_grid(middle, (across_B * mirror_B, down_B), angle_B, size)
    return functional.grid_sample(image_BCHW, grid, padding_mode="reflection", align_corners=False)


def _placed(
    layer_B4HW: torch.Tensor, box_B4: torch.Tensor, size: int, settings: SceneSettings, rng: torch.Generator
) -> torch.Tensor:
    """Each garment fills most of its view, off the middle, turned and mirrored."""
    count = len(layer_B4HW)
    half_B = torch.maximum(box_B4[:, 2] - box_B4[:, 0], box_B4[:, 3] - box_B4[:, 1])
    room_B = half_B * _uniform(count, *settings.room, rng)
    stretch_B = torch.exp(_uniform(count, -settings.stretch, settings.stretch, rng))
    shift_B2 = _uniform(2 * count, -settings.shift, settings.shift, rng).view(count, 2)
    middle = (
        box_B4[:, 0] + box_B4[:, 2] - 1 + shift_B2[:, 0] * half_B,
        box_B4[:, 1] + box_B4[:, 3] - 1 + shift_B2[:, 1] * half_B,
    )
    sides = (room_B * stretch_B.sqrt() * _signs(count, rng), room_B / stretch_B.sqrt())
    grid = _viewing_grid(middle, sides, _angles(count, settings.turn, rng), size)
    return functional.grid_sample(layer_B4HW, grid, align_corners=False)


def _corners(
    ground_BCHW: torch.Tensor, size: int, settings: SceneSettings, rng: torch.Generator
) -> torch.Tensor:
    """A corner of each photograph, which shows more ground than garment, mirrored beyond its edges."""
    count = len(ground_BCHW)
    side_B = _uniform(count, *settings.corner, rng)
    middle = (_signs(count, rng) * (1 - side_B), _signs(count, rng) * (1 - side_B))
    sides = (side_B * _signs(count, rng), side_B)
    grid = _viewing_grid(middle, sides, _angles(count, settings.turn, rng), size)
    return functional.grid_sample(ground_BCHW, grid, padding_mode="reflection", align_corners=False)


def _lit(view_BCSS: torch.Tensor, settings: ViewSettings, rng: torch.Generator) -> torch.Tensor:
    count = len(view_BCSS)
    light, tint = settings.light, settings.tint

    def factor(spread: float) -> torch.Tensor:
        return (1 + _uniform(count, -spread, spread, rng)).view(-1, 1, 1, 1)

    view_BCSS = view_BCSS * factor(light) * (1 + _uniform(3 * count, -tint, tint, rng).view(-1, 3, 1, 1))
    mean_B111 = view_BCSS.mean((1, 2, 3), keepdim=True)
    view_BCSS = (view_BCSS - mean_B111) * factor(light) + mean_B111
    grey_B1SS = view_BCSS.mean(1, keepdim=True)
    return (view_BCSS - grey_B1SS) * factor(light) + grey_B1SS


def _covered(view_BCSS: torch.Tensor, chance: float, rng: torch.Generator) -> torch.Tensor:
    """A rectangle of noise over some of the views (random erasing, Zhong et al. 2020)."""
    count, _, size, _ = view_BCSS.shape
    side_B2 = _uniform(2 * count, 0.15, 0.5, rng).view(count, 2)
    start_B2 = _uniform(2 * count, 0, 1, rng).view(count, 2) * (1 - side_B2)
    place_S = (torch.arange(size) + 0.5) / size
    inside = [
        (place_S >= start_B2[:, axis, None]) & (place_S < (start_B2 + side_B2)[:, axis, None])
        for axis in (0, 1)
    ]
    hit_B = _uniform(count, 0, 1, rng) < chance
    mask_B1SS = (inside[0][:, :, None] & inside[1][:, None, :] & hit_B[:, None, None])[:, None]
    noise_BCSS = torch.rand(view_BCSS.shape, generator=rng)
    return torch.where(mask_B1SS, noise_BCSS, view_BCSS)
