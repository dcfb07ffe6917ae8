"""Drawn garments on the grounds of photographs."""

import pytest
import torch

from pretraining.config import SceneSettings, read_encoder_settings
from pretraining.scenes import lay_garments

SIZE = 40


@pytest.fixture
def settings() -> SceneSettings:
    return read_encoder_settings().fashion.scenes


def laid(settings: SceneSettings, opacity: int, seed: int = 0) -> torch.Tensor:
    """Four red squares in the middle of their layers, on blue photographs."""
    layer_BHW4 = torch.zeros(4, 64, 64, 4, dtype=torch.uint8)
    layer_BHW4[:, 16:48, 16:48, 0] = opacity
    layer_BHW4[:, 16:48, 16:48, 3] = opacity
    photograph_BHWC = torch.zeros(4, 64, 64, 3, dtype=torch.uint8)
    photograph_BHWC[..., 2] = 255
    box_B4 = torch.tensor([[0.25, 0.25, 0.75, 0.75]]).repeat(4, 1)
    rng = torch.Generator().manual_seed(seed)
    return lay_garments(layer_BHW4, box_B4, photograph_BHWC, SIZE, settings, rng)


def test_garments_fill_most_of_their_view(settings: SceneSettings):
    """The garment hides the ground, the ground shows around it, and nothing else is there."""
    view_BCSS = laid(settings, 255)

    assert view_BCSS.shape == (4, 3, SIZE, SIZE)
    assert view_BCSS.dtype == torch.float32
    assert float(view_BCSS.min()) >= 0
    assert float(view_BCSS.max()) <= 1
    red_B = (view_BCSS[:, 0] > 0.5).float().mean((1, 2))
    blue_B = (view_BCSS[:, 2] > 0.5).float().mean((1, 2))
    assert ((red_B > 0.2) & (red_B < 0.95)).all()
    assert ((red_B + blue_B) > 0.9).all()
    assert torch.equal(view_BCSS[:, 1], torch.zeros_like(view_BCSS[:, 1]))


def test_what_is_half_clear_shows_the_ground(settings: SceneSettings):
    """Where the layer is half opaque both colours are there."""
    middle_BC = laid(settings, 128)[:, :, SIZE // 2, SIZE // 2]

    assert torch.allclose(middle_BC[:, 2], torch.tensor(127 / 255), atol=1e-2)
    assert ((middle_BC[:, 0] > 0.3) & (middle_BC[:, 0] < 0.6)).all()


def test_a_garment_is_put_in_the_middle_and_fills_the_view(settings: SceneSettings):
    """Wherever it was on its layer: without room, shift, turn and stretch its longer side is the view's."""
    layer_BHW4 = torch.zeros(8, 64, 64, 4, dtype=torch.uint8)
    layer_BHW4[:, 8:40, 40:56] = 255
    layer_BHW4[:, 8:40, 40:48, 1] = 0
    box_B4 = torch.tensor([[40 / 64, 8 / 64, 56 / 64, 40 / 64]]).repeat(8, 1)
    ground_BHWC = torch.zeros(8, 64, 64, 3, dtype=torch.uint8)
    rng = torch.Generator().manual_seed(4)

    view_BCSS = lay_garments(layer_BHW4, box_B4, ground_BHWC, SIZE, _still(settings), rng)

    filled_BSS = view_BCSS[:, 0] > 0.5
    quarter = SIZE // 4
    assert filled_BSS[:, :, quarter + 1 : 3 * quarter - 1].all()
    assert not filled_BSS[:, :, : quarter - 1].any()
    assert not filled_BSS[:, :, 3 * quarter + 1 :].any()
    # Its left half has no green: it is on the left, or mirrored on the right.
    green_left_B = view_BCSS[:, 1, :, quarter + 1 : 2 * quarter - 1].mean((1, 2))
    green_right_B = view_BCSS[:, 1, :, 2 * quarter + 1 : 3 * quarter - 1].mean((1, 2))
    assert ((green_left_B < 0.1) != (green_right_B < 0.1)).all()
    assert (green_left_B < 0.1).any()
    assert (green_right_B < 0.1).any()


def test_the_ground_is_a_corner_of_the_photograph(settings: SceneSettings):
    """Of four quarters in four colours each view shows one, and in time every one."""
    ground_BHWC = torch.zeros(40, 64, 64, 3, dtype=torch.uint8)
    ground_BHWC[:, :32, 32:, 0] = 255
    ground_BHWC[:, 32:, :32, 1] = 255
    ground_BHWC[:, 32:, 32:, 2] = 255
    nothing_BHW4 = torch.zeros(40, 64, 64, 4, dtype=torch.uint8)
    box_B4 = torch.tensor([[0.25, 0.25, 0.75, 0.75]]).repeat(40, 1)
    rng = torch.Generator().manual_seed(4)

    view_BCSS = lay_garments(nothing_BHW4, box_B4, ground_BHWC, SIZE, _still(settings), rng)

    inner_BC = view_BCSS[:, :, 4:-4, 4:-4].mean((2, 3))
    assert {tuple(row.round().int().tolist()) for row in inner_BC} == {
        (0, 0, 0),
        (1, 0, 0),
        (0, 1, 0),
        (0, 0, 1),
    }


def test_no_garments_are_no_views(settings: SceneSettings):
    """A batch may lay none."""
    none = torch.zeros(0, 8, 8, 4, dtype=torch.uint8)

    found = lay_garments(none, torch.zeros(0, 4), none[..., :3], SIZE, settings, torch.Generator())

    assert found.shape == (0, 3, SIZE, SIZE)


def _still(settings: SceneSettings) -> SceneSettings:
    return settings.model_copy(
        update={
            "room": (1.0, 1.0),
            "shift": 0.0,
            "stretch": 0.0,
            "turn": 0.0,
            "corner": (0.4, 0.4),
            "light": (0.0, 0.0),
        }
    )


def test_the_seed_decides(settings: SceneSettings):
    """The same numbers give the same views, others give others."""
    assert torch.equal(laid(settings, 255, seed=1), laid(settings, 255, seed=1))
    assert not torch.equal(laid(settings, 255, seed=1), laid(settings, 255, seed=2))
