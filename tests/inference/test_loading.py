"""Loading: hashes, golden inputs, pass stamps, refusals."""

import os
from pathlib import Path
from typing import Any

import pytest

from inference import loading
from inference.errors import RefusedModel
from inference.loading import load_model
from inference.runtimes.device import CPU, SessionSettings
from model_store.errors import CorruptVersion

HERE = SessionSettings(provider="cpu", threads=1)


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The directories that were checked in a child; the checks themselves still run."""
    seen: list[Path] = []
    real = loading.check_in_child

    def watched(directory: Path, *arguments: Any, **options: Any) -> None:
        seen.append(directory)
        real(directory, *arguments, **options)

    monkeypatch.setattr(loading, "check_in_child", watched)
    return seen


@pytest.mark.slow
def test_a_pass_is_stamped_and_the_child_not_repeated(
    workshop: Any, tmp_path: Path, children: list[Path]
) -> None:
    """The first load checks in a child, the next ones do not; another space is checked anew (M-4)."""
    first, second = workshop.publish("image"), workshop.publish("image", seed=1)
    stamps = tmp_path / "cache" / "stamps"

    for version in (first, first, second, first):
        model = load_model(workshop.store, version, session=HERE, stamps=stamps)
        assert (model.session.actual, model.version) == (CPU, version)

    assert len(children) == 2
    assert len(list(stamps.iterdir())) == 2


@pytest.mark.slow
def test_without_stamps_the_child_checks_every_time(workshop: Any, children: list[Path]) -> None:
    """Nothing remembers a pass, so nothing skips the check."""
    version = workshop.publish("vector")

    for _ in range(2):
        load_model(workshop.store, version, session=HERE, stamps=None)

    assert len(children) == 2


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_cache_that_cannot_be_written_costs_only_time(workshop: Any, tmp_path: Path) -> None:
    """A model loads though its stamp cannot be kept."""
    sealed = tmp_path / "sealed"
    sealed.mkdir(mode=0o500)

    model = load_model(workshop.store, workshop.publish("vector"), session=HERE, stamps=sealed / "stamps")

    assert model.manifest.name == "artwork-head"


@pytest.mark.slow
def test_a_stamp_path_that_is_a_file_costs_only_time(workshop: Any, tmp_path: Path) -> None:
    """A model loads though its stamp directory is no directory."""
    (tmp_path / "file").write_text("")

    model = load_model(
        workshop.store, workshop.publish("vector"), session=HERE, stamps=tmp_path / "file" / "stamps"
    )

    assert model.manifest.name == "artwork-head"


@pytest.mark.parametrize("file", ["model.onnx", "model.onnx.data", "golden.npz", "manifest.json"])
@pytest.mark.parametrize("place", [0.0, 0.5, 0.99])
def test_one_flipped_byte_refuses_the_version_naming_the_file(file: str, place: float, workshop: Any) -> None:
    """Whichever file is damaged, its name is in the message (M-4)."""
    version = workshop.publish("image", external=True)
    path = version.path(file)
    data = bytearray(path.read_bytes())
    data[int(len(data) * place)] ^= 0x20
    path.write_bytes(bytes(data))

    with pytest.raises((RefusedModel, CorruptVersion), match=f"fashion-image/1/{file}"):
        workshop.load(workshop.store.open("fashion-image", 1))


def test_a_missing_file_refuses_the_version_naming_it(workshop: Any) -> None:
    """A version that lost a file is refused by the file's name."""
    version = workshop.publish("image", external=True)
    version.path("model.onnx.data").unlink()

    with pytest.raises(RefusedModel, match=r"fashion-image/1/model.onnx.data is missing"):
        workshop.load(version)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"pixel_path": 7}, RefusedModel, "fashion-image/1 was made with pixel path 7, this build has 1"),
        ({"pixel_path": None}, RefusedModel, "made with pixel path None, this build has 1"),
        ({"format": "torchscript"}, RefusedModel, r"fashion-image has 0 files ending in \.pt"),
        ({"kind": "vectors", "format": "none"}, RefusedModel, "is of the kind vectors: it has no graph"),
        ({"golden": None}, RefusedModel, "fashion-image/1 has no golden set"),
        ({"norm_range": (2.0, 3.0)}, RefusedModel, "fashion-image/1: golden.npz row 0: norm 1 of vector_BD"),
        ({"dimension": 9}, RefusedModel, "fashion-image/1: output vector_BD is not a row of 9"),
    ],
)
def test_a_version_that_cannot_be_served_is_refused_by_name(
    changes: dict[str, Any], error: type[Exception], message: str, workshop: Any
) -> None:
    """The message names the model, the version and both sides of what does not fit (M-6)."""
    version = workshop.publish("image", **changes)

    with pytest.raises(error, match=message):
        workshop.load(version)
