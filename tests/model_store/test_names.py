"""Only strict names reach the file system (S-5)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_store.errors import InvalidName
from model_store.names import check_file, check_name

HOSTILE = [
    "",
    ".",
    "..",
    "../x",
    "a/b",
    "a\\b",
    "%2e%2e",
    "a\0b",
    "А",  # Cyrillic
    "ａ",  # full-width
    "A",
    "a--b",
    "-a",
    "a-",
    "a" * 65,
    "a\n",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_model_name_is_refused(name: str) -> None:
    """Separators, dots, look-alikes, NUL and over-long names raise InvalidName."""
    with pytest.raises(InvalidName, match="model name"):
        check_name(name, "model name")


@pytest.mark.parametrize("name", [*HOSTILE, ".hidden", "model.onnx/..", "model"])
def test_a_hostile_file_name_is_refused(name: str) -> None:
    """A file name with anything but plain lower-case words and dots raises InvalidName."""
    with pytest.raises(InvalidName):
        check_file(name)


def test_the_names_of_the_models_are_fine() -> None:
    """The names that the design uses pass unchanged."""
    for name in ("artwork-backbone", "fashion-image", "items", "v2"):
        assert check_name(name, "model name") == name
    for file in ("model.onnx", "model.onnx.data", "golden.npz", "manifest.json", "model.pt"):
        assert check_file(file) == file


@given(st.text(max_size=80))
def test_whatever_passes_is_one_plain_path_component(name: str) -> None:
    """No string that passes can leave its folder."""
    try:
        check_name(name, "model name")
    except InvalidName:
        return
    assert name.isascii()
    assert not set(name) & set("/\\.\0%")
