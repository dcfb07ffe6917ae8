"""Where a view of a picture looks."""

import torch
from torch.nn import functional


def viewing_grid(
    *,
    across_B: torch.Tensor,
    down_B: torch.Tensor,
    width_B: torch.Tensor,
    height_B: torch.Tensor,
    angle_B: torch.Tensor,
    size: int,
) -> torch.Tensor:
    """float32 grid_BSS2 for `grid_sample`: where each of B views of side `size` looks.

    The middle of a view is at (`across_B`, `down_B`), −1 to 1 over the picture; width and height are shares
    of the picture's sides, a negative width mirrors; `angle_B` is in radians.
    """
    cos_B, sin_B = torch.cos(angle_B), torch.sin(angle_B)
    theta_B23 = torch.stack(
        (
            torch.stack((width_B * cos_B, -height_B * sin_B, across_B), 1),
            torch.stack((width_B * sin_B, height_B * cos_B, down_B), 1),
        ),
        1,
    )
    return functional.affine_grid(theta_B23, [len(across_B), 3, size, size], align_corners=False)
