"""The list of what an image holds is made from its lock (S-6)."""

import json
from pathlib import Path

import pytest

from tests.sbom import components, main

LOCKS = Path(__file__).resolve().parents[1] / "requirements"


@pytest.mark.parametrize("lock", ["serve", "serve-gpu", "train"])
def test_every_package_of_the_lock_is_listed(lock: str, tmp_path: Path) -> None:
    """Name, version and hashes of each, and no package of another platform."""
    main(LOCKS / f"{lock}.txt", tmp_path / "sbom.json")

    body = json.loads((tmp_path / "sbom.json").read_text())
    listed = {each["name"]: each for each in body["components"]}
    assert {"grpcio", "numpy", "pillow"} <= listed.keys()
    assert ("torch" in listed) == (lock == "train")
    assert ("onnxruntime" in listed) == (lock == "serve")
    assert "colorama" not in listed
    assert all(each["hashes"] and each["version"] for each in body["components"])
    assert listed["numpy"]["purl"] == f"pkg:pypi/numpy@{listed['numpy']['version']}"


@pytest.mark.parametrize("entry", ["numpy==2.4.6\n", "numpy>=2 --hash=sha256:" + "a" * 64])
def test_what_is_not_pinned_is_named(entry: str) -> None:
    """A list without versions and hashes says nothing of an image."""
    with pytest.raises(ValueError, match="numpy"):
        list(components(entry))
