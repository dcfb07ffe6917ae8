"""Details: where on a garment each of them is drawn, and in which colour."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw

from trainer.synthetic.details import DETAILS, Pen, draw_collar, draw_neckline
from trainer.synthetic.fabrics import Colour
from trainer.synthetic.outlines import outline_of

SIZE = 200
CLOTH, THREAD, TRIM, GROUND = (90, 90, 200), (10, 10, 10), (250, 250, 250), (0, 255, 0)


def _drawn(draw: Callable[[Pen], None], category: str = "드레스") -> np.ndarray:
    """Which pixels of plain cloth it changes, and to what: uint8 (H, W, C)."""
    picture = Image.new("RGB", (SIZE, SIZE), CLOTH)
    shape = outline_of(category, "노멀", "노멀", "민소매")
    draw(Pen(draw=ImageDraw.Draw(picture), shape=shape, size=SIZE, thread=THREAD, trim=TRIM))
    return np.asarray(picture)


def _changed(pixels_HWC: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the changed pixels, as shares of the side."""
    down, across = np.nonzero((pixels_HWC != CLOTH).any(2))
    return down / SIZE, across / SIZE


def _at(pixels_HWC: np.ndarray, x: float, y: float) -> tuple[int, ...]:
    return tuple(int(value) for value in pixels_HWC[round(y * SIZE), round(x * SIZE)])


@pytest.mark.parametrize("word", DETAILS)
@pytest.mark.parametrize("category", ["드레스", "코트"])
def test_every_detail_shows_on_the_garment(word: str, category: str):
    """It changes a part of the cloth between shoulder and hem, the same part each time."""
    pixels = _drawn(DETAILS[word], category)
    shape = outline_of(category, "노멀", "노멀", "민소매")

    down, across = _changed(pixels)

    assert 20 < len(down) < SIZE * SIZE / 2
    assert down.min() > shape.shoulder - 0.05
    assert down.max() < shape.hem + 0.08
    assert across.min() > 0.02
    assert across.max() < 0.98
    assert np.array_equal(pixels, _drawn(DETAILS[word], category))


@pytest.mark.parametrize(
    "word", ["단추", "더블브레스티드", "지퍼", "리본", "버클", "러플", "니트꽈베기", "포켓"]
)
def test_details_of_both_sides_are_symmetric(word: str):
    """What they change has its centre in the middle of the garment."""
    _, across = _changed(_drawn(DETAILS[word]))

    assert across.mean() == pytest.approx(0.5, abs=1 / SIZE)


def test_buttons_stand_in_one_row_or_in_two():
    """Down the middle, or on both sides of it."""
    _, one = _changed(_drawn(DETAILS["단추"]))
    _, two = _changed(_drawn(DETAILS["더블브레스티드"]))

    assert np.abs(one - 0.5).max() < 0.02
    assert np.abs(two - 0.5).min() > 0.03


def test_a_zip_ends_where_the_front_ends():
    """It runs down the middle from the shoulder on."""
    shape = outline_of("점프수트", "노멀", "노멀", "민소매")

    down, across = _changed(_drawn(DETAILS["지퍼"], "점프수트"))

    assert down.min() == pytest.approx(shape.shoulder, abs=0.01)
    assert down.max() == pytest.approx(shape.front, abs=0.02)
    assert np.abs(across - 0.5).max() < 0.02


def test_a_belt_lies_on_the_waist_with_a_buckle_in_the_middle():
    """Leather on both sides, brass between."""
    shape = outline_of("드레스", "노멀", "노멀", "민소매")
    pixels = _drawn(DETAILS["버클"])

    assert _at(pixels, 0.42, shape.belt + 0.017) == (70, 48, 34)
    assert _at(pixels, 0.5, shape.belt + 0.017) == (208, 178, 92)


@pytest.mark.parametrize("word", ["러플", "프릴", "프린지", "슬릿"])
def test_what_ends_a_garment_lies_at_its_hem(word: str):
    """Ruffles, fringes and slits are in its lower part."""
    shape = outline_of("드레스", "노멀", "노멀", "민소매")

    down, _ = _changed(_drawn(DETAILS[word]))

    assert down.max() > shape.hem - 0.02
    assert down.min() > shape.hem - 0.25


