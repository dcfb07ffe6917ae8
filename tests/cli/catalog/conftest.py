"""Pictures to import."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def pictures(tmp_path: Path, jpeg: Callable[..., bytes]) -> Path:
    """A folder with two pictures, of which one lies deeper."""
    folder = tmp_path / "pictures"
    for name, colour in (("red.jpg", "red"), ("deep/blue.jpg", "blue")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(jpeg(colour))
    return folder
