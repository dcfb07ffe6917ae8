"""Small copies of pictures, kept with a run (D-1)."""

from pathlib import Path

import pytest
from PIL import Image

from dashboard.recorder import recording
from inference.errors import InvalidImage
from trainer.reports.run_pictures import SIDE, RunPictures


def test_a_picture_is_kept_small_and_once(tmp_path: Path):
    """A file is read once; its copy is a WEBP of 192 pixels at most, without transparency."""
    Image.new("RGBA", (600, 300), (255, 0, 0, 128)).save(tmp_path / "a.png")
    with recording(tmp_path / "run", "fashion", {}) as recorder:
        pictures = RunPictures(recorder)
        name = pictures.keep_file(tmp_path / "a.png")
        (tmp_path / "a.png").unlink()

        assert pictures.keep_file(tmp_path / "a.png") == name
    with Image.open(tmp_path / "run" / name) as kept:
        assert (kept.format, kept.mode, kept.size) == ("WEBP", "RGB", (SIDE, SIDE // 2))


def test_a_broken_picture_is_an_error(tmp_path: Path):
    """A file that is no picture is named as such, and nothing is kept."""
    (tmp_path / "a.png").write_bytes(b"no picture")
    with recording(tmp_path / "run", "fashion", {}) as recorder, pytest.raises(InvalidImage):
        RunPictures(recorder).keep_file(tmp_path / "a.png")