@pytest.mark.parametrize("neckline", ["라운드넥", "유넥", "브이넥", "스퀘어넥", "보트넥", "오프숄더"])
def test_a_neckline_lets_the_ground_show(neckline: str):
    """Below the shoulder, in the middle of the garment; its edge is a seam."""
    shape = outline_of("드레스", "노멀", "노멀", "민소매")
    pixels = _drawn(lambda pen: draw_neckline(pen, neckline, GROUND))

    assert _at(pixels, 0.5, shape.shoulder) == GROUND
    _, across = np.nonzero((pixels == GROUND).all(2))
    assert abs(across.mean() / SIZE - 0.5) < 0.01
    assert (pixels == THREAD).all(2).any()


def test_necklines_differ_in_depth_and_width():
    """A V is deeper than a round one, a boat wider."""

    def extent(neckline: str) -> tuple[int, int]:
        down, across = np.nonzero((_drawn(lambda pen: draw_neckline(pen, neckline, GROUND)) == GROUND).all(2))
        return np.ptp(down), np.ptp(across)

    round_deep, round_wide = extent("라운드넥")
    assert extent("브이넥")[0] > round_deep
    assert extent("유넥")[0] > round_deep
    assert extent("보트넥")[1] > round_wide


def test_a_turtleneck_covers_the_neck():
    """It rises above the shoulder in cloth, and no ground shows."""
    shape = outline_of("드레스", "노멀", "노멀", "민소매")
    pixels = _drawn(lambda pen: draw_neckline(pen, "터틀넥", GROUND))

    assert _at(pixels, 0.5, shape.shoulder - 0.02) == TRIM
    assert not (pixels == GROUND).all(2).any()


@pytest.mark.parametrize(
    "word", ["셔츠칼라", "폴로칼라", "테일러드칼라", "밴드칼라", "피터팬칼라", "세일러칼라"]
)
def test_a_collar_lies_round_the_neck_on_both_sides(word: str):
    """Within a fifth of the picture from the shoulder."""
    shape = outline_of("드레스", "노멀", "노멀", "민소매")

    down, across = _changed(_drawn(lambda pen: draw_collar(pen, word)))

    assert np.abs(down - shape.shoulder).max() < 0.23
    assert (across < 0.49).any()
    assert (across > 0.51).any()


@pytest.mark.parametrize("word", ["", "후드", "?"])
def test_words_that_name_nothing_draw_nothing(word: str):
    """A record may have other words than can be drawn."""
    for draw in (lambda pen: draw_neckline(pen, word, GROUND), lambda pen: draw_collar(pen, word)):
        assert (_drawn(draw) == CLOTH).all()


def test_a_pen_draws_in_thread_and_trim_by_default():
    """Lines are at least one pixel wide; a fill of one's own replaces the colour, never the seam."""

    def colours(draw: Callable[[Pen], None]) -> set[Colour]:
        return set(map(tuple, np.unique(_drawn(draw).reshape(-1, 3), axis=0).tolist())) - {CLOTH}

    square = ((0.2, 0.2), (0.4, 0.2), (0.4, 0.4))
    assert colours(lambda pen: pen.line((0.1, 0.1), (0.9, 0.1), width=0)) == {THREAD}
    assert colours(lambda pen: pen.line((0.1, 0.1), (0.9, 0.1), fill=GROUND)) == {GROUND}
    assert colours(lambda pen: pen.polygon(*square)) == {TRIM, THREAD}
    assert colours(lambda pen: pen.polygon(*square, fill=GROUND)) == {GROUND, THREAD}
    assert colours(lambda pen: pen.disc(0.5, 0.5, 0.1)) == {TRIM, THREAD}
    assert colours(lambda pen: pen.rectangle(0.2, 0.2, 0.4, 0.4, fill=GROUND)) == {GROUND, THREAD}
    assert colours(lambda pen: pen.cut(square, GROUND)) == {GROUND}


def test_a_disc_is_round():
    """As high as wide, with its middle where it was put."""
    down, across = _changed(_drawn(lambda pen: pen.disc(0.4, 0.6, 0.1)))

    assert np.ptp(down) == pytest.approx(np.ptp(across)) == pytest.approx(0.2)
    assert (across.mean(), down.mean()) == pytest.approx((0.4, 0.6), abs=1 / SIZE)
