import hashlib
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from trainer.fashion.augmentation.views import (
    LEAST_SHARE,
    PictureViews,
    crop_randomly,
    make_view,
    plan_views,
    shares_of,
)
from trainer.fashion.config import AugmentationSettings
from trainer.fashion.data.prepared_data import GarmentRecord

SIDE = 64
STILL = {"rotation": 0.0, "flip": False, "colour": 0.0, "crop": 1.0}
COLOURS = ((200, 40, 40), (40, 200, 40), (40, 40, 200))


def _garment(folder: Path, number: int, picture: Image.Image) -> GarmentRecord:
    path = folder / f"{number}.png"
    picture.save(path)
    return GarmentRecord(
        item_id=str(number),
        path=path,
        attributes={},
        group=str(number),
        picture_digest=hashlib.sha256(path.read_bytes() + bytes([number])).hexdigest(),
    )


@pytest.fixture
def plain(tmp_path: Path) -> list[GarmentRecord]:
    """Garments of one colour each."""
    return [
        _garment(tmp_path, number, Image.new("RGB", (SIDE, SIDE), COLOURS[number % 3]))
        for number in range(30)
    ]


@pytest.fixture
def halves(tmp_path: Path) -> list[GarmentRecord]:
    """Garments that are black on the left and white on the right."""
    picture = Image.new("RGB", (SIDE, SIDE), "white")
    picture.paste("black", (0, 0, SIDE // 2, SIDE))
    return [_garment(tmp_path, number, picture) for number in range(60)]


def _views(garments: list[GarmentRecord], settings: AugmentationSettings) -> list[np.ndarray]:
    plan = plan_views(garments, settings)
    return [
        np.asarray(make_view(garments, settings, plan, row, view)).astype(int)
        for row in range(len(garments))
        for view in range(1, settings.views + 1)
    ]


def test_views_are_the_same_in_every_run(halves):
    """Whatever was drawn elsewhere, and nothing is drawn from anybody else's generator."""
    # proves F-22, F-24
    settings = AugmentationSettings(views=2, autoaugment=True, mixup=0.3, cutmix=0.3)
    torch.manual_seed(1)
    one = [view.tobytes() for view in _views(halves[:6], settings)]
    torch.manual_seed(2)
    np.random.seed(2)  # noqa: NPY002
    random.seed(2)
    before = torch.get_rng_state()

    other = [view.tobytes() for view in _views(halves[:6], settings)]

    assert one == other
    assert len(set(one)) == 12
    assert torch.equal(torch.get_rng_state(), before)


def test_about_half_of_the_views_are_mirrored(halves):
    """Black changes sides at even odds (F-22)."""
    settings = AugmentationSettings(views=2, **{**STILL, "flip": True})

    mirrored = [view[0, 0, 0] > 128 for view in _views(halves, settings)]

    assert 0.35 < np.mean(mirrored) < 0.65


def test_turns_stay_within_their_bound(tmp_path):
    """A line through the middle leans by as many degrees as the settings allow, both ways (F-22)."""
    picture = Image.new("RGB", (101, 101), "white")
    picture.paste("black", (48, 0, 53, 101))
    garments = [_garment(tmp_path, number, picture) for number in range(40)]
    settings = AugmentationSettings(views=1, **{**STILL, "rotation": 15.0})

    leans = []
    for view in _views(garments, settings):
        dark = 255 - view[:, :, 0]
        at = [np.average(np.arange(101), weights=dark[row]) for row in (20, 80)]
        leans.append(np.degrees(np.arctan((at[1] - at[0]) / 60)))

    assert -16 < min(leans) < -9
    assert 9 < max(leans) < 16


@given(
    width=st.integers(8, 60),
    height=st.integers(8, 200),
    least=st.floats(0.3, 1.0),
    seed=st.integers(0, 1000),
)
def test_a_crop_shows_the_share_that_is_asked_for(width, height, least, seed):
    """Between the least share and all, at the picture's size, whatever its shape (F-22)."""
    columns = np.broadcast_to(np.linspace(0, 1, width, dtype=np.float32), (height, width))
    rows = np.broadcast_to(np.linspace(0, 1, height, dtype=np.float32)[:, None], (height, width))

    spans = []
    for ramp in (columns, rows):
        view = crop_randomly(Image.fromarray(ramp), least, np.random.default_rng(seed))
        assert view.size == (width, height)
        spans.append(float(np.asarray(view).max() - np.asarray(view).min()))

    # The ramps end at the middle of the outermost pixels.
    slack = 3 / width + 3 / height
    assert least - slack <= spans[0] * spans[1] <= 1 + slack
    assert 3 / 4 - slack <= spans[0] / spans[1] <= 4 / 3 + 2 * slack


def test_mixup_lays_the_partner_over_in_its_share(plain):
    """Each pixel is both garments' in proportion, and no garment is its own partner (F-22)."""
    settings = AugmentationSettings(views=1, mixup=1.0, **STILL)
    plan = plan_views(plain, settings)

    views = _views(plain, settings)

    for row, view in enumerate(views):
        partner, share = plan.partner_NV[row, 1], plan.share_NV[row, 1]
        expected = share * np.array(COLOURS[row % 3]) + (1 - share) * np.array(COLOURS[partner % 3])
        assert partner != row
        assert LEAST_SHARE <= share <= 1
        assert np.abs(view - expected).max() <= 1


def test_cutmix_puts_a_rectangle_of_the_partner_in(plain):
    """Its area is what the share leaves; every pixel is one garment's (F-22)."""
    settings = AugmentationSettings(views=1, cutmix=1.0, **STILL)
    plan = plan_views(plain, settings)

    for row, view in enumerate(_views(plain, settings)):
        partner, share = plan.partner_NV[row, 1], plan.share_NV[row, 1]
        if row % 3 == partner % 3:
            continue
        own = (view == COLOURS[row % 3]).all(axis=2)
        assert (own | (view == COLOURS[partner % 3]).all(axis=2)).all()
        assert own.mean() == pytest.approx(share, abs=2 / SIDE)


def test_mixing_is_off_unless_asked_for(plain):
    """As many views are mixed as the settings say; view 0, the picture itself, never is (F-22)."""
    off = plan_views(plain, AugmentationSettings(views=4))
    some = plan_views(plain, AugmentationSettings(views=10, mixup=0.2, cutmix=0.3))

    assert (off.share_NV == 1).all()
    assert (off.partner_NV == np.arange(30)[:, None]).all()
    assert (some.way_NV[:, 0] == 0).all()
    shares = [(some.way_NV[:, 1:] == way).mean() for way in (1, 2)]
    assert shares == pytest.approx([0.2, 0.3], abs=0.07)
    assert ((some.way_NV > 0) == (some.share_NV < 1)).all()


def test_views_without_a_partner_do_not_depend_on_mixing(plain):
    """Turning CutMix on leaves the other views in the cache (F-24)."""
    off, some = AugmentationSettings(views=3), AugmentationSettings(views=3, cutmix=0.5)
    way = plan_views(plain, some).way_NV[:, 1:].ravel()

    pairs = zip(_views(plain, off), _views(plain, some), strict=True)

    kept = [np.array_equal(one, other) for one, other in pairs]
    assert all(same for same, mixed in zip(kept, way, strict=True) if not mixed)


def test_a_policy_changes_what_it_is_given(halves):
    """AutoAugment reaches the pictures: most views differ from those without it (F-22)."""
    plain_views = _views(halves[:20], AugmentationSettings(views=1, **STILL))
    changed = _views(halves[:20], AugmentationSettings(views=1, autoaugment=True, **STILL))

    differing = [not np.array_equal(one, other) for one, other in zip(plain_views, changed, strict=True)]

    assert sum(differing) > 10


def test_a_picture_belongs_to_what_it_shows_in_proportion():
    """Garments of the batch keep one record each, partners outside it come beside; rows sum to 1."""
    # proves F-22
    row_B, partner_B = torch.tensor([7, 2, 5]), torch.tensor([2, 9, 5])

    row_M, share_BM = shares_of(row_B, partner_B, torch.tensor([0.75, 0.5, 1.0]))

    assert row_M.tolist() == [2, 5, 7, 9]
    assert share_BM.tolist() == [[0.25, 0, 0.75, 0], [0.5, 0, 0, 0.5], [0, 1, 0, 0]]


def test_a_garment_mixed_with_itself_is_whole():
    """Shares of the same record add up."""
    row_M, share_BM = shares_of(torch.tensor([1, 4]), torch.tensor([1, 4]), torch.tensor([0.6, 1.0]))

    assert row_M.tolist() == [1, 4]
    assert torch.allclose(share_BM, torch.eye(2))


def test_who_is_not_shown_is_not_there():
    """A partner of share 0 brings no record."""
    row_M, _ = shares_of(torch.tensor([1]), torch.tensor([3]), torch.tensor([1.0]))

    assert row_M.tolist() == [1]


def test_each_draw_takes_one_view_of_each_garment():
    """All views equally often, each with its own partner and share; the generator decides (F-24)."""
    vector_NVD = torch.arange(6.0).view(2, 3, 1)
    views = PictureViews(
        vector_NVD=vector_NVD,
        partner_NV=torch.tensor([[0, 1, 0], [1, 0, 1]]),
        share_NV=torch.tensor([[1, 0.75, 1], [1, 0.75, 1]]),
    )
    row_B = torch.zeros(3000, dtype=torch.int64)

    seen = views.draw(row_B, torch.Generator().manual_seed(0))
    again = views.draw(row_B, torch.Generator().manual_seed(0))

    picture_B = seen.picture_BD[:, 0]
    assert [0.3 < float((picture_B == view).float().mean()) < 0.37 for view in range(3)] == [True] * 3
    assert torch.equal(seen.picture_BD, again.picture_BD)
    assert set(seen.share_BM[picture_B == 1, 1].tolist()) == {0.25}
    assert set(seen.share_BM[picture_B != 1, 1].tolist()) == {0.0}
