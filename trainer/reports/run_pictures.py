"""Small copies of the pictures that a run shows: kept with the run, each once (D-1)."""

import io
from pathlib import Path
from typing import Final

from PIL import Image

from dashboard.recorder import RunRecorder
from inference.pixels import DEFAULT_LIMITS, ImageLimits
from trainer.pictures import open_thumbnail

SIDE: Final = 192


class RunPictures:
    """Keeps pictures, at most 192 pixels wide and high, with the run of a recorder."""

    def __init__(self, recorder: RunRecorder, limits: ImageLimits = DEFAULT_LIMITS) -> None:
        self._recorder, self._limits = recorder, limits
        self._kept: dict[Path, str] = {}

    def keep_file(self, path: Path) -> str:
        """The name by which a document shows a picture file. Raises InvalidImage: if it cannot be read."""
        if path not in self._kept:
            self._kept[path] = self.keep(open_thumbnail(path, SIDE, self._limits))
        return self._kept[path]

    def keep(self, picture: Image.Image) -> str:
        """The name by which a document shows a picture."""
        small = picture.convert("RGB")
        small.thumbnail((SIDE, SIDE))
        stream = io.BytesIO()
        small.save(stream, "WEBP", quality=80)
        return self._recorder.keep_picture(stream.getvalue(), ".webp")
