import logging
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException

from trainer.artwork.train import train_artwork
from trainer.errors import OutOfMemory
from trainer.features import BATCH_SIZE, vectors_of_files

pytestmark = pytest.mark.slow

FULL = (
    "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running Conv node. "
    "bfc_arena.cc:376 AllocateRawInternal Failed to allocate memory for requested buffer of size 603979776"
)


@pytest.fixture
def full_beyond(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[int]]:
    """Sessions that fail as a full device does for more than so many pictures; gives the sizes tried."""
    real, tried = onnxruntime.InferenceSession, []

    def limit(most: int) -> list[int]:
        class Full(real):
            def run(self, names, inputs, *rest):
                count = len(next(iter(inputs.values())))
                tried.append(count)
                if count > most:
                    raise RuntimeException(FULL)
                return super().run(names, inputs, *rest)

        monkeypatch.setattr(onnxruntime, "InferenceSession", Full)
        return tried

    return limit


@pytest.mark.parametrize("most", [1, 2, 5, 9])
def test_memory_that_runs_out_halves_the_batch(gallery, artworks, space, tmp_path, full_beyond, caplog, most):
    """The same vectors come of fewer pictures at once; a size that did not fit is not tried again."""
    # proves A-11
    paths = [artwork.path for artwork in artworks[:40]]
    expected_ND = vectors_of_files(paths, gallery.backbone.version, replace(space, cache=tmp_path / "whole"))
    tried = full_beyond(most)

    with caplog.at_level(logging.WARNING):
        vector_ND = vectors_of_files(
            paths, gallery.backbone.version, replace(space, cache=tmp_path / "halved")
        )

    assert np.array_equal(vector_ND, expected_ND)
    too_many = [count for count in tried if count > most]
    assert too_many == [BATCH_SIZE >> step for step in range(len(too_many))]
    told = [record.pictures_at_once for record in caplog.records if hasattr(record, "pictures_at_once")]
    assert told == [count // 2 for count in too_many]


def test_one_picture_too_much_ends_in_one_line(
    gallery, artworks, artwork_config, space, tmp_path, monkeypatch
):
    """Where not even one picture fits, the run stops at once and says with what (A-11)."""
    from inference.encoder import ImageEncoder
    from inference.runtimes.device import run_error

    batches: list[int] = []

    def full(_self, batch):
        batches.append(len(batch))
        raise run_error(RuntimeException(FULL))

    monkeypatch.setattr(ImageEncoder, "run", full)

    with pytest.raises(OutOfMemory, match=r"^artwork-backbone/1 does not fit .* one picture") as caught:
        train_artwork(
            artwork_config, artworks, gallery.backbone.version, replace(space, cache=tmp_path / "c")
        )

    assert "\n" not in str(caught.value)
    assert batches == [16, 8, 4, 2, 1]
    assert not (space.out / "checkpoints").exists()
