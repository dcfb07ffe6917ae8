import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.fashion.data.labels import Box, polygon_box, rect_box

points = st.lists(st.tuples(st.floats(-50, 900, width=32), st.floats(-50, 900, width=32)), min_size=1)


@given(points, st.randoms(use_true_random=False))
def test_the_box_of_a_polygon_holds_every_point_whatever_the_order_of_its_keys(
    corners: list[tuple[float, float]], random
):
    """Keys are told apart by number, not by where they stand."""  # proves F-2
    keyed = [
        (f"{axis}좌표{number}", value)
        for number, corner in enumerate(corners, start=1)
        for axis, value in zip("XY", corner, strict=True)
    ]
    random.shuffle(keyed)

    box = polygon_box(dict(keyed))

    xs, ys = zip(*corners, strict=True)
    assert box == Box(min(xs), min(ys), max(xs), max(ys))


@pytest.mark.parametrize(
    "polygon", [{}, {"X좌표1": 3.0}, {"X좌표1": "3", "Y좌표1": 4.0}, {"X좌표": 1, "Y좌표": 2}, {"note": 1}]
)
def test_without_a_whole_point_there_is_no_box(polygon):
    """Half a point is none; text is no number."""  # proves F-2
    assert polygon_box(polygon) is None


def test_a_rectangle_needs_all_four_numbers():
    """Three are no rectangle; without width it has no area."""  # proves F-2
    assert rect_box({"X좌표": 1, "Y좌표": 2, "가로": 3}) is None
    assert rect_box({"X좌표": 1.5, "Y좌표": 2.5, "가로": 3, "세로": 4}) == Box(1.5, 2.5, 4.5, 6.5)
    flat = rect_box({"X좌표": 1, "Y좌표": 2, "가로": 0, "세로": 4})
    assert flat is not None
    assert not flat.has_area


@given(points, st.integers(1, 800), st.integers(1, 800))
def test_a_clamped_box_lies_inside_the_picture(corners: list[tuple[float, float]], width: int, height: int):
    """Whatever the polygon says, nothing is cut from outside."""  # proves F-2
    array = np.array(corners)
    low, high = array.min(0), array.max(0)
    box = Box(float(low[0]), float(low[1]), float(high[0]), float(high[1])).clamped(width, height)

    assert 0 <= box.left <= box.right <= width
    assert 0 <= box.top <= box.bottom <= height
