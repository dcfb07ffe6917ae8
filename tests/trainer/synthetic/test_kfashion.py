"""The drawn set that figures are told of is the one whose digest is written down."""

from pathlib import Path

import pytest
from PIL import Image

from trainer.synthetic import garments
from trainer.synthetic.kfashion import (
    DEFAULT_LABELS_SHA256,
    DEFAULT_PHOTOGRAPHS,
    DEFAULT_SEED,
    digest_labels,
    write_kfashion,
)

pytestmark = pytest.mark.slow


def test_the_default_set_is_the_one_of_the_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Every label file to the byte; the pictures themselves are not drawn here."""
    monkeypatch.setattr(
        garments, "draw_record", lambda record, rng, size, ground: Image.new("RGB", (size, size))
    )
    root = write_kfashion(tmp_path, DEFAULT_PHOTOGRAPHS, DEFAULT_SEED)

    assert digest_labels(root) == DEFAULT_LABELS_SHA256
