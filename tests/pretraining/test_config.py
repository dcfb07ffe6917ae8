"""Settings of the pretraining."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from pretraining.config import FashionEncoderSettings, read_pretraining_settings
from trainer.configuration import CONFIG_DIRECTORY
from trainer.errors import InvalidConfig


@pytest.fixture
def settings() -> FashionEncoderSettings:
    return read_pretraining_settings().fashion


@pytest.mark.parametrize(
    "wrong",
    [
        {"laid_a_batch": 17},
        {"small_size": 120},
        {"size": 200},
        {"seed": -1},
        {"views": {"area": (1.1, 0.25)}},
        {"views": {"area": (-0.5, 1.0)}},
        {"scenes": {"corner": (0.2, 1.5)}},
        {"scenes": {"light": (-1.5, 0.0)}},
    ],
)
def test_settings_that_cannot_be_are_refused(settings: FashionEncoderSettings, wrong: dict[str, object]):
    """Spans that fall, more garments on grounds than there are, sizes in the wrong order."""
    body = settings.model_dump()
    for name, value in wrong.items():
        body[name] = {**body[name], **value} if isinstance(value, dict) else value

    with pytest.raises(ValidationError):
        FashionEncoderSettings.model_validate(body)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"fashion.laid_a_batch": 17}, "laid_a_batch 17 is more than garments_a_batch 16"),
        ({"fashion.size": 200}, "size 200 and source_size 160 must rise in this order"),
        ({"fashion.views.area": [1.1, 0.25]}, r"first of \[1.1, 0.25\] must not exceed the second"),
        ({"artwork.view": 100}, "view 100 must be a multiple of patch 14"),
        ({"artwork.size": 168}, "size 168 must be a multiple of patch 14 and at most source_size 154"),
        ({"artwork.hidden": 300}, "hidden 300 is more than the 196 pixels of a patch"),
        ({"artwork.heads": 5}, "hidden 192 does not divide into 5 heads"),
        ({"benchmark.pairs": 1}, "benchmark.pairs"),
    ],
)
def test_an_error_names_the_values_and_what_they_must_be(overrides: dict[str, object], message: str):
    """What does not fit together, or the field that is out of range."""
    with pytest.raises(InvalidConfig, match=message):
        read_pretraining_settings(overrides=overrides)


def test_files_that_call_the_benchmark_an_exam_are_still_read(tmp_path: Path):
    """The section was named so before; its values are the same."""
    text = (CONFIG_DIRECTORY / "encoders.yml").read_text(encoding="utf-8")
    older = tmp_path / "encoders.yml"
    older.write_text(text.replace("\nbenchmark:", "\nexam:"), encoding="utf-8")

    assert "\nexam:" in older.read_text(encoding="utf-8")
    assert read_pretraining_settings(older) == read_pretraining_settings()
