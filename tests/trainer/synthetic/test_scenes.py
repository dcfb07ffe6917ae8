"""Scenes: what they put on a canvas, and the strokes that they are made of."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw

from trainer.synthetic.scenes import SCENES, Canvas, Colour, Palette, Scene

SIZE = 100
PALETTE = Palette(
    sky=(100, 150, 200),
    glow=(240, 220, 180),
    ground=(60, 110, 50),
    accent=(220, 60, 40),
    dark=(20, 20, 40),
    light=(250, 245, 235),
)
BLANK = (128, 0, 128)


def _drawn(draw: Callable[[Canvas], object], seed: int = 1, size: int = SIZE) -> np.ndarray:
    picture = Image.new("RGB", (size, size), BLANK)
    pen = ImageDraw.Draw(picture)
    draw(Canvas(pen=pen, palette=PALETTE, rng=np.random.default_rng(seed), size=size))
    return np.asarray(picture)


def _where(pixels_HWC: np.ndarray, colour: Colour) -> np.ndarray:
    return (pixels_HWC == colour).all(2)


@pytest.mark.parametrize("scene", SCENES)
def test_a_scene_covers_much_of_its_canvas(scene: Scene):
    """It paints over at least a quarter of it, in more than a handful of colours."""
    pixels = _drawn(scene)

    assert _where(pixels, BLANK).mean() < 0.75
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 4


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("size", [33, 100])
def test_a_scene_follows_its_numbers(scene: Scene, size: int):
    """The same numbers paint the same pixels at any size, others paint others."""
    one, same, other = (_drawn(scene, seed, size) for seed in (1, 1, 2))

    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("scene", SCENES)
def test_a_scene_is_painted_from_its_palette(scene: Scene):
    """Some of its pixels are a colour of the palette as it is; none is left of the canvas that it hides."""
    pixels = _drawn(scene)
    colours = (PALETTE.sky, PALETTE.glow, PALETTE.ground, PALETTE.accent, PALETTE.dark, PALETTE.light)

    assert any(_where(pixels, colour).any() for colour in colours)


def test_scenes_look_different():
    """No two are alike."""
    drawn = [_drawn(scene).astype(int) for scene in SCENES]

    for place, one in enumerate(drawn):
        assert all(np.abs(one - other).mean() > 10 for other in drawn[place + 1 :])


def test_a_disc_is_round():
    """Its area is that of a circle, and its middle where it was put."""
    inside = _where(_drawn(lambda canvas: canvas.disc(40, 60, 20, PALETTE.dark)), PALETTE.dark)

    down, across = np.nonzero(inside)
    assert inside.sum() == pytest.approx(np.pi * 20**2, rel=0.06)
    assert (across.mean(), down.mean()) == pytest.approx((40, 60), abs=0.6)


def test_an_ellipse_lies_in_its_box():
    """The box is in shares of the side, from the point."""
    box = (-0.2, -0.1, 0.2, 0.3)
    inside = _where(_drawn(lambda canvas: canvas.ellipse(50, 40, box, PALETTE.accent)), PALETTE.accent)

    down, across = np.nonzero(inside)
    assert (across.min(), down.min(), across.max(), down.max()) == pytest.approx((30, 30, 70, 70), abs=1)


def test_a_chord_is_the_part_of_an_ellipse_between_two_angles():
    """From 180 to 360 degrees it is the upper half."""
    box = (-0.2, -0.2, 0.2, 0.2)
    whole = _where(_drawn(lambda canvas: canvas.ellipse(50, 50, box, PALETTE.dark)), PALETTE.dark)
    upper = _where(_drawn(lambda canvas: canvas.chord(50, 50, box, (180, 360), PALETTE.dark)), PALETTE.dark)

    assert upper.sum() == pytest.approx(whole.sum() / 2, rel=0.1)
    assert np.nonzero(upper)[0].max() <= 51


@pytest.mark.parametrize(("width", "pixels"), [(0.2, 1), (1, 1), (3.4, 3)])
def test_a_line_is_never_thinner_than_a_pixel(width: float, pixels: int):
    """Otherwise small paintings would lose their lines."""
    inside = _where(_drawn(lambda canvas: canvas.line((0, 50, 99, 50), PALETTE.dark, width)), PALETTE.dark)

    assert inside[:, 50].sum() == pixels


def test_a_ridge_fills_everything_below_it():
    """Each column is blank above a single edge and filled below; the edge runs about the level."""
    inside = _where(_drawn(lambda canvas: canvas.ridge(0.6, 0.03, PALETTE.ground)), PALETTE.ground)

    edges = np.argmax(inside, axis=0)
    assert all(inside[edge:, column].all() for column, edge in enumerate(edges))
    assert edges.mean() == pytest.approx(60, abs=6)
    assert edges.std() > 0.5


def test_a_random_length_is_between_its_shares_of_the_side():
    """In pixels."""
    lengths: list[float] = []

    _drawn(lambda canvas: lengths.extend(canvas.length(0.2, 0.4) for _ in range(200)))

    assert min(lengths) >= 20
    assert max(lengths) <= 40
    assert max(lengths) - min(lengths) > 15
