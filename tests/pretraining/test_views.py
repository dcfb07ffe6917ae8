import numpy as np
import pytest
import torch

from pretraining.config import ViewSettings, read_encoder_settings
from pretraining.views import plain_views, random_views


@pytest.fixture
def pictures() -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(0, 256, (6, 40, 40, 3), dtype=np.uint8))


def _views(pictures: torch.Tensor, seed: int) -> torch.Tensor:
    settings = read_encoder_settings().fashion.views
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
