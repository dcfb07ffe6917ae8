import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.web.forms import Form, shown_name
from services.gateway.web.problems import HttpProblem
from services.runtime.limits import Limits

LIMITS = Limits(image_bytes=64, message_images=3)


def body(*parts, end=True):
    """A form of (header, content) pairs."""
    text = b"".join(
        b"--x\r\nContent-Disposition: form-data; " + header.encode() + b"\r\n\r\n" + content + b"\r\n"
        for header, content in parts
    )
    return text + (b"--x--\r\n" if end else b"")


def read(data, *cuts, parts=None, limits=LIMITS):
    """The form that arrives in pieces."""
    form = Form(b"x", parts or {"images": 2, "other": 9}, limits)
    for start, stop in zip((0, *cuts), (*cuts, len(data)), strict=True):
        form.feed(data[start:stop])
    return form.finish()


@given(st.lists(st.binary(max_size=30), max_size=3), st.lists(st.integers(0, 200), max_size=5))
def test_pieces_make_no_difference(pictures, cuts):
    """A form is the same however its bytes come in. (S-5)"""
    whole = body(
        ('name="request"', b"{}"),
        *[(f'name="other"; filename="{number}.jpg"', data) for number, data in enumerate(pictures)],
    )
    places = sorted(min(cut, len(whole)) for cut in cuts)

    held = read(whole, *places)

    assert held.json == b"{}"
    assert [picture.data for picture in held.all("other")] == pictures


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        (body(('name="images"; filename="a"', b"x" * 65)), 413, "PART_TOO_LARGE"),
        (body(*[('name="images"; filename="a"', b"x")] * 3), 413, "TOO_MANY_PICTURES"),
        (body(*[('name="other"; filename="a"', b"x")] * 4), 413, "TOO_MANY_PICTURES"),
        (body(('name="elsewhere"; filename="a"', b"x")), 400, "UNKNOWN_PART"),
        (body(('name="images"; filename="a"', b"x"), end=False), 400, "MALFORMED_FORM"),
        (b"", 400, "MALFORMED_FORM"),
    ],
)
def test_a_form_beyond_its_bounds_is_refused(data, status, reason):
    """Too many, too large, unknown or missing parts are named, and the rest is not read. (S-5)"""
    with pytest.raises(HttpProblem) as caught:
        read(data)

    assert (caught.value.status, caught.value.error.reason) == (status, reason)


def test_a_form_without_a_boundary_is_refused():
    """A content type without its boundary is the caller's mistake."""
    with pytest.raises(HttpProblem) as caught:
        Form(b"", {"images": 1}, LIMITS)

    assert caught.value.status == 400


@given(st.text(max_size=300))
def test_a_shown_name_is_a_plain_name(name):
    """What is left of a file name has no folder, no markup and no control character. (S-5)"""
    shown = shown_name(name)

    assert len(shown) <= 128
    assert not re.search(r"[/\\<>\"'`\x00-\x1f]", shown)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\pictures\\a.jpg", "a.jpg"),
        ("<img src=x onerror=alert(1)>.jpg", "_img src=x onerror=alert(1)_.jpg"),
        ("원피스 1.png", "원피스 1.png"),
    ],
)
def test_names_stay_readable(name, shown):
    """Folders go, letters of any language stay."""
    assert shown_name(name) == shown
