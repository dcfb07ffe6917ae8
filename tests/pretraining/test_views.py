"""Random views of pictures, mixtures of views, and drawn garments on the grounds of photographs."""

import numpy as np
import pytest
import torch

from pretraining.config import SceneSettings, ViewSettings, read_pretraining_settings
from pretraining.views import crop_groups, lay_garments, mix_views, plain_views, random_views

SIZE = 40


@pytest.fixture
def pictures() -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(0, 256, (6, 40, 40, 3), dtype=np.uint8))


def _views(pictures: torch.Tensor, seed: int) -> torch.Tensor:
    settings = read_pretraining_settings().fashion.views
    return random_views(pictures, 32, settings, torch.Generator().manual_seed(seed))


def test_views_are_pixels_of_the_asked_size_and_follow_the_seed(pictures: torch.Tensor):
    """Between 0 and 1, the same for the same seed, others for another."""
    view = _views(pictures, 1)

    assert view.shape == (6, 3, 32, 32)
    assert float(view.min()) >= 0
    assert float(view.max()) <= 1
    assert torch.equal(view, _views(pictures, 1))
    assert not torch.equal(view, _views(pictures, 2))


def test_a_view_without_any_freedom_is_the_picture():
    """Nothing moves, turns or changes colour but by mirroring."""
    still = ViewSettings(
        area=(1.0, 1.0), garment_area=(1.0, 1.0), stretch=0, turn=0, beyond=0, light=0, tint=0, cover=0
    )
    ramp = np.linspace(0, 255, 32).astype(np.uint8)
    picture = torch.from_numpy(
        (ramp[:, None, None] // 2 + ramp[None, :, None] // 2) * np.ones((16, 1, 1, 3), np.uint8)
    )

    view = random_views(picture, 32, still, torch.Generator().manual_seed(0))

    plain = plain_views(picture, 32)
    as_is = [torch.allclose(one, other, atol=1e-3) for one, other in zip(view, plain, strict=True)]
    mirrored = [torch.allclose(one, other.flip(2), atol=1e-3) for one, other in zip(view, plain, strict=True)]
    assert all(one != other for one, other in zip(as_is, mirrored, strict=True))
    assert any(as_is)
    assert any(mirrored)


def test_no_pictures_are_no_views(pictures: torch.Tensor):
    """A batch may have none of a sort."""
    assert _views(pictures[:0], 1).shape == (0, 3, 32, 32)


def test_plain_views_are_resized_only_when_they_have_to_be(pictures: torch.Tensor):
    """At its own size a picture is itself."""
    assert torch.equal(plain_views(pictures, 40)[0].permute(1, 2, 0) * 255, pictures[0].float())
    assert plain_views(pictures, 20).shape == (6, 3, 20, 20)


def _steps(count: int = 6) -> torch.Tensor:
    """Each view of one value: its place."""
    return torch.arange(float(count)).view(-1, 1, 1, 1).expand(count, 3, 10, 10).clone()


def test_without_a_chance_nothing_is_mixed():
    """The share is all of it."""
    mixed_BCSS, _, share = mix_views(_steps(), 0.0, 0.5, torch.Generator().manual_seed(1))

    assert share == 1.0
    assert torch.equal(mixed_BCSS, _steps())


@pytest.mark.parametrize("seed", range(5))
def test_laid_over_each_other_every_pixel_is_a_mean(seed: int):
    """By the share and with the partner that are returned."""
    mixed_BCSS, partner_B, share = mix_views(_steps(), 1.0, 0.0, torch.Generator().manual_seed(seed))

    assert 0.5 <= share <= 1
    expected_B = share * torch.arange(6.0) + (1 - share) * partner_B
    torch.testing.assert_close(mixed_BCSS, expected_B.view(-1, 1, 1, 1).expand_as(mixed_BCSS))


@pytest.mark.parametrize("seed", range(5))
def test_pasted_into_each_other_the_share_is_that_of_the_pixels(seed: int):
    """A rectangle is the partner's, all else one's own."""
    views_BCSS = _steps()
    mixed_BCSS, partner_B, share = mix_views(views_BCSS, 1.0, 1.0, torch.Generator().manual_seed(seed))

    assert 0.45 <= share <= 1
    for place in range(6):
        own = (mixed_BCSS[place] == place).float().mean().item()
        other = (mixed_BCSS[place] == partner_B[place]).float().mean().item()
        assert own == pytest.approx(1.0 if partner_B[place] == place else share, abs=1e-6)
        assert other == pytest.approx(1.0 if partner_B[place] == place else 1 - share, abs=1e-6)
    assert torch.equal(views_BCSS, _steps())


@pytest.fixture
def scenes() -> SceneSettings:
    return read_pretraining_settings().fashion.scenes


def laid(scenes: SceneSettings, opacity: int, seed: int = 0) -> torch.Tensor:
    """Four red squares in the middle of their layers, on blue photographs."""
    layer_BHW4 = torch.zeros(4, 64, 64, 4, dtype=torch.uint8)
    layer_BHW4[:, 16:48, 16:48, 0] = opacity
    layer_BHW4[:, 16:48, 16:48, 3] = opacity
    photograph_BHWC = torch.zeros(4, 64, 64, 3, dtype=torch.uint8)
    photograph_BHWC[..., 2] = 255
    box_B4 = torch.tensor([[0.25, 0.25, 0.75, 0.75]]).repeat(4, 1)
    rng = torch.Generator().manual_seed(seed)
    return lay_garments(layer_BHW4, box_B4, photograph_BHWC, SIZE, scenes, rng)


def test_garments_fill_most_of_their_view(scenes: SceneSettings):
    """The garment hides the ground, the ground shows around it, and nothing else is there."""
    view_BCSS = laid(scenes, 255)

    assert view_BCSS.shape == (4, 3, SIZE, SIZE)
    assert view_BCSS.dtype == torch.float32
    assert float(view_BCSS.min()) >= 0
    assert float(view_BCSS.max()) <= 1
    red_B = (view_BCSS[:, 0] > 0.5).float().mean((1, 2))
    blue_B = (view_BCSS[:, 2] > 0.5).float().mean((1, 2))
    assert ((red_B > 0.2) & (red_B < 0.95)).all()
    assert ((red_B + blue_B) > 0.9).all()
    assert torch.equal(view_BCSS[:, 1], torch.zeros_like(view_BCSS[:, 1]))


def test_what_is_half_clear_shows_the_ground(scenes: SceneSettings):
    """Where the layer is half opaque both colours are there."""
    middle_BC = laid(scenes, 128)[:, :, SIZE // 2, SIZE // 2]

    assert torch.allclose(middle_BC[:, 2], torch.tensor(127 / 255), atol=1e-2)
    assert ((middle_BC[:, 0] > 0.3) & (middle_BC[:, 0] < 0.6)).all()


def test_a_garment_is_put_in_the_middle_and_fills_the_view(scenes: SceneSettings):
    """Wherever it was on its layer: without room, shift, turn and stretch its longer side is the view's."""
    layer_BHW4 = torch.zeros(8, 64, 64, 4, dtype=torch.uint8)
    layer_BHW4[:, 8:40, 40:56] = 255
    layer_BHW4[:, 8:40, 40:48, 1] = 0
    box_B4 = torch.tensor([[40 / 64, 8 / 64, 56 / 64, 40 / 64]]).repeat(8, 1)
    ground_BHWC = torch.zeros(8, 64, 64, 3, dtype=torch.uint8)
    rng = torch.Generator().manual_seed(4)

    view_BCSS = lay_garments(layer_BHW4, box_B4, ground_BHWC, SIZE, _still(scenes), rng)

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


def test_the_ground_is_a_corner_of_the_photograph(scenes: SceneSettings):
    """Of four quarters in four colours each view shows one, and in time every one."""
    ground_BHWC = torch.zeros(40, 64, 64, 3, dtype=torch.uint8)
    ground_BHWC[:, :32, 32:, 0] = 255
    ground_BHWC[:, 32:, :32, 1] = 255
    ground_BHWC[:, 32:, 32:, 2] = 255
    nothing_BHW4 = torch.zeros(40, 64, 64, 4, dtype=torch.uint8)
    box_B4 = torch.tensor([[0.25, 0.25, 0.75, 0.75]]).repeat(40, 1)
    rng = torch.Generator().manual_seed(4)

    view_BCSS = lay_garments(nothing_BHW4, box_B4, ground_BHWC, SIZE, _still(scenes), rng)

    inner_BC = view_BCSS[:, :, 4:-4, 4:-4].mean((2, 3))
    assert {tuple(row.round().int().tolist()) for row in inner_BC} == {
        (0, 0, 0),
        (1, 0, 0),
        (0, 1, 0),
        (0, 0, 1),
    }


def test_no_garments_are_no_views(scenes: SceneSettings):
    """A batch may lay none."""
    none = torch.zeros(0, 8, 8, 4, dtype=torch.uint8)

    view_BCSS = lay_garments(none, torch.zeros(0, 4), none[..., :3], SIZE, scenes, torch.Generator())

    assert view_BCSS.shape == (0, 3, SIZE, SIZE)


def _still(scenes: SceneSettings) -> SceneSettings:
    return scenes.model_copy(
        update={
            "room": (1.0, 1.0),
            "shift": 0.0,
            "stretch": 0.0,
            "turn": 0.0,
            "corner": (0.4, 0.4),
            "light": (0.0, 0.0),
        }
    )


def test_the_seed_decides(scenes: SceneSettings):
    """The same numbers give the same views, others give others."""
    assert torch.equal(laid(scenes, 255, seed=1), laid(scenes, 255, seed=1))
    assert not torch.equal(laid(scenes, 255, seed=1), laid(scenes, 255, seed=2))


def test_a_group_is_cropped_alike_and_groups_are_not():
    """Otherwise the crop, not the fault, would tell pictures of a chain apart."""
    rng = np.random.default_rng(0)
    image_BHWC = np.repeat(rng.integers(0, 256, (8, 40, 40, 3), dtype=np.uint8), 4, 0)

    view_BSSC = crop_groups(torch.from_numpy(image_BHWC), 4, 28, torch.Generator().manual_seed(3))

    assert view_BSSC.shape == (32, 28, 28, 3)
    group_G4SSC = view_BSSC.view(8, 4, 28, 28, 3)
    assert (group_G4SSC == group_G4SSC[:, :1]).all()
    assert not torch.equal(group_G4SSC[0, 0], group_G4SSC[1, 0])


def test_crops_are_cut_somewhere_and_mirrored_half_of_the_time():
    """Every crop is a window of its picture, or the mirror of one."""
    ramp_BHWC = torch.arange(40, dtype=torch.uint8).view(1, 1, 40, 1).expand(200, 40, 40, 3)

    view_BSSC = crop_groups(ramp_BHWC, 1, 28, torch.Generator().manual_seed(3))

    step_B = view_BSSC[:, 0, 1, 0].int() - view_BSSC[:, 0, 0, 0].int()
    assert set(step_B.tolist()) == {-1, 1}
    assert 0.35 < (step_B > 0).float().mean() < 0.65
    left_B = view_BSSC[:, 0].amin((1, 2))
    assert set(left_B.tolist()) == set(range(13))


def test_a_crop_of_the_whole_picture_is_the_picture():
    """There is one place for it; only the mirror is left to chance."""
    image_BHWC = torch.randint(0, 256, (1, 28, 28, 3), generator=torch.Generator().manual_seed(0))

    view_BSSC = crop_groups(image_BHWC, 1, 28, torch.Generator().manual_seed(3))

    assert torch.equal(view_BSSC, image_BHWC) or torch.equal(view_BSSC, image_BHWC.flip(2))
