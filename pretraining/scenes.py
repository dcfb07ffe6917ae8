"""Drawn garments laid on the grounds of photographs: floors, beds and doors that no generator draws.

What a garment lies on is the sender's, and a network that has seen few senders takes it for a part of the
garment. Shapes: B batch, H height, W width, C colour channel, S side of the view.
"""

import math

import torch
from torch.nn import functional

from pretraining.config import SceneSettings
from pretraining.draws import between, signs
from pretraining.grids import viewing_grid


def lay_garments(
    layer_BHW4: torch.Tensor,
    box_B4: torch.Tensor,
    photograph_BHWC: torch.Tensor,
    size: int,
    settings: SceneSettings,
    rng: torch.Generator,
) -> torch.Tensor:
    """float32 view_BCSS in [0, 1]: each garment, as large as one is in a photograph, on a corner of one.

    `layer_BHW4`, `box_B4`: cut-outs (`trainer.synthetic.cut_outs`) and what of their square they fill.
    """
    if not len(layer_BHW4):
        return torch.zeros(0, 3, size, size)
    layer_B4HW = layer_BHW4.permute(0, 3, 1, 2).to(torch.float32) / 255
    ground_BCHW = photograph_BHWC.permute(0, 3, 1, 2).to(torch.float32) / 255
    layer_B4SS = _placed(layer_B4HW, box_B4, size, settings, rng)
    ground_BCSS = _corners(ground_BCHW, size, settings, rng)
    light_B111 = 1 + between(len(layer_B4SS), *settings.light, rng).view(-1, 1, 1, 1)
    view_BCSS = layer_B4SS[:, :3] * light_B111 + ground_BCSS * (1 - layer_B4SS[:, 3:])
    return view_BCSS.clamp(0, 1)


def _placed(
    layer_B4HW: torch.Tensor, box_B4: torch.Tensor, size: int, settings: SceneSettings, rng: torch.Generator
) -> torch.Tensor:
    """Each garment fills most of its view, off the middle, turned and mirrored."""
    count = len(layer_B4HW)
    half_B = torch.maximum(box_B4[:, 2] - box_B4[:, 0], box_B4[:, 3] - box_B4[:, 1])
    room_B = half_B * between(count, *settings.room, rng)
    stretch_B = torch.exp(between(count, -settings.stretch, settings.stretch, rng))
    shift_B2 = between(2 * count, -settings.shift, settings.shift, rng).view(count, 2)
    grid = viewing_grid(
        across_B=box_B4[:, 0] + box_B4[:, 2] - 1 + shift_B2[:, 0] * half_B,
        down_B=box_B4[:, 1] + box_B4[:, 3] - 1 + shift_B2[:, 1] * half_B,
        width_B=room_B * stretch_B.sqrt() * signs(count, rng),
        height_B=room_B / stretch_B.sqrt(),
        angle_B=between(count, -settings.turn, settings.turn, rng) * math.pi / 180,
        size=size,
    )
    return functional.grid_sample(layer_B4HW, grid, align_corners=False)


def _corners(
    ground_BCHW: torch.Tensor, size: int, settings: SceneSettings, rng: torch.Generator
) -> torch.Tensor:
    """A corner of each photograph, which shows more ground than garment, mirrored beyond its edges."""
    count = len(ground_BCHW)
    side_B = between(count, *settings.corner, rng)
    grid = viewing_grid(
        across_B=signs(count, rng) * (1 - side_B),
        down_B=signs(count, rng) * (1 - side_B),
        width_B=side_B * signs(count, rng),
        height_B=side_B,
        angle_B=between(count, -settings.turn, settings.turn, rng) * math.pi / 180,
        size=size,
    )
    return functional.grid_sample(ground_BCHW, grid, padding_mode="reflection", align_corners=False)
